"""prescribe, of an architecture: the smallest change of each knob that brings it to criticality, verified by sampling."""

from __future__ import annotations

import math

import torch

from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import shown
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import columns
from nasjac.mathematics.logarithms import mean_of_log
from nasjac.mathematics.meanfield import expected_norms, fluctuations
from nasjac.mathematics.meanfield.expected import model_error
from nasjac.mathematics.probes import on_sphere
from nasjac.models.prescribed_spec import Change, CheckedNorms, SpecPrescription
from nasjac.models.prescription import ERRORS, Band, Prescription, prescriptions
from nasjac.scores import measure
from nasjac.scores.apjn import Apjn

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
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"`seed` must be a whole number of at least 0, got {shown(seed)}")
    found, spec = prescriptions(spec, *band, stream_variance), spec.canonical
    specs = {item.key: item for item in (spec, *(p.spec for p in found if p.spec is not None))}
    # directions alone are drawn: the closed form starts from a stream of one size
    stream = torch.randn(INPUTS, spec.width, generator=torch.Generator().manual_seed(seed))
    score = Apjn(rel_error=PRECISION, max_draws=MAX_DRAWS, patterns=PATTERNS, seed=seed, plan="forward")
    sampled = measure(list(specs.values()), math.sqrt(stream_variance) * on_sphere(stream), score, device=device)
    norms = {item.key: _checked(item, one, stream_variance) for item, one in zip(specs.values(), sampled, strict=True)}
    changes = tuple(_change(p, band, None if p.spec is None else norms[p.spec.key]) for p in found)
    return SpecPrescription(spec, band, float(stream_variance), bool(columns([spec]).exact[0]), norms[spec.key], changes)


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
