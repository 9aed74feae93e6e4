"""From Jacobian samples to terms with standard errors.

Letters: S skip patterns (1 unless the architecture is an ensemble), D draws of weights, I inputs of a draw, P probes of an
input in one direction, N width, M moments.

Every term is a smooth function of means over draws, so its standard error is the jackknife's over draws: inputs and probes
of one draw share its weights and are not independent.

Probe noise biases the logarithm of an estimated norm. The bias of the logarithm of a mean of k probes is a power series in
1/k, whatever the spectrum of the Jacobian, so its leading terms cancel between means over 1, 2, ... of the same probes: the
generalized jackknife of Schucany, Gray & Owen (JASA 66, 1971), here `debiased`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nasjac.mathematics.trainability import trainability_cost, trainability_penalty

Array = NDArray[np.float64]

#: of the formulas in this file: measurements by another version are not compared with
VERSION = 2

#: the terms of `terms`, in the order of its last dimension
NAMES = (
    *("trainability_cost", "trainability_penalty"),
    *("log_mean", "mean_log", "sd_log", "log_rank", "log_decorrelation", "sd_log_patterns"),
)

SD_LOG, PENALTY = NAMES.index("sd_log"), NAMES.index("trainability_penalty")

#: moments of a draw before those of each input (`_moments`)
MOMENTS = 5
#: powers of 1/k that cancel, with means over at most so many different numbers k of probes, and the most probes for that
LEVELS, FEW = 4, 8
#: How far up the scale of the logarithm the error of a skewed term is taken, in standard errors (`_upwards`). Chosen on
#: other architectures than those of `tests/test_coverage.py`.
UPPER = 3.5


class Samples(Protocol):
    """What `nasjac.sampling.samples.Samples` offers; shapes there."""

    @property
    def forward(self) -> Array: ...
    @property
    def backward(self) -> Array: ...
    @property
    def round_trip(self) -> Array: ...
    @property
    def decorrelation(self) -> Array: ...


class TokenSamples(Protocol):
    """The part of `nasjac.sampling.samples.Samples` that tells tokens apart."""

    @property
    def forward(self) -> Array: ...
    @property
    def backward(self) -> Array: ...
    @property
    def stream_tokens(self) -> Array: ...
    @property
    def forward_tokens(self) -> Array: ...
    @property
    def backward_tokens(self) -> Array: ...


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


class Debiased(NamedTuple):
    """`value` [...], log E of probes without the bias of their number; `noise` [...], the variance that probes add to it.

    The sample variance of `value` less the mean of `noise` is an estimate of the variance of log E itself.
    """

    value: Array
    noise: Array


def debiased(logs: Array) -> Debiased:
    """The logarithm of the expectation over probes of e^logs, from logs [..., P], free of bias up to order P'.

    The logarithm of a mean over k of the probes has the bias c₁/k + c₂/k² + ..., so a sum over P' different k with the
    weights of `_subsets` has none up to 1/k^(P' − 1): P' = min(P, 4), or 2 where P is above 8. The square of the logarithm
    has such a series too, which gives `noise` = value² − Σ w log². −∞ where every probe is (a zero Jacobian); where only
    some are, there is no series, and the value is the plain logarithm of the mean, its noise NaN.
    """
    shares, weights = _subsets(logs.shape[-1])
    means = _log_means(logs, shares)
    with np.errstate(invalid="ignore"):
        value = np.where(np.isneginf(means).any(axis=-1), means[..., -1], means @ weights)
        return Debiased(value, value**2 - means**2 @ weights)


def debiased_ratio(numerator: Array, denominator: Array) -> Array:
    """log of a ratio of two expectations over the same probes, from logs [..., P] each, as `debiased` frees it of bias.

    Most noise of the two is common: ‖JᵀJu‖² / ‖Ju‖² of a Jacobian of rank 1 is the same for every u.
    """
    shares, weights = _subsets(numerator.shape[-1])
    return np.asarray((_log_means(numerator, shares) - _log_means(denominator, shares)) @ weights)


@cache
def _subsets(probes: int) -> tuple[Array, Array]:
    """[P, K] the share of each probe in each subset's mean, and [K] the weights that cancel 1/k, 1/k², ...

    Weights of sizes k solve Σ w = 1, Σ w/k = 0, Σ w/k² = 0, ...; subsets of one size share its weight.
    """
    sizes = np.arange(max(1, probes - (LEVELS if probes <= FEW else 2) + 1), probes + 1)
    by_size = np.linalg.solve(np.vander(1 / sizes, increasing=True).T, np.eye(len(sizes))[0])
    rows, weights = [], []
    for size, weight in zip(sizes, by_size, strict=True):
        chosen = list(combinations(range(probes), int(size)))
        rows += [np.isin(np.arange(probes), subset) / size for subset in chosen]
        weights += [weight / len(chosen)] * len(chosen)
    return np.array(rows, dtype=float).reshape(-1, probes).T, np.array(weights)


def _log_means(logs: Array, shares: Array) -> Array:
    """[..., K] logarithms of the means of e^logs [..., P] with these shares [P, K]."""
    top = logs.max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(np.isneginf(top), -np.inf, top + np.log(np.exp(logs - top) @ shares)))


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
    spread, spread_variance = _pattern_spread(moments[:, alive.all(axis=0), 1])
    fourth = jackknife_variance(left_out[:, SD_LOG] ** 4)
    with np.errstate(divide="ignore", invalid="ignore"):  # where nothing differs there is no error, nor a larger one
        relative = np.sqrt(jackknife_variance(np.log(_whole_variance(without_draw, fewer)) / 2))
    errors = _widened(np.sqrt(variance), math.sqrt(fourth), float(np.nan_to_num(relative)))
    left_out = np.column_stack([left_out, np.full(draws, math.nan)])
    return Terms(np.append(values, spread), np.append(errors, math.sqrt(spread_variance)), left_out)


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
    mean_log, log_rank = average[..., 1], average[..., 1] - average[..., 3]
    variance = _whole_variance(means, draws) - average[..., 2]
    sd_log = np.sqrt(np.maximum(variance, 0.0))  # the unbiased estimate of a variance may fall below zero
    with np.errstate(divide="ignore"):  # identical outputs of all inputs: log 0
        log_mean, log_decorrelation = shift + np.log(average[..., 0]), np.log(average[..., 4])
    costs = [of(mean_log, sd_log, log_rank, log_decorrelation) for of in (trainability_cost, trainability_penalty)]
    return np.stack([*costs, log_mean, mean_log, sd_log, log_rank, log_decorrelation], axis=-1)


def _whole_variance(means: Array, draws: NDArray[np.int_]) -> Array:
    """[...] the variance over draws of the estimates of log 𝒥 of an input, noise and all, mean over inputs and patterns."""
    first, second = np.split(means[..., MOMENTS:], 2, axis=-1)
    return np.asarray(((second - first**2).mean(axis=-1) * draws / (draws - 1)).mean(axis=-1))


def jackknife_variance(left_out: Array) -> Array:
    """Of a statistic, from its values with one item left out at a time [n, ...]."""
    return np.asarray((len(left_out) - 1) * left_out.var(axis=0))


def _pattern_spread(logs_SD: Array) -> tuple[float, float]:
    """Standard deviation of E log 𝒥 over patterns, draw noise removed (two-way layout), and its jackknife variance."""
    patterns, draws = logs_SD.shape
    if patterns < 3 or draws < 2:
        return math.nan, math.nan

    def spread(rows: Array) -> np.float64:
        means = rows.mean(axis=1)
        rest = rows - means[:, None] - rows.mean(axis=0) + rows.mean()
        noise = (rest**2).sum() / ((len(rows) - 1) * (draws - 1) * draws)
        return np.float64(math.sqrt(max(0.0, means.var(ddof=1) - noise)))

    left_out = np.stack([spread(np.delete(logs_SD, pattern, axis=0)) for pattern in range(patterns)])
    return float(spread(logs_SD)), float(jackknife_variance(left_out))


def token_terms(
    patterns: Sequence[TokenSamples], living: NDArray[np.bool_] | None = None
) -> dict[str, tuple[float, float]]:
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
