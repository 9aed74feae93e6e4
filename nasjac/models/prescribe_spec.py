"""prescribe, of an architecture: the smallest change of each knob that brings it to criticality, verified by sampling."""

from __future__ import annotations

import math
from typing import cast

import torch

from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import whole
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import columns
from nasjac.kinds.residual_mlp.spec import ResidualMLP
from nasjac.mathematics.logarithms import mean_of_log
from nasjac.mathematics.meanfield import expected_norms, fluctuations
from nasjac.mathematics.meanfield.expected import model_error
from nasjac.mathematics.probes import on_sphere
from nasjac.models.prescribed_spec import Change, CheckedNorms, SpecPrescription
from nasjac.models.prescription.band import ERRORS, Band, Prescription, log_norms
from nasjac.models.prescription.dials import branch_scale, skip_probability, turned, weight_gain
from nasjac.models.prescription.switches import placements, skip_pattern
from nasjac.scores import measure
from nasjac.scores.apjn import Apjn
from nasjac.scores.closed_forms import uncovered

#: samples of the synthetic stream; standard error of E log 𝒥 that is asked for, in nats, with at most so many draws
INPUTS, PRECISION, MAX_DRAWS = 1024, 0.1, 256
#: skip patterns that stand for an ensemble
PATTERNS = 32
#: share of the gap between log E 𝒥 and E log 𝒥 that the log-normal law usually misses
LAW_ERROR = 0.1
#: round-off of a sampled logarithm in float32
ROUND_OFF = 1e-4


def prescribe_spec(
    spec: Spec, band: Band, stream_variance: float, seed: int, device: torch.device | str
) -> SpecPrescription:
    """Find the smallest change of each knob, and sample the architecture as it is and after every change.

    All architectures are sampled in one call on one synthetic stream, standard normal directions of second moment
    `stream_variance` per unit, with the same weights and probes, in float32, until the standard error of E log 𝒥 is at most
    0.1 or there are 256 draws. A change is `confirmed` if the E log 𝒥 sampled after it is in the band, up to 4 standard
    errors, and `agrees` if that is what the closed form expects.

    Raises:
        InputError: The closed forms do not cover the architecture, or a bad number.
    """
    whole("seed", seed)
    found, spec = prescriptions(spec, band.target, band.tolerance, stream_variance), spec.canonical
    specs = {item.key: item for item in (spec, *(p.spec for p in found if p.spec is not None))}
    # directions alone are drawn: the closed form starts from a stream of one size
    stream = torch.randn(INPUTS, spec.width, generator=torch.Generator().manual_seed(seed))
    score = Apjn(rel_error=PRECISION, max_draws=MAX_DRAWS, patterns=PATTERNS, seed=seed, plan="forward")
    sampled = measure(list(specs.values()), math.sqrt(stream_variance) * on_sphere(stream), score, device=device)
    norms = {item.key: _checked(item, one, stream_variance) for item, one in zip(specs.values(), sampled, strict=True)}
    changes = tuple(_change(p, band, None if p.spec is None else norms[p.spec.key]) for p in found)
    return SpecPrescription(spec, band, float(stream_variance), bool(columns([spec]).exact[0]), norms[spec.key], changes)


def prescriptions(
    spec: Spec, target: float = 0.0, tolerance: float = 1.0, stream_variance: float = 1.0
) -> list[Prescription]:
    """One prescription a knob (a placement each), the smallest change first; empty where `spec` is critical already.

    Critical is |log 𝒥(h_0 → h_L) − target| ≤ tolerance, over a stream h_0 of second moment `stream_variance` per unit;
    the plateau of best trainability is E log 𝒥 in (−1, 1). A change ends at the nearest edge of that band. log 𝒥 is log E 𝒥
    over weights, and for an ensemble its mean over skip patterns: that of a typical pattern
    (`nasjac.mathematics.meanfield.expected`).

    Changes of scale, gain (|ln ratio|) and density (absolute) are compared as numbers. A placement comes after them, for it
    is another architecture and has no small changes; a knob that cannot do it comes last, with its reason.

    Raises:
        InputError: The closed forms do not cover the spec, or a bad number.

    >>> from nasjac import Block
    >>> [(p.knob, p.before, round(p.after, 4)) for p in prescriptions(Spec.of(width=64, blocks=(Block(),) * 32))[:3]]
    [('skip_density', 1.0, 0.6562), ('weight_gain', 1.0, 0.502), ('branch_scale', 1.0, 0.252)]
    """
    if reason := uncovered(spec):
        raise InputError(reason)
    chain, band = cast(ResidualMLP, spec.canonical), Band(target, tolerance)  # the closed forms cover no other kind
    before = float(log_norms([chain], stream_variance)[0])
    if not math.isfinite(before):
        raise InputError(f"`spec` must have a finite log 𝒥 in closed form, got {before}")
    if band.contains(before):
        return []
    dials = [branch_scale(chain), weight_gain(chain), *([skip_probability(chain)] if chain.is_ensemble else [])]
    found = [turned(dial, band, before, stream_variance) for dial in dials]
    found += [] if chain.is_ensemble else [skip_pattern(chain, band, before, stream_variance)]
    found += placements(chain, band, before, stream_variance)
    return sorted(found, key=lambda p: (p.change is None, p.knob == "placement", p.change or 0.0))


def _checked(spec: Spec, sampled: Measurement, stream_variance: float) -> CheckedNorms:
    """One architecture by the closed form and by sampling.

    E log 𝒥 is log E 𝒥 − ½ ln(1 + cv²), under the log-normal law (Hanin & Nica 2020). `stated_error` is the usual size of
    what that misses, or, where log E 𝒥 holds for N → ∞ alone, of what a finite width adds: 1.5 L/N. The latter is no bound,
    and nothing is decided by it.
    """
    chain = columns([spec])
    norms, spread = expected_norms(chain, stream_variance), fluctuations(chain, spec.width, stream_variance)
    typical, exact = norms.forward_typical[0], bool(norms.exact[0])
    log_norm, expected = float(typical[-1]), float(mean_of_log(typical, spread.forward[0])[-1])
    stated = LAW_ERROR * float(spread.forward[0, -1]) / 2
    if not exact:
        stated = float(model_error(norms.exact, len(spec.blocks), spec.width)[0])
    value, error = sampled.terms["mean_log"].value, sampled.terms["mean_log"].standard_error
    agrees = None
    if exact and value is not None and error is not None:
        agrees = abs(value - expected) <= ERRORS * error + stated + ROUND_OFF
    return CheckedNorms(
        log_norm=log_norm,
        expected_mean_log=expected,
        stated_error=stated,
        sampled_status=sampled.status,
        sampled_mean_log=value,
        sampled_mean_log_error=error,
        agrees=agrees,
        forward_log_norm=typical.tolist(),
        backward_log_norm=norms.backward_typical[0].tolist(),
    )


def _change(found: Prescription, band: Band, after: CheckedNorms | None) -> Change:
    confirmed = None
    if after and after.sampled_mean_log is not None and after.sampled_mean_log_error is not None:
        slack = ERRORS * after.sampled_mean_log_error + ROUND_OFF
        confirmed = abs(after.sampled_mean_log - band.target) <= band.tolerance + slack
    return Change(found, after, confirmed)
