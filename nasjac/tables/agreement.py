"""How well a score ranks trained architectures, beside the trivial baselines: overall, within strata, and at the top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from nasjac.mathematics.rank_correlation import MINIMUM, TopK, top_k
from nasjac.mathematics.stratified_correlation import Mask, cosine, ndcg, near, weighted_rho, weighted_tau

Array = NDArray[np.float64]
Interval = tuple[float, float]

#: largest difference of parameters within a stratum, as a share of the larger
NEAR = 0.1
LEVEL = 0.95


@dataclass(frozen=True)
class Ranking:
    """How well a ranking agrees with the target: Kendall's tau and Spearman's rho, with 95% intervals; or None."""

    kendall_tau: float | None
    interval: Interval | None
    spearman: float | None
    spearman_interval: Interval | None


@dataclass(frozen=True)
class Compared(Ranking):
    """A score's ranking, and paired differences to the best baseline, which may be reversed (-depth: less is better)."""

    best_baseline: str | None
    difference: float | None
    difference_interval: Interval | None
    best_baseline_spearman: str | None
    spearman_difference: float | None
    spearman_difference_interval: Interval | None


@dataclass(frozen=True)
class Stratum(Compared):
    """A score's ranking over the `pairs` within a stratum; `baselines` are the taus of the baselines there."""

    pairs: int
    baselines: Mapping[str, float | None]


@dataclass(frozen=True)
class Agreement(Compared):
    """A score's ranking over all pairs of `n` architectures, within strata, and among the best tenth."""

    n: int
    baselines: Mapping[str, Ranking]
    strata: Mapping[str, Stratum]
    top: TopK | None
    ndcg: float | None

    def __repr__(self) -> str:
        """Return tau, rho and the difference to the best baseline."""
        figures = f"kendall_tau={_shown(self.kendall_tau, self.interval)}, spearman="
        figures += _shown(self.spearman, self.spearman_interval)
        rival = f"{_shown(self.difference, self.difference_interval)} against {self.best_baseline}"
        return f"{type(self).__name__}(n={self.n}, {figures}, difference={rival})"


def _shown(value: float | None, interval: Interval | None) -> str:
    bounds = "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
    return "None" if value is None else f"{value:.3f}{bounds}"


def agreement(
    score: Array, target: Array, baselines: Mapping[str, Array], pairs: Mapping[str, Mask], resamples: int, seed: int
) -> Agreement:
    """Return the figures of one score, all arrays [n]; higher is meant to be better.

    `pairs` names strata by which pairs of architectures lie within one. Every interval is the 95% percentile interval over
    the same bootstrap resamples of architectures, so that a difference is paired.
    """
    counts = _resampled(target.size, resamples, seed)
    k = max(1, target.size // 10)
    taus, rhos = _statistics({"score": score, **baselines}, target, counts, None)
    return Agreement(
        **vars(_compared(taus, rhos)),
        n=int(target.size),
        baselines={name: _ranking(taus[name], rhos[name]) for name in baselines},
        strata={name: _stratum({"score": score, **baselines}, target, counts, mask) for name, mask in pairs.items()},
        top=top_k(score, target, k) if target.size else None,
        ndcg=ndcg(score, target, k) if target.size else None,
    )


def strata(params: Array, depth: Array) -> dict[str, Mask]:
    """Return pairs whose parameters differ by at most a tenth, and pairs of equal depth."""
    return {"params_within_10_percent": near(params, NEAR), "equal_depth": near(depth, 0.0)}


def warnings(found: Agreement, name: str) -> list[str]:
    """Return a sentence for each stratum within which the score does not beat the best baseline."""
    said = []
    for stratum, row in found.strata.items():
        interval, words = row.difference_interval, stratum.replace("_", " ")
        if row.kendall_tau is None:
            said.append(f"{name} cannot be judged within {words}: it or the target is the same in all pairs")
        elif row.difference is not None and (interval is None or interval[0] <= 0):
            own, other = row.kendall_tau, row.kendall_tau - row.difference
            doubt = "" if interval is None else f", a difference of {interval[0]:+.3f} to {interval[1]:+.3f}"
            said.append(
                f"{name} does not beat {row.best_baseline} within {words}: tau {own:.3f} against {other:.3f}{doubt}"
            )
    return said


def _resampled(n: int, resamples: int, seed: int) -> Array:
    """[1 + R, n] how often each architecture is in the sample itself and in each resample."""
    if not n:
        return np.ones((1, 0))
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return np.concatenate([np.ones((1, n)), drawn])


def _statistics(
    everything: Mapping[str, Array], target: Array, counts: Array, mask: Mask | None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """tau and rho [1 + R] of the score and of each baseline: of the sample itself and of each resample."""
    taus = {name: _taus(values, target, counts, mask) for name, values in everything.items()}
    return taus, {name: _rhos(values, target, counts, mask) for name, values in everything.items()}


def _ranking(tau: Array, rho: Array) -> Ranking:
    return Ranking(_number(tau[0]), _interval(tau), _number(rho[0]), _interval(rho))


def _compared(taus: Mapping[str, Array], rhos: Mapping[str, Array]) -> Compared:
    (best, difference), (best_rho, rho_difference) = _against_best(taus), _against_best(rhos)
    return Compared(
        **vars(_ranking(taus["score"], rhos["score"])),
        best_baseline=best,
        difference=_number(difference[0]),
        difference_interval=_interval(difference),
        best_baseline_spearman=best_rho,
        spearman_difference=_number(rho_difference[0]),
        spearman_difference_interval=_interval(rho_difference),
    )


def _stratum(everything: Mapping[str, Array], target: Array, counts: Array, mask: Mask) -> Stratum:
    taus, rhos = _statistics(everything, target, counts, mask)
    baselines = {name: _number(values[0]) for name, values in taus.items() if name != "score"}
    return Stratum(**vars(_compared(taus, rhos)), pairs=int(mask.sum() - len(mask)) // 2, baselines=baselines)


def _taus(values: Array, target: Array, counts: Array, mask: Mask | None) -> Array:
    """[1 + R] tau of the sample itself and of each resample, nan where there is none."""
    if target.size < MINIMUM:
        return np.full(len(counts), np.nan)
    return weighted_tau(values, target, counts, mask)


def _rhos(values: Array, target: Array, counts: Array, mask: Mask | None) -> Array:
    """[1 + R] Spearman's rho, likewise; of all pairs by sorting, which is faster."""
    if target.size < MINIMUM:
        return np.full(len(counts), np.nan)
    if mask is not None:
        return weighted_rho(values, target, counts, mask)
    rows = np.array([np.repeat(np.arange(target.size), count.astype(int)) for count in counts])
    x, y = (rankdata(drawn[rows], axis=1) - (target.size + 1) / 2 for drawn in (values, target))
    return cosine(np.array([(x * y).sum(axis=1), (x * x).sum(axis=1), (y * y).sum(axis=1)]))


def _against_best(found: Mapping[str, Array]) -> tuple[str | None, Array]:
    """The baseline with the largest figure in the sample itself, in the direction that it has there, and the score's less
    that, [1 + R]; nan where there is none.
    """
    own = found["score"]
    known = {name: values for name, values in found.items() if name != "score" and not np.isnan(values[0])}
    if not known or np.isnan(own[0]):
        return None, np.full(len(own), np.nan)
    best = max(known, key=lambda name: abs(known[name][0]))
    return (f"-{best}", own + known[best]) if known[best][0] < 0 else (best, own - known[best])


def _interval(values: Array) -> Interval | None:
    """Of resamples, the sample itself first; None where there are too few, or all are the same."""
    found = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or 2 * found.size <= values.size - 1 or found.min() == found.max():
        return None
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
