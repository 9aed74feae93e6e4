"""Agreement of two rankings within strata, many resamples at once; and how much of the best is near the top."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def weighted_tau(x: ArrayLike, y: ArrayLike, weights: ArrayLike, pairs: Mask | None = None) -> Array:
    """[R] Kendall's tau-b of `x` [n] and `y` [n] with the pairs (i, j) counted weights[r, i] * weights[r, j] times.

    `weights` [R, n] of ones is tau; counts of draws with replacement make it the tau of a bootstrap resample. `pairs`
    [n, n], symmetric, keeps some pairs alone. nan where there is no pair that differs in both. 512 rows of pairs at a time.

    >>> weighted_tau([1, 2, 3], [1, 3, 2], np.ones((1, 3))).round(4).tolist()
    [0.3333]
    """
    x, y, counts = np.asarray(x, np.float64), np.asarray(y, np.float64), np.asarray(weights, np.float32)
    sums = np.zeros((3, len(counts)))
    for rows in _slices(x.size):
        first, second = (_order(values, rows, pairs) for values in (x, y))
        for place, product in enumerate((first * second, first * first, second * second)):
            sums[place] += np.einsum("rn,rn->r", counts[:, rows], counts @ product.T, dtype=np.float64)
    return cosine(sums)


def weighted_rho(x: ArrayLike, y: ArrayLike, weights: ArrayLike, pairs: Mask | None = None) -> Array:
    """[R] Spearman's rho of `x` [n] and `y` [n] within strata, each point i counted weights[r, i] times.

    The rank of a point is that among the points j that it makes a pair of `pairs` [n, n] with, less their mean rank: half
    the sum over j of weights[r, j] sign(x_i - x_j). rho is the cosine of the two; with all pairs, where none are given, it
    is Spearman's. nan where all ranks are equal. 512 rows of pairs at a time.

    >>> weighted_rho([1, 2, 3], [1, 3, 2], np.ones((1, 3))).round(4).tolist()
    [0.5]
    """
    x, y, counts = np.asarray(x, np.float64), np.asarray(y, np.float64), np.asarray(weights, np.float32)
    sums = np.zeros((3, len(counts)))
    for rows in _slices(x.size):
        first, second = (counts @ _order(values, rows, pairs).T for values in (x, y))
        for place, (one, other) in enumerate(((first, second), (first, first), (second, second))):
            sums[place] += np.einsum("rn,rn,rn->r", counts[:, rows], one, other, dtype=np.float64)
    return cosine(sums)


def near(values: ArrayLike, share: float) -> Mask:
    """[n, n]: whether two positive values differ by at most `share` of the larger one."""
    column = np.asarray(values, float)[:, None]
    return np.asarray(np.abs(column - column.T) <= share * np.maximum(column, column.T))


def cosine(sums: Array) -> Array:
    """[R] from [3, R], the product of two vectors and their squares; nan where one is zero."""
    scale = np.sqrt(sums[1] * sums[2])
    found: Array = np.divide(sums[0], scale, out=np.full(sums.shape[1], np.nan), where=scale > 0)
    return found


def ndcg(score: ArrayLike, target: ArrayLike, k: int) -> float | None:
    """Normalized discounted cumulative gain of the `k` highest by `score`, ties by index: sum over places i = 1 ... k of
    gain / log2(1 + i) over that of the best order; the gain is the target's distance to its least value.

    None where all targets are equal. (Järvelin & Kekäläinen, ACM TOIS 20, 2002.)
    """
    score, gain = np.asarray(score, float), np.asarray(target, float)
    gain = gain - gain.min()
    discounts = 1 / np.log2(np.arange(2, 2 + min(k, gain.size)))
    best = float(np.sort(gain)[::-1][:k] @ discounts)
    return float(gain[np.argsort(-score, kind="stable")[:k]] @ discounts) / best if best > 0 else None


def _order(values: Array, rows: slice, pairs: Mask | None) -> NDArray[np.float32]:
    """[rows, n] the sign of the first of two less the second, infinities too; 0 where they are no pair."""
    first, second = values[rows, None], values[None, :]
    order: NDArray[np.float32] = np.subtract(first > second, first < second, dtype=np.float32)
    return order if pairs is None else order * pairs[rows]


def _slices(n: int, most: int = 512) -> Iterator[slice]:
    return (slice(start, min(n, start + most)) for start in range(0, n, most))
