"""The smallest change of one knob of an architecture that brings it to criticality, by the closed form.

band      what counts as critical, and what a prescription is
dials     knobs that turn without steps: branch scale, weight gain, the probability of a skip
switches  knobs that click: which blocks of a fixed pattern keep their skip, where the norm sits
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.kinds.residual_mlp.spec import ResidualMLP
from nasjac.models.prescription.band import ERRORS, Band, Prescription, log_norms
from nasjac.models.prescription.dials import branch_scale, skip_probability, turned, weight_gain
from nasjac.models.prescription.switches import placements, skip_pattern
from nasjac.scores.closed_forms import uncovered

__all__ = ["ERRORS", "KNOBS", "Band", "Prescription", "log_norms", "prescriptions"]


def prescriptions(
    spec: Spec, target: float = 0.0, tolerance: float = 1.0, stream_variance: float = 1.0
) -> list[Prescription]:
    """One prescription a knob (a placement each), the smallest change first; empty where `spec` is critical already.

    Critical is |log 𝒥(h_0 → h_L) − target| ≤ tolerance, over a stream h_0 of second moment `stream_variance` per unit;
    the plateau of best trainability is E log 𝒥 in (−1, 1). A change ends at the nearest edge of that band. log 𝒥 is log E 𝒥
    over weights, and for an ensemble its mean over skip patterns: that of a typical pattern
    (`nasjac.mathematics.meanfield.expected`).

    Changes of scale, gain (|ln ratio|) and density (absolute) are compared as numbers. A placement comes after them, for it
    is another architecture and has no small changes; a knob that cannot do it comes last, with its reason. ValueError: the
    closed forms do not cover the spec, a bad number.

    >>> from nasjac import Block
    >>> [(p.knob, p.before, round(p.after, 4)) for p in prescriptions(Spec.of(width=64, blocks=(Block(),) * 32))[:3]]
    [('skip_density', 1.0, 0.6562), ('weight_gain', 1.0, 0.502), ('branch_scale', 1.0, 0.252)]
    """
    _check(spec, target, tolerance)
    chain = cast(ResidualMLP, spec.canonical)  # the closed forms cover no other kind
    band = Band(float(target), float(tolerance))
    before = float(log_norms([chain], stream_variance)[0])
    if not math.isfinite(before):
        raise InputError(f"`spec` must have a finite log 𝒥 in closed form, got {before}")
    if band.contains(before):
        return []
    found = [p for knob in KNOBS.values() for p in knob(chain, band, before, stream_variance)]
    return sorted(found, key=lambda p: (p.change is None, p.knob == "placement", p.change or 0.0))


def _check(spec: Spec, target: float, tolerance: float) -> None:
    if reason := uncovered(spec):
        raise InputError(reason)
    if not math.isfinite(target):
        raise InputError(f"`target` must be a finite number, got {target!r}")
    if not 0 <= tolerance < math.inf:
        raise InputError(f"`tolerance` must be a finite number of at least 0, got {tolerance!r}")


def _skip_density(spec: ResidualMLP, band: Band, before: float, stream_variance: float) -> list[Prescription]:
    if spec.is_ensemble:
        return [turned(skip_probability(spec), band, before, stream_variance)]
    return [skip_pattern(spec, band, before, stream_variance)]


Knob = Callable[[ResidualMLP, Band, float, float], list[Prescription]]

#: knob -> its prescriptions for a canonical spec that is not critical
KNOBS: dict[str, Knob] = {
    "branch_scale": lambda spec, band, before, stream: [turned(branch_scale(spec), band, before, stream)],
    "weight_gain": lambda spec, band, before, stream: [turned(weight_gain(spec), band, before, stream)],
    "skip_density": _skip_density,
    "placement": placements,
}
