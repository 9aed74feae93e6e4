"""A table of trained architectures as it is read: its entries, and the problems of its other rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: targets of which less is better, in any table
LOWER_IS_BETTER = ("loss", "train_loss", "loss_0", "loss_1")
#: training seeds that may have columns of their own, as in accuracy_0
SEEDS = (0, 1)


def of_seeds(target: str) -> tuple[str, ...]:
    """Return the columns of a target's single seeds."""
    return tuple(f"{target}_{seed}" for seed in SEEDS)


@dataclass(frozen=True)
class Problem:
    """A problem of a row (the header is row 1): the `rule` that it breaks, by which rows are counted, and the `reason`."""

    row: int
    column: str
    reason: str
    rule: str


@dataclass(frozen=True)
class Entry:
    """A row whose architecture is valid.

    `targets`  its targets that are numbers, and the results of single training seeds
    `half`     choose or report, where the table says so
    `failure`  why it has no target, where the table says so: diverged
    """

    row: int
    architecture: Any
    targets: Mapping[str, float]
    half: str | None = None
    failure: str | None = None


@dataclass
class Table:
    """A table as read; every row that is not among `entries` has a problem, or is of another space (`elsewhere`).

    `rows` counts those that are not empty, without the header; `column` is that of the architectures.
    """

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    elsewhere: list[int] = field(default_factory=list)
    targets: tuple[str, ...] = ()
    column: str = ""
    rows: int = 0

    def left_out(self) -> list[Problem]:
        """Return the first problem of each row that has no architecture or no first target because of it."""
        others = self.targets[1:] + tuple(of for target in self.targets for of in of_seeds(target))
        first: dict[int, Problem] = {}
        for problem in self.problems:
            if problem.row > 1 and problem.column not in others:
                first.setdefault(problem.row, problem)
        return list(first.values())
