"""How well a score ranks trained architectures, beside the trivial baselines: overall, within strata, and at the top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from nasjac.mathematics.rank_correlation import MINIMUM, top_k
from nasjac.mathematics.stratified_correlation import Mask, cosine, ndcg, near, weighted_rho, weighted_tau

Array = NDArray[np.float64]

#: what parameters may differ by within a stratum, share of the larger
NEAR = 0.1
LEVEL = 0.95


def agreement(
    score: Array, target: Array, baselines: Mapping[str, Array], pairs: Mapping[str, Mask], resamples: int, seed: int
) -> dict[str, Any]:
    """Figures of one score, all arrays [n]; higher is meant to be better. What does not exist is None.

    `pairs` names strata by which pairs of architectures lie within one. Every interval is the 95% percentile interval over
    the same bootstrap resamples of architectures, so that a difference is paired. Differences are to the best baseline in
    either direction, -depth being depth turned round.
    """
    counts = _resampled(target.size, resamples, seed)
    everything = {"score": score, **baselines}
    k = max(1, target.size // 10)
    top = top_k(score, target, k) if target.size else None
    return {
        **_compared(everything, target, counts, None),
        "n": int(target.size),
        "strata": {name: _stratum(everything, target, counts, mask) for name, mask in pairs.items()},
        "top": None if top is None else {"k": k, "shared": top.shared, "expected": top.expected, "regret": top.regret},
        "ndcg": ndcg(score, target, k) if target.size else None,
    }


def strata(params: Array, depth: Array) -> dict[str, Mask]:
    """Pairs whose parameters differ by at most a tenth, and pairs of equal depth."""
    return {"params_within_10_percent": near(params, NEAR), "equal_depth": near(depth, 0.0)}


def warnings(found: Mapping[str, Any], name: str) -> list[str]:
    """A sentence for each stratum within which the score does not beat the best baseline."""
    said = []
    for stratum, row in found["strata"].items():
        interval, rival, words = row["difference_interval"], row["best_baseline"], stratum.replace("_", " ")
        if row["kendall_tau"] is None:
            said.append(f"{name} cannot be judged within {words}: it or the target is the same in all pairs")
        elif rival is not None and (interval is None or interval[0] <= 0):
            own = row["kendall_tau"]
            other = own - row["difference"]
            doubt = "" if interval is None else f", a difference of {interval[0]:+.3f} to {interval[1]:+.3f}"
            said.append(f"{name} does not beat {rival} within {words}: tau {own:.3f} against {other:.3f}{doubt}")
    return said


def _resampled(n: int, resamples: int, seed: int) -> Array:
    """[1 + R, n] how often each architecture is in the sample itself and in each resample."""
    if not n:
        return np.ones((1, 0))
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return np.concatenate([np.ones((1, n)), drawn])


def _compared(everything: Mapping[str, Array], target: Array, counts: Array, mask: Mask | None) -> dict[str, Any]:
    """tau and rho of the score, of each baseline, and the paired differences to the best of these."""
    taus = {name: _taus(values, target, counts, mask) for name, values in everything.items()}
    rhos = {name: _rhos(values, target, counts, mask) for name, values in everything.items()}
    rows = {
        name: {
            "kendall_tau": _number(taus[name][0]),
            "interval": _interval(taus[name]),
            "spearman": _number(rhos[name][0]),
            "spearman_interval": _interval(rhos[name]),
        }
        for name in everything
    }
    best, difference = _against_best(taus)
    best_spearman, spearman_difference = _against_best(rhos)
    return {
        **rows.pop("score"),
        "baselines": rows,
        "best_baseline": best,
        "difference": _number(difference[0]),
        "difference_interval": _interval(difference),
        "best_baseline_spearman": best_spearman,
        "spearman_difference": _number(spearman_difference[0]),
        "spearman_difference_interval": _interval(spearman_difference),
    }


def _stratum(everything: Mapping[str, Array], target: Array, counts: Array, mask: Mask) -> dict[str, Any]:
    found = _compared(everything, target, counts, mask)
    taus = {name: row["kendall_tau"] for name, row in found["baselines"].items()}
    return {"pairs": int(mask.sum() - len(mask)) // 2, **found, "baselines": taus}


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


def _interval(values: Array) -> list[float] | None:
    """Of resamples, the sample itself first; None where there are too few, or all are the same."""
    found = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or 2 * found.size <= values.size - 1 or found.min() == found.max():
        return None
    return [float(bound) for bound in np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
