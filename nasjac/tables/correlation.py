"""The answer of `nasjac correlate`: what a score is worth on a table of trained architectures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np

from nasjac.mathematics.rank_correlation import noise_ceiling, spearman
from nasjac.tables.agreement import Agreement, agreement, strata, warnings
from nasjac.tables.scored_rows import ScoredRow
from nasjac.tables.scores.base import TableScore
from nasjac.tables.scores.fact import FACTS
from nasjac.tables.selection import Options
from nasjac.tables.space import TableSpace
from nasjac.tables.table import LOWER_IS_BETTER, Entry, Problem, Table, of_seeds


@dataclass(frozen=True)
class OfTarget(Agreement):
    """The agreement of a score with one target.

    `lower_is_better`  whether the target was turned round, so that a positive tau says that the score is right
    `noise_ceiling`    Spearman's rho between two training seeds of the target, None without such columns
    """

    lower_is_better: bool
    noise_ceiling: float | None

    __repr__ = Agreement.__repr__


@dataclass(frozen=True)
class Correlation:
    """What `nasjac.correlate` found.

    `table`, `space`, `score`   what was asked: `score` is its name and options
    `target`, `half`            likewise
    `agreement`                 of the score with the target; `other_targets` with the table's others, by name
    `seconds_per_architecture`  None without architectures
    `missing`                   rows without a figure: `missing_rows` bad ones, and those counted in `missing_targets` and
                                `missing_scores` by their reasons; `missing_row_reasons` counts bad rows by the rule broken
    `elsewhere`                 rows of other spaces
    `problems`                  every bad cell
    `warnings`                  sentences that a reader of the figures must know
    """

    table: str
    space: str
    score: Mapping[str, Any]
    target: str
    half: str
    agreement: OfTarget
    seconds_per_architecture: float | None
    missing: int
    missing_rows: int
    missing_row_reasons: Mapping[str, int]
    missing_targets: Mapping[str, int]
    missing_scores: Mapping[str, int]
    elsewhere: int
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    other_targets: Mapping[str, OfTarget]

    def to_json(self, indent: int | None = None) -> str:
        """Return one JSON object, in which the agreement's fields stand beside the others."""
        content = asdict(self)
        return json.dumps({**content.pop("agreement"), **content}, indent=indent, allow_nan=False)

    def __repr__(self) -> str:
        """Score, target, figures and warnings."""
        head = f"Correlation(score={self.score['name']!r}, space={self.space!r}, target={self.target!r}"
        return "\n  ".join([f"{head}, missing={self.missing},", f"{self.agreement!r})", *self.warnings])


@dataclass(frozen=True)
class ScoredTable:
    """A table as read, the `part` of it that is of the half asked for, and the scored `rows` that were drawn from that."""

    table: str
    space: TableSpace
    score: TableScore
    options: Options
    read: Table
    part: Sequence[Entry]
    rows: Sequence[ScoredRow]

    def correlation(self, seconds: float) -> Correlation:
        """The answer; scoring took so many seconds."""
        first, *others = self.read.targets
        figures, bad = self._figures(first), self.read.left_out()
        failed = [entry.failure for entry in self.part if entry.failure is not None]
        unscored = [row.scored.reason or "" for row in self.rows if row.scored.value is None]
        return Correlation(
            table=self.table,
            space=self.space.name,
            score={"name": self.score.name, **(asdict(self.score) if is_dataclass(self.score) else {})},
            target=first,
            half=self.options.half,
            agreement=figures,
            seconds_per_architecture=seconds / len(self.rows) if self.rows else None,
            missing=len(bad) + len(failed) + len(unscored),
            missing_rows=len(bad),
            missing_row_reasons=_counts([f"{problem.column}: {problem.rule}" for problem in bad]),
            missing_targets=_counts(failed),
            missing_scores=_counts(unscored),
            elsewhere=len(self.read.elsewhere),
            problems=tuple(self.read.problems),
            warnings=(*self._too_few(), *warnings(figures, self.score.name)),
            other_targets={name: self._figures(name) for name in others},
        )

    def _figures(self, target: str) -> OfTarget:
        """The agreement with one target, over the architectures that have it and a score."""
        known = [row for row in self.rows if target in row.entry.targets and row.scored.value is not None]
        baselines = {name: np.array([value(row.facts) for row in known], dtype=float) for name, value in FACTS.items()}
        score = np.array([row.scored.value for row in known], dtype=float)
        lower_is_better = target in LOWER_IS_BETTER
        truth = (-1 if lower_is_better else 1) * np.array([row.entry.targets[target] for row in known], dtype=float)
        within = strata(baselines["params"], baselines["depth"])
        figures = agreement(score, truth, baselines, within, self.options.resamples, self.options.seed)
        names = of_seeds(target)
        seeds = [[given[name] for name in names] for row in self.rows if {*names} <= (given := row.entry.targets).keys()]
        ceiling = noise_ceiling(seeds, spearman) if seeds else None
        return OfTarget(**vars(figures), lower_is_better=lower_is_better, noise_ceiling=ceiling)

    def _too_few(self) -> list[str]:
        asked, there = self.options.n, len(self.rows)
        if not there:
            return [f"no architecture of {self.space.name} in the table has a target (half={self.options.half})"]
        if asked is None or there >= asked:
            return []
        return [f"{asked} architectures were asked for, the table has {there}"]


def _counts(reasons: Sequence[str]) -> dict[str, int]:
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
