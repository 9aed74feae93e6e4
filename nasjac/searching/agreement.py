"""Does the score say what training says: rank correlations of predictors with accuracy, and what to hold them against.

Every correlation is turned so that plus means the predictor is right: a cost is negated, for a size (parameters, depth)
plus means that the larger one is the more accurate. An architecture that diverged ranks below every finished one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nasjac.mathematics.rank_correlation import (
    MINIMUM,
    Statistic,
    TopK,
    bootstrap_interval,
    kendall_tau,
    noise_ceiling,
    spearman,
    top_k,
)
from nasjac.searching.validated import Pick, Trained

STATISTICS: Mapping[str, Statistic] = {"kendall": kendall_tau, "spearman": spearman}


@dataclass(frozen=True)
class Correlation:
    """A rank correlation with its 95% bootstrap interval over `n` architectures; where None, `reason` says why."""

    n: int
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Ceiling:
    """Mean rank correlation between single training seeds, over the `n` architectures trained with all `seeds`."""

    n: int
    seeds: int
    kendall: float | None
    spearman: float | None


def compare(
    picks: Sequence[Pick], predictors: Mapping[str, float], needed: str, resamples: int
) -> dict[str, dict[str, Correlation]]:
    """{predictor: {statistic: Correlation}} with accuracy, over the trained picks that have a value of `needed`.

    `predictors` maps a name in `Pick.facts` to its sign, -1 where less is better. All predictors see the same
    architectures, but for those of which a predictor has no value, and the same resamples of them.
    """
    known = [pick for pick in picks if pick.training and pick.facts.get(needed) is not None]
    return {name: _correlations(known, name, sign, resamples) for name, sign in predictors.items()}


def _correlations(picks: Sequence[Pick], name: str, sign: float, resamples: int) -> dict[str, Correlation]:
    picks = [pick for pick in picks if pick.facts.get(name) is not None]
    x, y = np.array([sign * pick.facts[name] for pick in picks]), np.array([_ranked(pick) for pick in picks])
    return {label: correlation(statistic, x, y, resamples) for label, statistic in STATISTICS.items()}


def correlation(statistic: Statistic, x: ArrayLike, y: ArrayLike, resamples: int, seed: int = 0) -> Correlation:
    """A rank statistic of `x` [n] and `y` [n] with its interval; the resamples depend on (seed, n) alone."""
    n, value = np.size(x), statistic(x, y)
    if value is None:
        few = f"{n} architecture{'' if n == 1 else 's'}, a rank correlation needs {MINIMUM}"
        same = f"the {'predictor' if np.unique(x).size == 1 else 'accuracy'} is the same for all"
        return Correlation(n, None, reason=few if n < MINIMUM else same)
    interval = bootstrap_interval(statistic, x, y, np.random.default_rng(seed), resamples)
    if interval is None:
        return Correlation(n, value, reason="no interval: too few architectures differ")
    return Correlation(n, value, *interval)


def ceiling(found: Sequence[Trained]) -> Ceiling:
    """How well single seeds agree on the ranking: what training noise leaves of it
    (`nasjac.mathematics.rank_correlation.noise_ceiling`).
    """
    seeds = sorted({seed for item in found for seed in item.by_seed})
    full = [[item.by_seed[seed] for seed in seeds] for item in found if set(item.by_seed) == set(seeds)]
    table = np.array(full, dtype=float).reshape(len(full), len(seeds))
    return Ceiling(len(full), len(seeds), noise_ceiling(table, kendall_tau), noise_ceiling(table, spearman))


def best_quarter(picks: Sequence[Pick], predictor: str, sign: float) -> TopK | None:
    """The quarter of the trained picks with the best `predictor` (`sign` -1: the lowest) against that of best accuracy."""
    known = [pick for pick in picks if pick.training and pick.facts.get(predictor) is not None]
    return top_k(
        [sign * pick.facts[predictor] for pick in known], [_ranked(pick) for pick in known], max(1, len(known) // 4)
    )


def rivals(best: Pick, picks: Sequence[Pick], tolerance: float = 0.1) -> list[Pick]:
    """The other trained picks drawn at random whose parameters are `best`'s within `tolerance`, the most accurate first."""

    def equal(pick: Pick) -> bool:
        size, own = pick.facts["params"], best.facts["params"]
        near = None not in (size, own) and abs(size - own) <= tolerance * own
        return near and not {"matched", "random"}.isdisjoint(pick.roles)

    found = [pick for pick in picks if pick.training and pick.key != best.key and equal(pick)]
    return sorted(found, key=_ranked, reverse=True)


def _ranked(pick: Pick) -> float:
    return -math.inf if pick.accuracy is None else pick.accuracy
