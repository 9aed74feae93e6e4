"""Does the score say what training says: rank correlations of predictors with accuracy, and what to hold them against.

Every correlation is turned so that plus means the predictor is right: a cost is negated, for a size (parameters, depth)
plus means that the larger one is the more accurate. An architecture that diverged ranks below every finished one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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
from nasjac.searching.objectives import COST
from nasjac.searching.validated import Pick, Trained

STATISTICS: Mapping[str, Statistic] = {"kendall": kendall_tau, "spearman": spearman}
#: sizes that cost nothing to know, as predictors
BASELINES = ("params", "flops", "depth", "skip_count")


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


#: on all trained picks ("all"), and on those drawn at random alone ("random")
BySubset = Mapping[str, Correlation]


@dataclass(frozen=True)
class Agreement:
    """How well a study's predictor agrees with accuracy, beside what to hold that against.

    `baselines`      {any other predictor: {statistic: its correlations}}
    `noise_ceiling`  how well training agrees with itself
    `top_k`          the quarter of the picks with the best predictor against that of the best accuracy
    """

    kendall: BySubset
    spearman: BySubset
    baselines: Mapping[str, Mapping[str, BySubset]]
    noise_ceiling: Ceiling
    top_k: TopK | None


def agreement(trained: Sequence[Pick], objectives: Mapping[str, str], resamples: int) -> Agreement:
    """Hold the first objective, every other one, the cost and the sizes against the accuracy of picks that are trained.

    All predictors see the same architectures, those with a value of the first objective, but for those of which a
    predictor has no value, and the same resamples of them.

    Args:
        trained: Picks with a training.
        objectives: {name in `Pick.facts`: "minimize" or "maximize"}.
        resamples: Of each bootstrap interval.
    """
    signs = {name: -1.0 if direction == "minimize" else 1.0 for name, direction in objectives.items()}
    predictor, sign = next(iter(signs.items()))
    others = {COST: -1.0} | dict.fromkeys(BASELINES, 1.0)
    known = [pick for pick in trained if pick.facts.get(predictor) is not None]
    subsets = {"all": known, "random": [pick for pick in known if "random" in pick.roles]}

    def correlations(name: str, sign: float) -> dict[str, dict[str, Correlation]]:
        return {
            label: {subset: _correlation(statistic, picks, name, sign, resamples) for subset, picks in subsets.items()}
            for label, statistic in STATISTICS.items()
        }

    accuracy, values = [_ranked(pick) for pick in known], [sign * pick.facts[predictor] for pick in known]
    return Agreement(
        **correlations(predictor, sign),
        baselines={name: correlations(name, s) for name, s in (others | signs | others).items() if name != predictor},
        noise_ceiling=_ceiling([pick.training for pick in trained if pick.training]),
        top_k=top_k(values, accuracy, max(1, len(known) // 4)),
    )


def _correlation(statistic: Statistic, picks: Sequence[Pick], name: str, sign: float, resamples: int) -> Correlation:
    """A rank statistic of a predictor and accuracy with its interval; the resamples depend on the number of picks alone."""
    picks = [pick for pick in picks if pick.facts.get(name) is not None]
    x, y = np.array([sign * pick.facts[name] for pick in picks]), np.array([_ranked(pick) for pick in picks])
    n, value = len(picks), statistic(x, y)
    if value is None:
        few = f"{n} architecture{'' if n == 1 else 's'}, a rank correlation needs {MINIMUM}"
        same = f"the {'predictor' if np.unique(x).size == 1 else 'accuracy'} is the same for all"
        return Correlation(n, None, reason=few if n < MINIMUM else same)
    interval = bootstrap_interval(statistic, x, y, np.random.default_rng(0), resamples)
    if interval is None:
        return Correlation(n, value, reason="no interval: too few architectures differ")
    return Correlation(n, value, *interval)


def _ceiling(found: Sequence[Trained]) -> Ceiling:
    """How well single seeds agree on the ranking: what training noise leaves of it."""
    seeds = sorted({seed for item in found for seed in item.by_seed})
    full = [[item.by_seed[seed] for seed in seeds] for item in found if set(item.by_seed) == set(seeds)]
    table = np.array(full, dtype=float).reshape(len(full), len(seeds))
    return Ceiling(len(full), len(seeds), noise_ceiling(table, kendall_tau), noise_ceiling(table, spearman))


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
