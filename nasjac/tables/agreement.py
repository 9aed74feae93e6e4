"""How well a score ranks trained architectures, beside the trivial baselines: overall, within strata, and at the top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nasjac.mathematics.rank_correlation import TopK, top_k
from nasjac.mathematics.stratified_correlation import Mask, ndcg, near
from nasjac.tables.bootstrap import Array, Interval, against_best, interval, number, resampled, statistics

#: largest difference of parameters within a stratum, as a share of the larger
NEAR = 0.1


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
    counts = resampled(target.size, resamples, seed)
    k = max(1, target.size // 10)
    taus, rhos = statistics({"score": score, **baselines}, target, counts, None)
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


def _ranking(tau: Array, rho: Array) -> Ranking:
    return Ranking(number(tau[0]), interval(tau), number(rho[0]), interval(rho))


def _compared(taus: Mapping[str, Array], rhos: Mapping[str, Array]) -> Compared:
    (best, difference), (best_rho, rho_difference) = against_best(taus), against_best(rhos)
    return Compared(
        **vars(_ranking(taus["score"], rhos["score"])),
        best_baseline=best,
        difference=number(difference[0]),
        difference_interval=interval(difference),
        best_baseline_spearman=best_rho,
        spearman_difference=number(rho_difference[0]),
        spearman_difference_interval=interval(rho_difference),
    )


def _stratum(everything: Mapping[str, Array], target: Array, counts: Array, mask: Mask) -> Stratum:
    taus, rhos = statistics(everything, target, counts, mask)
    baselines = {name: number(values[0]) for name, values in taus.items() if name != "score"}
    return Stratum(**vars(_compared(taus, rhos)), pairs=int(mask.sum() - len(mask)) // 2, baselines=baselines)
