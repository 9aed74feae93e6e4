"""Tables of trained architectures: what their spaces say of themselves, and what is read of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from nasjac.sampling.draws import Draws
from nasjac.tables.cells import Number
from nasjac.tables.pullbacks import Pullbacks

#: targets of which less is better, whatever the table
LOWER_IS_BETTER = ("loss", "train_loss", "loss_0", "loss_1")
#: training seeds that may have columns of their own, as in accuracy_0
SEEDS = (0, 1)


def of_seeds(target: str) -> tuple[str, ...]:
    """The columns of a target's single seeds."""
    return tuple(f"{target}_{seed}" for seed in SEEDS)


class Elsewhere(ValueError):
    """An architecture that is sound, but of another space: a table can hold several."""


class Architecture(Protocol):
    """A frozen dataclass; `key` is that of the function it computes, 12 hexadecimal digits."""

    @property
    def key(self) -> str: ...

    def to_json(self) -> str: ...


class TableSpace(Protocol):
    """The architectures of a table.

    `column` holds the architecture, `targets` what training gave (the first one unless another is asked for), `others`
    are further columns that the table has. Of these some are understood: see `nasjac.tables.file.read_table`. A
    space that holds what its table does has `bound(entries)`, which makes it so.
    """

    @property
    def name(self) -> str: ...

    column: ClassVar[str]
    targets: ClassVar[tuple[str, ...]]
    others: ClassVar[tuple[str, ...]]

    def parse(self, text: str) -> Any:
        """The architecture of a cell of `column`. InputError: malformed; Elsewhere: of another space."""

    def facts(self, architecture: Any) -> Mapping[str, float]:
        """params, flops (a multiply-add is two), depth, width and skip_count of the trained network."""


class SampledSpace(TableSpace, Protocol):
    """One whose networks nasjac builds, of images of `shape` [C, H, W]: scores run their passes on it."""

    shape: ClassVar[tuple[int, int, int]]

    def live_params(self, architecture: Any) -> int:
        """Parameters of the trained network with a non-zero Jacobian."""

    def live_flops(self, architecture: Any) -> int:
        """FLOPs of the trained network on paths from input to output."""

    def random(self, count: int, seed: int) -> list[Any]:
        """Architectures drawn uniformly."""

    def network(self, architecture: Any, draws: Draws) -> nn.Module:
        """The trained network before training, images [B, 3, H, W] to logits."""

    def pullbacks(
        self, architectures: Sequence[Any], images: Tensor, draws: Draws, channels: int, norms: bool
    ) -> Pullbacks:
        """Of small networks of the same architectures with shared weights, BatchNorm in training mode; h_0 is behind the
        stem, h_L before what the readout sees.
        """


@dataclass(frozen=True)
class Problem:
    """What is wrong with a row (the header is row 1): the `rule` that it breaks, by which rows are counted, and how."""

    row: int
    column: str
    reason: str
    rule: str


@dataclass(frozen=True)
class Entry:
    """A row whose architecture is sound.

    `targets`  those of its targets that are numbers, and of what single seeds gave
    `half`     choose or report, where the table says so
    `failure`  why it has no target, where the table says so: diverged
    """

    row: int
    architecture: Any
    targets: Mapping[str, float]
    half: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Draft:
    """An entry whose numbers are as their cells have them."""

    row: int
    architecture: Any
    half: str | None
    failure: str | None
    numbers: dict[str, Number] = field(default_factory=dict)


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
        """Of each row that has no architecture or no first target because it is bad, what is wrong with it."""
        others = self.targets[1:] + tuple(of for target in self.targets for of in of_seeds(target))
        found: dict[int, Problem] = {}
        for problem in self.problems:
            if problem.row > 1 and problem.column not in others:
                found.setdefault(problem.row, problem)
        return list(found.values())
