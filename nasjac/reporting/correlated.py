"""How well a score ranks trained architectures, beside the trivial baselines: overall, within strata, and at the top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from nasjac.ranking import MINIMUM, spearman, top_k
from nasjac.strata import Mask, ndcg, near, weighted_tau

Array = NDArray[np.float64]

#: what parameters may differ by within a stratum, share of the larger
NEAR = 0.1
LEVEL = 0.95


def agreement(
    score: Array, target: Array, baselines: Mapping[str, Array], pairs: Mapping[str, Mask], resamples: int, seed: int
) -> dict[str, Any]:
    """Figures of one score, all arrays [n]; higher is meant to be better. What does not exist is None.

    `pairs` names strata by which pairs of architectures lie within one. Every interval is the 95% percentile interval over
    the same bootstrap resamples of architectures, so that a difference is paired.
    """
    counts = _resampled(target.size, resamples, seed)
    everything = {"score": score, **baselines}
    taus = {name: _taus(values, target, counts, None) for name, values in everything.items()}
    ranks = {name: _spearman_interval(values, target, counts) for name, values in everything.items()}
    rows = {
        name: {
            **_with_interval("kendall_tau", taus[name]),
            "spearman": spearman(values, target),
            "spearman_interval": ranks[name],
        }
        for name, values in everything.items()
    }
    k = max(1, target.size // 10)
    top = top_k(score, target, k) if target.size else None
    return {
        **rows.pop("score"),
        "n": int(target.size),
        "baselines": rows,
        **_against_best(taus),
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
            own, other = row["kendall_tau"], row["baselines"][rival]
            said.append(f"{name} does not beat {rival} within {words}: tau {own:.3f} against {other:.3f}")
    return said


def _resampled(n: int, resamples: int, seed: int) -> Array:
    """[1 + R, n] how often each architecture is in the sample itself and in each resample."""
    if not n:
        return np.ones((1, 0))
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return np.concatenate([np.ones((1, n)), drawn])


def _taus(values: Array, target: Array, counts: Array, mask: Mask | None) -> Array:
    """[1 + R] tau of the sample itself and of each resample, nan where there is none."""
    if target.size < MINIMUM:
        return np.full(len(counts), np.nan)
    return weighted_tau(values, target, counts, mask)


def _stratum(everything: Mapping[str, Array], target: Array, counts: Array, mask: Mask) -> dict[str, Any]:
    taus = {name: _taus(values, target, counts, mask) for name, values in everything.items()}
    known = {name: _number(found[0]) for name, found in taus.items()}
    own = _with_interval("kendall_tau", taus["score"])
    pairs = int(mask.sum() - len(mask)) // 2
    return {"pairs": pairs, **own, "baselines": {n: v for n, v in known.items() if n != "score"}, **_against_best(taus)}


def _against_best(taus: Mapping[str, Array]) -> dict[str, Any]:
    """The paired difference to the baseline with the largest tau."""
    known = {name: found for name, found in taus.items() if name != "score" and not np.isnan(found[0])}
    if not known or np.isnan(taus["score"][0]):
        return {"best_baseline": None, "difference": None, "difference_interval": None}
    best = max(known, key=lambda name: known[name][0])
    row = _with_interval("difference", taus["score"] - known[best])
    return {"best_baseline": best, "difference": row["difference"], "difference_interval": row["interval"]}


def _with_interval(name: str, values: Array) -> dict[str, Any]:
    return {name: _number(values[0]), "interval": _interval(values)}


def _interval(values: Array) -> list[float] | None:
    """Of resamples, the sample itself first; None where there are too few, or all are the same."""
    found = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or 2 * found.size <= values.size - 1 or found.min() == found.max():
        return None
    return [float(bound) for bound in np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])]


def _spearman_interval(values: Array, target: Array, counts: Array) -> list[float] | None:
    if target.size < MINIMUM:
        return None
    rows = np.array([np.repeat(np.arange(target.size), count.astype(int)) for count in counts])
    x, y = (rankdata(drawn[rows], axis=1) - (target.size + 1) / 2 for drawn in (values, target))
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return _interval(np.divide((x * y).sum(axis=1), scale, out=np.full(len(x), np.nan), where=scale > 0))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
