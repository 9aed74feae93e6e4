"""How well one ranking agrees with another: Kendall's tau, Spearman's rho, intervals, noise ceiling, top-k.

Values are compared by order alone, so plus and minus infinity are legal (a diverged training ranks below every finished
one as -inf) and nan is not. Where a figure does not exist (fewer than `MINIMUM` points, all values equal) it is None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from nasjac.foundation.arguments import array, instance, number, whole
from nasjac.foundation.errors import InputError
from nasjac.mathematics.stratified_correlation import Array, weighted_rho, weighted_tau

MINIMUM = 3
#: most values that are ranked, for all pairs of them are compared, and most resamples
MOST_VALUES, MOST_RESAMPLES = 2**15, 10**6

Statistic = Callable[[ArrayLike, ArrayLike], float | None]


def kendall_tau(x: ArrayLike, y: ArrayLike) -> float | None:
    """Kendall's tau-b of `x` [n] and `y` [n]: (concordant - discordant) / sqrt(pairs untied in x * pairs untied in y).

    Kendall, "The treatment of ties in ranking problems", Biometrika 33, 1945.

    >>> round(kendall_tau([1, 2, 3], [1, 3, 2]), 4)  # 2 of 3 pairs in the same order, 1 not
    0.3333
    """
    return _known(weighted_tau, *_pair(x, y))


def spearman(x: ArrayLike, y: ArrayLike) -> float | None:
    """Spearman's rho of `x` [n] and `y` [n]: Pearson's correlation of the ranks, equal values sharing their mean rank.

    A value is greater than a others and less than b, so its rank less the mean rank is (a - b) / 2. That makes rho what
    tau is, with sums over pairs taken first (Daniels, Biometrika 33, 1944).

    >>> round(spearman([1, 2, 3], [1, 3, 2]), 4)
    0.5
    """
    return _known(weighted_rho, *_pair(x, y))


def bootstrap_interval(
    statistic: Statistic,
    x: ArrayLike,
    y: ArrayLike,
    generator: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of a rank statistic: pairs (x, y) drawn with replacement.

    Resamples in which the statistic does not exist (all values equal) are left out. None if it does not exist for the
    sample itself or for half of the resamples, or is the same in all of these: resamples of a perfect agreement agree
    perfectly, however few the points, which says nothing of its error. (Efron & Tibshirani, "An introduction to the
    bootstrap", 1993, chapter 13.)
    """
    x, y = _pair(x, y)
    instance("generator", generator, np.random.Generator, "a numpy.random.Generator")
    resamples, level = whole("resamples", resamples, 1, MOST_RESAMPLES), number("level", level, 0.0, 1.0)
    if statistic(x, y) is None:
        return None
    drawn = (generator.integers(x.size, size=x.size) for _ in range(resamples))
    found = [value for rows in drawn if (value := statistic(x[rows], y[rows])) is not None]
    if 2 * len(found) <= resamples or min(found) == max(found):
        return None
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def noise_ceiling(values: ArrayLike, statistic: Statistic = kendall_tau) -> float | None:
    """Agreement of a target with itself: mean of `statistic` over all pairs of replicates; `values` [n, replicates].

    A score cannot be expected to agree with a target much better than the target's replicates (training seeds) agree
    with each other. None with fewer than two replicates, or where a pair has no statistic.
    """
    table = array("values", values)
    if table.ndim != 2:
        raise InputError(f"`values` must be [points, replicates], got {table.shape}")
    found = [statistic(table[:, i], table[:, j]) for i, j in combinations(range(table.shape[1]), 2)]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known and len(known) == len(found) else None


@dataclass(frozen=True)
class TopK:
    """What the `k` points that the score likes best are worth.

    `shared`    how many of them are among the k best by the target
    `expected`  how many that would be by chance, k² / n
    `regret`    best target minus the best target among the k; None where that is not finite
    """

    k: int
    shared: int
    expected: float
    regret: float | None


def top_k(score: ArrayLike, target: ArrayLike, k: int) -> TopK | None:
    """The `k` highest by `score` against the `k` highest by `target`, ties by index; None unless 1 <= k <= n."""
    score, target, k = *_pair(score, target), whole("k", k)
    if not 1 <= k <= score.size:
        return None
    liked, best = (np.argsort(-values, kind="stable")[:k] for values in (score, target))
    top, reached = target.max(), target[liked].max()
    regret = float(top - reached) if np.isfinite(top) and np.isfinite(reached) else None
    return TopK(k, len(np.intersect1d(liked, best)), k * k / score.size, regret)


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    x, y = array("x", x), array("y", y)
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(f"`x` and `y` must be of one length, got shapes {x.shape} and {y.shape}")
    if x.size > MOST_VALUES:
        raise InputError(f"`x` and `y` must hold at most {MOST_VALUES} values, whose pairs are compared, got {x.size}")
    for name, values in (("x", x), ("y", y)):
        if np.isnan(values).any():
            raise InputError(f"`{name}` must hold no nan, got nan at index {int(np.argmax(np.isnan(values)))}")
    return x, y


def _known(statistic: Callable[[Array, Array, Array], Array], x: Array, y: Array) -> float | None:
    """A weighted statistic of points that count once each, None where it does not exist."""
    [value] = statistic(x, y, np.ones((1, x.size))) if x.size >= MINIMUM else [np.nan]
    return None if np.isnan(value) else float(np.clip(value, -1, 1))
