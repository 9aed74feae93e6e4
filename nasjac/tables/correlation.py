"""The answer of `nasjac correlate`: what a score is worth on a table of trained architectures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nasjac.tables.agreement import Agreement
from nasjac.tables.table import Problem


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
