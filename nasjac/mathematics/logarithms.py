"""Expectations of logarithms without bias, and standard errors by the jackknife.

The logarithm of an estimate is not an unbiased estimate of the logarithm. Where the estimate is a mean of k probes the bias
is a power series in 1/k, whatever the probes' law, so its leading terms cancel between means over 1, 2, ... of the same
probes (`debiased`): the generalized jackknife of Schucany, Gray & Owen (JASA 66, 1971). Where the second moment over
initializations is known, the log-normal law gives the difference (`mean_of_log`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Value = TypeVar("Value", float, Array)

#: most different k whose means are combined so that powers of 1/k cancel; with more than FEW probes there are two
LEVELS, FEW = 4, 8


class Debiased(NamedTuple):
    """`value` [...], an estimate of log E without the bias of few probes; `noise` [...], the variance that probes add.

    The sample variance of `value` less the mean of `noise` is an estimate of the variance of log E itself.
    """

    value: Array
    noise: Array


def mean_of_log(log_mean: Value, log_relative_square: Value) -> Value:
    """Return E log 𝒥 = log E 𝒥 − ½ ln(1 + cv²), under the log-normal law.

    The law is Hanin & Nica's (Communications in Mathematical Physics 376, 2020) for the Jacobians of deep networks.

    Args:
        log_mean: log E 𝒥, a number or an array, in nats.
        log_relative_square: ln(1 + cv²) = ln(E 𝒥² / (E 𝒥)²), of the same shape.

    >>> mean_of_log(0.5, 1.0)
    0.0
    """
    return log_mean - log_relative_square / 2


def debiased(logs: Array, levels: int | None = None) -> Debiased:
    """Return the log of the expectation over probes of e^logs, from logs [..., P], free of bias up to order P'.

    The logarithm of a mean over k of the probes has the bias c₁/k + c₂/k² + ..., so a sum over P' different k with the
    weights of `_subsets` has none up to 1/k^(P' − 1): P' = min(P, 4), or 2 where P is above 8. The square of the logarithm
    has such a series too, which gives `noise` = value² − Σ w log². −∞ where every probe is (a zero Jacobian); where only
    some are, there is no series, and the value is the plain logarithm of the mean, its noise NaN. `levels` is P' where
    it is said; with 1 the bias is left in.
    """
    shares, weights = _subsets(logs.shape[-1], levels)
    means = _log_means(logs, shares)
    with np.errstate(invalid="ignore"):
        value = np.where(np.isneginf(means).any(axis=-1), means[..., -1], means @ weights)
        return Debiased(value, value**2 - means**2 @ weights)


def debiased_ratio(numerator: Array, denominator: Array) -> Array:
    """Return log of a ratio of two expectations over the same probes, from logs [..., P] each, free of bias as `debiased`.

    Most noise of the two is common: ‖JᵀJu‖² / ‖Ju‖² of a Jacobian of rank 1 is the same for every u.
    """
    shares, weights = _subsets(numerator.shape[-1])
    return np.asarray((_log_means(numerator, shares) - _log_means(denominator, shares)) @ weights)


def jackknife_variance(left_out: Array) -> Array:
    """Return the variance of a statistic from its values with one item left out at a time [n, ...].

    NaN where some value is not finite: logarithms of means have none without the item that is nearly all of the mean.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray((len(left_out) - 1) * left_out.var(axis=0))


def jackknife_error(statistic: Callable[[Array], Array], items: Array, axis: int = 0) -> Array:
    """Return the standard error of a statistic of `items` over the independent items along `axis`."""
    return np.sqrt(jackknife_variance(np.stack([statistic(np.delete(items, n, axis)) for n in range(items.shape[axis])])))


@cache
def _subsets(probes: int, levels: int | None = None) -> tuple[Array, Array]:
    """[P, K] the share of each probe in each subset's mean, and [K] the weights that cancel 1/k, 1/k², ...

    Weights of sizes k solve Σ w = 1, Σ w/k = 0, Σ w/k² = 0, ...; subsets of one size share its weight.
    """
    most = levels or (LEVELS if probes <= FEW else 2)
    sizes = np.arange(max(1, probes - most + 1), probes + 1)
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
