"""From the Jacobian samples of an architecture to its measurement: status, terms with standard errors, profile.

Letters: S skip patterns of an ensemble (1 otherwise), D draws of weights, I inputs of a draw, L blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasjac.architecture.measurement import TERMS, Estimate, Layer, Measurement, Status
from nasjac.sampling.estimators import NAMES, Terms, profile, terms, token_terms
from nasjac.sampling.samples import Array, Samples

#: An architecture is diverged where a larger share of draws (of an ensemble, of draws of its patterns) has a zero Jacobian,
#: at one input at least. Below it the terms are those of the other draws: E log 𝒥 of the draws with 𝒥 > 0.
DEAD_DRAWS = 0.1


class SampledTerms(NamedTuple):
    """What samples say of an architecture.

    `dead`    share of samples with a zero Jacobian
    `terms`   where all of them are finite
    `living`  [S, D] the draws of each pattern without a zero Jacobian, of which the terms and the profile speak
    """

    status: Status
    reason: str | None
    dead: Estimate
    terms: Terms | None
    living: NDArray[np.bool_]


def sampled_terms(samples: Sequence[Samples | None], solves: bool, objective: str) -> SampledTerms:
    """Return the terms of an architecture from the samples of each of its skip patterns, None where memory has no room.

    `objective` is the term that is asked for, which with what it is made of must be finite; `solves` says whether some
    block is the solution of an equation.
    """
    unknown, nothing = Estimate(None, None), np.zeros((0, 0), dtype=bool)
    held = [item for item in samples if item is not None]
    if len(held) < len(samples):
        return SampledTerms("out_of_memory", "there is no memory for it, even alone", unknown, None, nothing)
    failure = next((reason for item in held if (reason := failure_of(item))), None)
    if failure is not None and solves:
        failure += ": Newton's method finds no solution of the block, or it has none"
    dead_SDI = np.stack([is_dead(item) for item in held])
    dead_D, living = dead_SDI.mean(axis=(0, 2)), np.logical_not(dead_SDI.any(axis=2))
    dead = _estimate(dead_D.mean(), dead_D.std(ddof=1) / math.sqrt(len(dead_D)))
    lost = 1 - float(living.mean())
    if failure is None and lost > DEAD_DRAWS:
        failure = f"{lost:.3g} of the draws have a zero Jacobian, more than {DEAD_DRAWS:g}"
    if failure is not None:
        return SampledTerms("diverged", failure, dead, None, living)
    values = terms(held, living)
    needed = NAMES[:-1] if objective == "trainability_cost" else ("log_mean", "mean_log", "sd_log", "log_decorrelation")
    missing = [name for name in needed if not np.isfinite(values.values[NAMES.index(name)])]
    failure = f"{missing[-1]} is not finite" if missing else None
    return SampledTerms("diverged" if missing else "ok", failure, dead, values, living)


def measurement_of(key: str, result: SampledTerms, samples: Sequence[Samples | None], draws: int) -> Measurement:
    """Return the measurement of the architecture `key` whose samples gave `result`; a profile of a single pattern alone."""
    held = [item for item in samples if item is not None]
    single = samples[0] if len(samples) == 1 and result.status == "ok" else None
    return Measurement(
        key=key,
        status=result.status,
        reason=result.reason,
        terms=_estimates(result, held),
        profile=_profile(single, result.living) if single is not None else (),
        draws=draws,
    )


def measured_at(key: str, samples: Samples) -> Measurement:
    """Return what samples of one network with fixed weights say, a pair of points a draw.

    The terms are those of the sampled score, their spread and their standard errors over points and probes.
    """
    result = sampled_terms([samples], False, "trainability_cost")
    return measurement_of(key, result, [samples], len(samples.decorrelation))


def _estimates(result: SampledTerms, held: Sequence[Samples]) -> dict[str, Estimate]:
    estimates = dict.fromkeys(TERMS, Estimate(None, None)) | {"dead_fraction": result.dead}
    if result.terms is not None:
        values = zip(NAMES, result.terms.values, result.terms.errors, strict=True)
        estimates |= {name: _estimate(value, error) for name, value, error in values}
        estimates |= {name: _estimate(value, error) for name, (value, error) in token_terms(held, result.living).items()}
    return estimates


def is_dead(samples: Samples) -> NDArray[np.bool_]:
    """[D, I] where the Jacobian is zero, in one direction at least: in the other it may be round-off."""
    ends = np.concatenate([samples.forward[..., -1], samples.backward[..., 0], samples.round_trip], axis=-1)
    return np.asarray(np.isneginf(ends).any(axis=-1))


def failure_of(samples: Samples) -> str | None:
    """Where activations or Jacobian first stop being finite, or None."""
    bad = np.isnan(samples.stream) | np.isposinf(samples.stream)
    if bad.any():
        return f"the activations are not finite at layer {np.flatnonzero(bad.any(axis=(0, 1)))[0]}"
    for name, energies in (("forward", samples.forward), ("backward", samples.backward)):
        bad = np.isnan(energies) | np.isposinf(energies)
        if bad.any():
            layers = np.flatnonzero(bad.any(axis=(0, 1, 2)))
            return f"the {name} Jacobian is not finite at layer {layers[0] if name == 'forward' else layers[-1]}"
    return None


def _profile(samples: Samples, living: NDArray[np.bool_]) -> tuple[Layer, ...]:
    """The norms of the draws that are `living` [1, D], by layer; from a layer to itself the Jacobian is the identity."""
    last = samples.stream.shape[-1] - 1
    directions: tuple[tuple[Literal["forward", "backward"], Array, int], ...] = (
        ("forward", samples.forward, 0),
        ("backward", samples.backward, last),
    )
    return tuple(
        Layer(f"h_{number}", direction, *((0.0, 0.0, 0.0) if number == origin else map(_finite, row)))
        for direction, energies, origin in directions
        if energies.size
        for number, row in enumerate(zip(*profile(energies[living[0]]), strict=True))
    )


def _estimate(value: float, error: float) -> Estimate:
    return Estimate(_finite(value), _finite(error))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
