"""From Jacobian samples to terms with standard errors.

Letters: S skip patterns (1 unless the architecture is an ensemble), D draws of weights, I inputs of a draw, P probes of an
input in one direction, N width, M moments.

Every term is a smooth function of means over draws, so its standard error is the jackknife's over draws: inputs and probes
of one draw share its weights and are not independent.

Probe noise biases the logarithm of an estimated norm, which `nasjac.mathematics.logarithms` removes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasjac.mathematics.logarithms import debiased, debiased_ratio, jackknife_error, jackknife_variance
from nasjac.mathematics.trainability import trainability_cost, trainability_penalty
from nasjac.sampling.samples import Array, Samples

#: of the formulas in this file: measurements by another version are not compared with
VERSION = 2

#: the terms of `terms`, in the order of its last dimension
NAMES = (
    *("trainability_cost", "trainability_penalty"),
    *("log_mean", "mean_log", "sd_log", "log_rank", "log_decorrelation", "sd_log_patterns"),
)

#: the terms of `token_terms`
TOKEN_TERMS = ("token_mean_log", "token_mean_log_backward", "token_log_decorrelation")

SD_LOG, PENALTY = NAMES.index("sd_log"), NAMES.index("trainability_penalty")

#: moments of a draw before those of each input (`_moments`)
MOMENTS = 5
#: How far up the scale of the logarithm the error of a skewed term is taken, in standard errors (`_upwards`). Chosen on
#: other architectures than those of `tests/sampling/test_coverage.py`.
UPPER = 3.5


class Terms(NamedTuple):
    """`values` and `errors` of the terms `NAMES`, [8] each; `left_out` [D, 8]: the values without one draw at a time.

    What the samples do not determine is NaN: `sd_log_patterns` of a single pattern; rank and cost without round trips.
    """

    values: Array
    errors: Array
    left_out: Array

    def draw_error(self, term: str) -> float:
        """The standard error over draws alone: an ensemble's patterns are what they are."""
        return float(np.sqrt(jackknife_variance(self.left_out[:, NAMES.index(term)])))

    def excess(self, other: Terms, term: str) -> tuple[float, float]:
        """How much larger a term is here than there, over the same draws, and the paired difference's standard error."""
        index = NAMES.index(term)
        difference = self.left_out[:, index] - other.left_out[:, index]
        return float(self.values[index] - other.values[index]), float(np.sqrt(jackknife_variance(difference)))


def terms(patterns: Sequence[Samples], living: NDArray[np.bool_] | None = None) -> Terms:
    """The terms from the samples of each skip pattern, over the draws that are `living` [S, D] (all unless given).

    Samples of living draws must be finite, and each pattern should have at least three; one that has fewer is left out. The
    error of an ensemble adds the jackknife over its patterns.
    """
    draws = len(patterns[0].decorrelation)
    alive = np.ones((len(patterns), draws), dtype=bool) if living is None else living
    held = [(s, rows) for s, rows in zip(patterns, alive, strict=True) if rows.sum() > 2]
    alive = np.stack([rows for _, rows in held])
    ends = [np.concatenate([s.forward[rows][..., -1], s.backward[rows][..., 0]], axis=-1) for s, rows in held]
    shift = max(float(end.max()) for end in ends)
    moments = np.zeros((len(held), draws, MOMENTS + 2 * ends[0].shape[1]))
    for into, (samples, rows), end in zip(moments, held, ends, strict=True):
        into[rows] = _moments(samples, rows, end, shift)

    counts, sums = alive.sum(axis=1), moments.sum(axis=1)
    fewer = counts - alive.T  # [D, S]
    without_draw = (sums - moments.swapaxes(0, 1)) / fewer[..., None]  # [D, S, M]
    left_out = _values(without_draw, fewer, shift)
    values = _values(sums / counts[:, None], counts, shift)
    variance = jackknife_variance(left_out)
    if len(held) > 1:
        others = [np.delete(np.arange(len(held)), pattern) for pattern in range(len(held))]
        without_pattern = np.stack([_values(sums[rest] / counts[rest, None], counts[rest], shift) for rest in others])
        variance = variance + jackknife_variance(without_pattern)
    deviation, its_error = _sd_over_patterns(moments[:, alive.all(axis=0), 1])
    fourth = jackknife_variance(left_out[:, SD_LOG] ** 4)
    with np.errstate(divide="ignore", invalid="ignore"):  # where nothing differs there is no error, nor a larger one
        relative = np.sqrt(jackknife_variance(np.log(_whole_variance(without_draw, fewer)) / 2))
    errors = _widened(np.sqrt(variance), math.sqrt(fourth), float(np.nan_to_num(relative)))
    left_out = np.column_stack([left_out, np.full(draws, math.nan)])
    return Terms(np.append(values, deviation), np.append(errors, its_error), left_out)


def _widened(errors: Array, fourth: float, relative: float) -> Array:
    """The errors, those of `sd_log` and of its fourth power in the penalty, `fourth`, taken where their intervals end.

    Few draws are often far below the spread of 𝒥, whose estimate is skewed to the right, and then find its error small.
    As steps of a logarithm its errors have one size, `relative`: that of the spread with the probes' noise, which is what
    the draws show.
    """
    found = errors.copy()
    found[SD_LOG] *= _upwards(relative)
    found[PENALTY] = math.sqrt(max(0.0, errors[PENALTY] ** 2 - fourth**2) + (fourth * _upwards(4 * relative)) ** 2)
    return found


def _upwards(relative: float) -> float:
    """How much larger a relative error s, at most 1, is by k errors up the scale of the logarithm: (e^(ks) − 1) / ks."""
    step = UPPER * min(1.0, relative)
    return math.expm1(step) / step if step > 0 else 1.0


def _moments(samples: Samples, rows: NDArray[np.bool_], ends: Array, shift: float) -> Array:
    """[D, M] per-draw means of one pattern, from log energies `ends` [D, I, P] of both directions: E 𝒥, log 𝒥, the noise of
    log 𝒥, log of tr A² / tr A (NaN without round trips), decorrelation, and log 𝒥 and its square of each input.
    """
    log = debiased(ends)
    trips = samples.round_trip[rows]
    known = samples.forward[rows][..., : trips.shape[-1], -1]
    ratio = debiased_ratio(trips, known).mean(axis=1) if trips.size else np.full(len(ends), math.nan)
    return np.column_stack(
        [
            np.exp(ends - shift).mean(axis=(1, 2)),
            log.value.mean(axis=1),
            log.noise.mean(axis=1),
            ratio,
            samples.decorrelation[rows],
            log.value,
            log.value**2,
        ]
    )


def _values(means: Array, draws: NDArray[np.int_], shift: float) -> Array:
    """[..., 7] all terms but the last, from means [..., S, M] over `draws` [..., S] draws.

    The variance of log 𝒥 is that of the estimates, over draws and for each input, less the noise of the probes.
    """
    average = means.mean(axis=-2)
    mean_log, log_effective_rank = average[..., 1], average[..., 1] - average[..., 3]
    variance = _whole_variance(means, draws) - average[..., 2]
    sd_log = np.sqrt(np.maximum(variance, 0.0))  # the unbiased estimate of a variance may fall below zero
    with np.errstate(divide="ignore"):  # identical outputs of all inputs: log 0
        log_mean, log_decorrelation = shift + np.log(average[..., 0]), np.log(average[..., 4])
    costs = [
        of(mean_log, sd_log, log_effective_rank, log_decorrelation) for of in (trainability_cost, trainability_penalty)
    ]
    return np.stack([*costs, log_mean, mean_log, sd_log, log_effective_rank, log_decorrelation], axis=-1)


def _whole_variance(means: Array, draws: NDArray[np.int_]) -> Array:
    """[...] the variance over draws of the estimates of log 𝒥 of an input, noise and all, mean over inputs and patterns."""
    first, second = np.split(means[..., MOMENTS:], 2, axis=-1)
    return np.asarray(((second - first**2).mean(axis=-1) * draws / (draws - 1)).mean(axis=-1))


def _sd_over_patterns(logs_SD: Array) -> tuple[float, float]:
    """Standard deviation of E log 𝒥 over patterns, draw noise removed (two-way layout), and its standard error."""
    patterns, draws = logs_SD.shape
    if patterns < 3 or draws < 2:
        return math.nan, math.nan

    def deviation(rows: Array) -> Array:
        means = rows.mean(axis=1)
        rest = rows - means[:, None] - rows.mean(axis=0) + rows.mean()
        noise = (rest**2).sum() / ((len(rows) - 1) * (draws - 1) * draws)
        return np.asarray(math.sqrt(max(0.0, means.var(ddof=1) - noise)))

    return float(deviation(logs_SD)), float(jackknife_error(deviation, logs_SD))


def token_terms(patterns: Sequence[Samples], living: NDArray[np.bool_] | None = None) -> dict[str, tuple[float, float]]:
    """What tells tokens apart, by term, with standard errors over the draws that are `living` [S, D] (all unless given).

    Nothing of samples without tokens. `token_mean_log` and `token_mean_log_backward` are E log 𝒥_⊥: of what differs between
    tokens in h_L forward, in h_0 backward. `token_log_decorrelation` is E log of the share of ‖h_L‖² that differs between
    tokens. −inf where nothing differs.
    """
    if not patterns[0].stream_tokens.size:
        return {}
    alive = np.ones((len(patterns), len(patterns[0].stream_tokens)), dtype=bool) if living is None else living
    ends = {
        "token_mean_log": [s.forward[..., -1] + s.forward_tokens[..., -1] for s in patterns],
        "token_mean_log_backward": [s.backward[..., 0] + s.backward_tokens[..., 0] for s in patterns],
        "token_log_decorrelation": [s.stream_tokens[..., -1] for s in patterns],
    }
    found = {}
    for name, logs in ends.items():
        if logs[0].size:
            with np.errstate(invalid="ignore"):  # where no token differs in some draw, log 0 has no error
                values = [
                    np.where(rows, debiased(log).value.mean(axis=-1), 0.0) for rows, log in zip(alive, logs, strict=True)
                ]
                rows = alive.any(axis=0)
                by_draw = np.sum(values, axis=0)[rows] / alive.sum(axis=0)[rows]  # [D]
                found[name] = (float(by_draw.mean()), float(by_draw.std(ddof=1) / math.sqrt(len(by_draw))))
    return found


def profile(energies: Array) -> tuple[Array, Array, Array]:
    """log_mean, mean_log and the standard error of the latter, [L+1] each, from finite log energies [D, I, P, L+1]."""
    shift = energies.max(axis=(0, 1, 2))
    log_mean = shift + np.log(np.exp(energies - shift).mean(axis=(0, 1, 2)))
    by_draw = debiased(energies.swapaxes(2, 3)).value.mean(axis=1)  # [D, L+1]
    return log_mean, by_draw.mean(axis=0), by_draw.std(axis=0, ddof=1) / math.sqrt(len(by_draw))
