"""From Jacobian samples to terms with standard errors.

Letters: S skip patterns (1 unless the architecture is an ensemble), D draws of weights, I = 2 inputs of a draw,
P = 2 probes of an input in each direction, N width, M moments.

Every term is a smooth function of means over draws, so its standard error is the jackknife's over draws: inputs and
probes of one draw share its weights and are not independent. Probe noise is taken out by products over independent
probes, never squares, and by the known bias of a logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from nasjac.cost import trainability_cost, trainability_penalty

Array = NDArray[np.float64]

#: the terms of `terms`, in the order of its last dimension
NAMES = (
    *("trainability_cost", "trainability_penalty"),
    *("log_mean", "mean_log", "sd_log", "log_rank", "log_decorrelation", "sd_log_patterns"),
)


class Samples(Protocol):
    """What `nasjac.networks.samples.Samples` offers; shapes there."""

    @property
    def forward(self) -> Array: ...
    @property
    def forward_angle(self) -> Array: ...
    @property
    def backward(self) -> Array: ...
    @property
    def round_trip(self) -> Array: ...
    @property
    def round_trip_angle(self) -> Array: ...
    @property
    def decorrelation(self) -> Array: ...


class TokenSamples(Protocol):
    """The part of `nasjac.networks.samples.Samples` that tells tokens apart."""

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


def log_bias(probes: int, rank: Array, width: int | Array) -> Array:
    """E log of the mean of `probes` spherical estimates of a squared norm, minus that norm's logarithm; elementwise.

    ψ(a) − ln a, with the gamma shape a that has the estimate's relative variance 2 (N/r − 1) / ((N + 2) k). For N → ∞
    this is a = kr/2, as for Gaussian probes; an isotropic Jacobian (r = N) has no bias. `rank` is clipped to [1, N].
    """
    excess = width / np.clip(rank, 1.0, width) - 1
    shape = np.divide(probes * (width + 2) / 2, excess, out=np.full_like(excess, np.inf), where=excess > 0)
    finite = np.where(np.isfinite(shape), shape, 1.0)
    bias = torch.digamma(torch.from_numpy(finite)).numpy() - np.log(finite)
    return np.where(np.isfinite(shape), bias, 0.0)


def terms(patterns: Sequence[Samples], width: int) -> Terms:
    """The terms from the samples of each skip pattern, which must be finite.

    The error of an ensemble adds the jackknife over its patterns.
    """
    ends = [np.concatenate([s.forward[..., -1], s.backward[..., 0]], axis=-1) for s in patterns]
    shift = max(float(end.max()) for end in ends)
    moments_of, values_of = (_moments, _values) if patterns[0].round_trip.size else (_forward_moments, _forward_values)
    moments = np.stack([moments_of(s, end, shift) for s, end in zip(patterns, ends, strict=True)])

    count, draws = moments.shape[:2]
    means = moments.mean(axis=1)
    without_draw = (draws * means - moments.swapaxes(0, 1)) / (draws - 1)  # [D, S, M]
    left_out = values_of(without_draw, draws - 1, shift, width)
    variance = jackknife_variance(left_out)
    if count > 1:
        without_pattern = np.stack([np.delete(means, pattern, axis=0) for pattern in range(count)])  # [S, S-1, M]
        variance = variance + jackknife_variance(values_of(without_pattern, draws, shift, width))
    spread, spread_variance = _pattern_spread(moments[:, :, 1])
    values = np.append(values_of(means, draws, shift, width), spread)
    return Terms(
        values, np.sqrt(np.append(variance, spread_variance)), np.column_stack([left_out, np.full(draws, math.nan)])
    )


def _moments(samples: Samples, ends: Array, shift: float) -> Array:
    """[D, M] per-draw means of one pattern, from log energies `ends` [D, I, 2P], forward probes first."""
    logs = _log_mean_exp(ends)
    one, other = _log_mean_exp(ends[..., :2]), _log_mean_exp(ends[..., 2:])
    weights = np.exp(samples.round_trip.sum(axis=-1) - 4 * logs)
    return np.column_stack(
        [
            *_norm_moments(ends, logs, one, other, shift),
            _log_mean_exp(samples.round_trip).mean(axis=1),
            weights.mean(axis=1),
            (weights * samples.round_trip_angle).mean(axis=1),
            samples.decorrelation,
        ]
    )


def _forward_moments(samples: Samples, ends: Array, shift: float) -> Array:
    """[D, M] the same from tangents alone, `ends` [D, I, P]; the rank is that of the bias, from the tangents' angle."""
    logs = _log_mean_exp(ends)
    products = np.exp(ends.sum(axis=-1) - 2 * logs)
    return np.column_stack(
        [
            *_norm_moments(ends, logs, ends[..., 0], ends[..., 1], shift),
            products.mean(axis=1),
            (products * samples.forward_angle[..., -1]).mean(axis=1),
            samples.decorrelation,
        ]
    )


def _norm_moments(ends: Array, logs: Array, one: Array, other: Array, shift: float) -> list[Array]:
    """The moments of the norm and its spread; `one` and `other` are log energies of independent probes [D, I]."""
    return [np.exp(ends - shift).mean(axis=(1, 2)), logs.mean(axis=1), one, other, one * other]


def _values(means: Array, draws: int, shift: float, width: int) -> Array:
    """[..., 7] all terms but the last, from means [..., S, M] over `draws` draws (for the covariance's bias)."""
    average = means.mean(axis=-2)
    mean_log, log_rank = _unbiased_logs(average[..., 1], average[..., 8], average[..., 9] / average[..., 10], width)
    log_mean, sd_log, log_decorrelation = _norm_values(means, average, draws, shift)
    costs = [of(mean_log, sd_log, log_rank, log_decorrelation) for of in (trainability_cost, trainability_penalty)]
    return np.stack([*costs, log_mean, mean_log, sd_log, log_rank, log_decorrelation], axis=-1)


def _forward_values(means: Array, draws: int, shift: float, width: int) -> Array:
    """[..., 7] the same without rank and costs."""
    average = means.mean(axis=-2)
    mean_log = average[..., 1] - log_bias(2, average[..., 8] / average[..., 9], width)
    log_mean, sd_log, log_decorrelation = _norm_values(means, average, draws, shift)
    unknown = np.full_like(mean_log, math.nan)
    return np.stack([unknown, unknown, log_mean, mean_log, sd_log, unknown, log_decorrelation], axis=-1)


def _norm_values(means: Array, average: Array, draws: int, shift: float) -> tuple[Array, Array, Array]:
    """log_mean, sd_log and log_decorrelation [...] from means [..., S, M] and their average over patterns [..., M]."""
    covariance = (means[..., 6:8] - means[..., 2:4] * means[..., 4:6]).mean(axis=(-2, -1)) * draws / (draws - 1)
    sd_log = np.sqrt(np.maximum(covariance, 0.0))  # the unbiased estimate of a variance may fall below zero
    with np.errstate(divide="ignore"):  # identical outputs of all inputs: log 0
        return shift + np.log(average[..., 0]), sd_log, np.log(average[..., -1])


def _unbiased_logs(log_energy: Array, log_fourth: Array, fourth_rank: Array, width: int) -> tuple[Array, Array]:
    """E log 𝒥 and E log(r/N) from the means of log T̂ (four probes) and log F̂ (two), F = tr A² = T² / r.

    Each logarithm carries its probe bias: that of F̂ = ‖JᵀJu‖² depends on the effective rank of A² (`fourth_rank`),
    that of T̂ on r itself, hence two rounds.
    """
    log_fourth = log_fourth - log_bias(2, fourth_rank, width)
    mean_log = log_energy
    for _ in range(2):
        log_rank = 2 * mean_log - log_fourth
        mean_log = log_energy - log_bias(4, width * np.exp(log_rank), width)
    return mean_log, 2 * mean_log - log_fourth


def jackknife_variance(left_out: Array) -> Array:
    """Of a statistic, from its values with one item left out at a time [n, ...]."""
    return np.asarray((len(left_out) - 1) * left_out.var(axis=0))


def _pattern_spread(logs_SD: Array) -> tuple[float, float]:
    """Standard deviation of E log 𝒥 over patterns, draw noise removed (two-way layout), and its jackknife variance."""
    patterns, draws = logs_SD.shape
    if patterns < 3:
        return math.nan, math.nan

    def spread(rows: Array) -> np.float64:
        means = rows.mean(axis=1)
        rest = rows - means[:, None] - rows.mean(axis=0) + rows.mean()
        noise = (rest**2).sum() / ((len(rows) - 1) * (draws - 1) * draws)
        return np.float64(math.sqrt(max(0.0, means.var(ddof=1) - noise)))

    left_out = np.stack([spread(np.delete(logs_SD, pattern, axis=0)) for pattern in range(patterns)])
    return float(spread(logs_SD)), float(jackknife_variance(left_out))


def token_terms(patterns: Sequence[TokenSamples]) -> dict[str, tuple[float, float]]:
    """What tells tokens apart, by term, with standard errors over draws; nothing of samples without tokens.

    `token_mean_log` and `token_mean_log_backward` are E log 𝒥_⊥: of what differs between tokens in h_L forward, in h_0
    backward, with the bias −1/(kr) of the k probes' logarithm left in (r counts the units of all tokens).
    `token_log_decorrelation` is E log of the share of ‖h_L‖² that differs between tokens. −inf where nothing differs.
    """
    if not patterns[0].stream_tokens.size:
        return {}
    ends = {
        "token_mean_log": [s.forward[..., -1] + s.forward_tokens[..., -1] for s in patterns],
        "token_mean_log_backward": [s.backward[..., 0] + s.backward_tokens[..., 0] for s in patterns],
        "token_log_decorrelation": [s.stream_tokens[..., -1] for s in patterns],
    }
    found = {}
    for name, logs in ends.items():
        if logs[0].size:
            means = [np.logaddexp.reduce(log, axis=-1) - math.log(log.shape[-1]) for log in logs]
            by_draw = np.stack([mean.mean(axis=-1) for mean in means]).mean(axis=0)  # [D]
            with np.errstate(invalid="ignore"):  # where no token differs in some draw, log 0 has no error
                found[name] = (float(by_draw.mean()), float(by_draw.std(ddof=1) / math.sqrt(len(by_draw))))
    return found


def profile(energies: Array, angles: Array, width: int) -> tuple[Array, Array, Array]:
    """log_mean, mean_log and the standard error of the latter, [L+1] each, from [D, I, P, L+1] and [D, I, L+1].

    The probe bias of `mean_log` is removed with each layer's own effective rank, r = T² / tr A²: the mean product of two
    energies over the mean squared product of the two vectors, each in units of their mean. Errors are the jackknife's.
    """
    draws, probes = len(energies), energies.shape[2]
    shift = energies.max(axis=(0, 1, 2))
    log_mean = shift + np.log(np.exp(energies - shift).mean(axis=(0, 1, 2)))
    logs = _log_mean_exp(energies.swapaxes(2, 3))
    products = np.exp(energies.sum(axis=2) - 2 * logs)
    moments = np.stack([logs, products, products * angles]).mean(axis=2)  # [3, D, L+1]
    means = moments.mean(axis=1)

    def corrected(log: Array, product: Array, square: Array) -> Array:
        return log - log_bias(probes, product / square, width)

    left_out = corrected(*((draws * means[:, None] - moments) / (draws - 1)))
    return log_mean, corrected(*means), np.sqrt(jackknife_variance(left_out))


def _log_mean_exp(logs: Array) -> Array:
    """Over the last dimension; the numbers must be finite."""
    top = logs.max(axis=-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.exp(logs - top).mean(axis=-1)))
