"""Rank correlations of scores with a target over bootstrap resamples, paired: all scores over the same ones.

Letters: n architectures, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from nasjac.mathematics.rank_correlation import MINIMUM
from nasjac.mathematics.stratified_correlation import Mask, cosine, weighted_rho, weighted_tau

Array = NDArray[np.float64]
Interval = tuple[float, float]

LEVEL = 0.95


def resampled(n: int, resamples: int, seed: int) -> Array:
    """Return [1 + R, n], how often each architecture is in the sample itself and in each resample."""
    if not n:
        return np.ones((1, 0))
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return np.concatenate([np.ones((1, n)), drawn])


def statistics(
    everything: Mapping[str, Array], target: Array, counts: Array, mask: Mask | None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return tau and rho [1 + R] of the score and of each baseline: of the sample itself and of each resample.

    They are nan where there is none. Both are over the pairs of `mask`, all unless given.
    """
    if target.size < MINIMUM:
        nothing = dict.fromkeys(everything, np.full(len(counts), np.nan))
        return nothing, nothing
    taus = {name: weighted_tau(values, target, counts, mask) for name, values in everything.items()}
    return taus, {name: _rhos(values, target, counts, mask) for name, values in everything.items()}


def _rhos(values: Array, target: Array, counts: Array, mask: Mask | None) -> Array:
    """[1 + R] Spearman's rho; of all pairs by sorting, which is faster."""
    if mask is not None:
        return weighted_rho(values, target, counts, mask)
    rows = np.array([np.repeat(np.arange(target.size), count.astype(int)) for count in counts])
    x, y = (rankdata(drawn[rows], axis=1) - (target.size + 1) / 2 for drawn in (values, target))
    return cosine(np.array([(x * y).sum(axis=1), (x * x).sum(axis=1), (y * y).sum(axis=1)]))


def against_best(found: Mapping[str, Array]) -> tuple[str | None, Array]:
    """Return the baseline with the largest figure in the sample itself, in the direction that it has there.

    Beside it is the score's figure less that, [1 + R]; nan where there is none.
    """
    own = found["score"]
    known = {name: values for name, values in found.items() if name != "score" and not np.isnan(values[0])}
    if not known or np.isnan(own[0]):
        return None, np.full(len(own), np.nan)
    best = max(known, key=lambda name: abs(known[name][0]))
    return (f"-{best}", own + known[best]) if known[best][0] < 0 else (best, own - known[best])


def interval(values: Array) -> Interval | None:
    """Return the 95% percentile interval of resamples, the sample itself first.

    None where there are too few, or all are the same.
    """
    found = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or 2 * found.size <= values.size - 1 or found.min() == found.max():
        return None
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
