"""What counts as critical, and what a prescription is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nasjac.architecture.fields import settle
from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import number
from nasjac.kinds.facts import columns
from nasjac.mathematics.meanfield import expected_norms
from nasjac.mathematics.meanfield.moments import Array

#: nats by which an edge of the band may be missed: round-off of deep chains
ROUND_OFF = 1e-9
#: standard errors that sampling may be apart from a closed form or from the band
ERRORS = 4.0
#: why no knob helps a chain of identities
PRUNED = "every branch is pruned: 𝒥 = 1 whatever is changed"


@dataclass(frozen=True)
class Prescription:
    """One change of one architecture, or why a knob cannot make it.

    `knob`             branch_scale, weight_gain, skip_density or placement
    `before`, `after`  its value: mean branch scale (all kept scales are multiplied alike), gain, mean of the skip gates, or
                       the placement's name; `after` is None where the knob cannot do it
    `change`           its size: |ln(after / before)| of scale and gain, |after − before| of the density, 1 for a placement
    `spec`             the architecture after it
    `log_norm_before`, `log_norm_after`  log 𝒥(h_0 → h_L), nats
    `slope`            d log 𝒥 at `before`, per e-fold of scale and gain, per unit of density (of a fixed pattern: by the
                       strongest single switch); None for a placement
    `reason`           why there is no `after`
    """

    knob: str
    before: float | str
    log_norm_before: float
    after: float | str | None = None
    change: float | None = None
    spec: Spec | None = None
    log_norm_after: float | None = None
    slope: float | None = None
    reason: str | None = None

    @property
    def nats_per_percent(self) -> float | None:
        """What log 𝒥 answers to one percent of scale or gain, or to .01 of density."""
        return None if self.slope is None else self.slope / 100


@dataclass(frozen=True)
class Band:
    """The critical values of log 𝒥, in nats."""

    target: float = 0.0
    tolerance: float = 1.0

    def __post_init__(self) -> None:
        settle(self, "target", float(number("target", self.target)))
        settle(self, "tolerance", float(number("tolerance", self.tolerance, 0.0)))

    def contains(self, log_norm: float) -> bool:
        """Whether it is critical, up to round-off."""
        return abs(log_norm - self.target) <= self.tolerance + ROUND_OFF

    def edge(self, log_norm: float) -> float:
        """The edge nearest to a value outside."""
        return self.target + (self.tolerance if log_norm > self.target else -self.tolerance)

    @property
    def in_words(self) -> str:
        """Its ends, such as "from -1 to 1"."""
        return f"from {self.target - self.tolerance:g} to {self.target + self.tolerance:g}"

    def __str__(self) -> str:
        return f"[{self.target - self.tolerance:g}, {self.target + self.tolerance:g}]"


CRITICAL = Band()


def log_norms(specs: Sequence[Spec], stream_variance: float) -> Array:
    """[B] log 𝒥(h_0 → h_L) of each spec, typical over its skip patterns."""
    with np.errstate(divide="ignore", invalid="ignore"):  # a scale whose square is no double any more: −inf
        return expected_norms(columns(specs), stream_variance).forward_typical[:, -1]
