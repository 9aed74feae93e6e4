"""Terms of the Jacobian at initialization, each by itself, as scores of tables of Specs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from nasjac.architecture.fields import check_choice
from nasjac.architecture.measurement import TERMS, Measurement
from nasjac.architecture.spec import Spec
from nasjac.mathematics.trainability import criticality
from nasjac.scores.apjn import Apjn
from nasjac.tables.scores.base import Done, Scored, TableScore
from nasjac.tables.space import Material, TableSpace

#: architectures between two reports of progress
TOGETHER = 32


def _term(name: str, factor: float, measurement: Measurement) -> float | None:
    value = measurement.terms[name].value
    return None if value is None else factor * value


def _criticality(measurement: Measurement) -> float | None:
    value = measurement.terms["mean_log"].value
    return None if value is None else float(criticality(np.array(value)))


def _flatness(measurement: Measurement) -> float | None:
    layers = [layer.mean_log for layer in measurement.profile if layer.direction == "forward"]
    known = [value for value in layers if value is not None]
    return -float(np.std(known)) if known and len(known) == len(layers) else None


#: larger is better: the terms that say so themselves, and what is made of others
SCORED: dict[str, Callable[[Measurement], float | None]] = {
    **{term.ranks_as: partial(_term, name, term.sign) for name, term in TERMS.items() if term.ranks_as},
    "criticality": _criticality,
    "flatness": _flatness,
}
#: why an architecture that is ok has none
ABSENT = {
    "token_differential": "no tokens: of transformers alone",
    "flatness": "no finite profile by layers; an ensemble has none",
}


@dataclass(frozen=True)
class Term(TableScore):
    """One term of the Jacobian from input to output at initialization, sampled as by `nasjac.scores.apjn.Apjn`.

    trainability_cost     −S*
    criticality           −([−m]₊ + ½ [m]₊), m = E log 𝒥: a Jacobian that vanishes is worse than one that explodes
    spread                minus the standard deviation of log 𝒥
    effective_rank        log r/N, r the participation ratio (tr A)² / tr A², A = JJᵀ
    output_decorrelation  log(1 − c), c the correlation of the outputs of two inputs
    token_differential    log of the share of ‖h_L‖² that differs between tokens; of transformers
    flatness              minus the standard deviation over the layers l of E log 𝒥 from h_0 to h_l

    −∞ where the Jacobian is zero or not finite.

    `draws`, `rel_error`, `max_draws`, `seed`  as those of Apjn
    """

    which: str = "trainability_cost"
    draws: int = 16
    rel_error: float | None = 0.25
    max_draws: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("score.which", self.which, SCORED)
        self._measured_by()

    needs: ClassVar[Material] = Material.SPECS

    @property
    def name(self) -> str:
        """The term."""
        return self.which

    def measure(
        self, space: TableSpace, architectures: Sequence[Spec], inputs: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        """The term of each architecture, larger is better."""
        score, found = self._measured_by(), list[Scored]()
        for start in range(0, len(architectures), TOGETHER):
            found += map(self._scored, score.measure(architectures[start : start + TOGETHER], inputs, device))
            done(len(found))
        return found

    def _measured_by(self) -> Apjn:
        return Apjn(self.draws, self.rel_error, self.max_draws, seed=self.seed)

    def _scored(self, measurement: Measurement) -> Scored:
        if measurement.status == "diverged":
            return Scored(-math.inf, measurement.reason)
        if measurement.status != "ok":
            return Scored(None, f"{measurement.status}: {measurement.reason}")
        value = SCORED[self.which](measurement)
        return Scored(value, ABSENT.get(self.which, f"no {self.which}") if value is None else None)
