"""Merit of one architecture and its standard error, from places in a reference population and from the penalty.

Letters: S networks that an architecture stands for (1 unless it is an ensemble), D draws of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasjac.architecture.measurement import Estimate, Measurement
from nasjac.mathematics.trainability import merit

Array = NDArray[np.float64]


class Rank(NamedTuple):
    """The place of one network in the population.

    `capacity` is the log-percentile of FLOPs; `decorrelation` [D] per input and `by_draw` [D] its log-percentiles;
    `seconds` the network's share of the time.
    """

    capacity: float
    decorrelation: Array
    by_draw: Array
    seconds: float


def with_merit(item: Measurement, keys: Sequence[str], ranks: Mapping[str, Rank]) -> Measurement:
    """Return the measurement of the networks of these `keys`; an ensemble keeps the pattern of most merit."""
    group = [ranks[key] for key in keys]
    if item.status == "ok" and any(np.isnan(rank.decorrelation).any() for rank in group):
        item = replace(item, status="out_of_memory", reason="there is no memory for its decorrelation, even alone")
    decorrelation = _over_draws(np.array([rank.decorrelation for rank in group]))
    terms = {**item.terms, "jacobian_decorrelation": decorrelation}
    if item.status == "ok":
        terms["merit"] = _merit(*place(group), item.terms["trainability_penalty"])
    seconds = item.seconds + sum(ranks[key].seconds for key in set(keys))
    if not item.patterns:
        return replace(item, terms=terms, seconds=seconds)
    inner = tuple((text, with_merit(one, [one.key], ranks)) for text, one in item.patterns)
    merits = {one.key: value for _, one in inner if (value := one.terms["merit"].value) is not None}
    kept = max(merits, key=merits.__getitem__, default=None)
    return replace(item, terms=terms, patterns=inner, kept_key=kept, seconds=seconds)


def place(group: Sequence[Rank]) -> tuple[float, Estimate]:
    """Return log-percentiles of FLOPs and of decorrelation, means over the networks that an architecture stands for."""
    return float(np.mean([rank.capacity for rank in group])), _over_draws(np.array([rank.by_draw for rank in group]))


def _merit(capacity: float, ranked: Estimate, penalty: Estimate) -> Estimate:
    """Merit and its standard error, from the log-percentiles of capacity and decorrelation and from the penalty."""
    if ranked.value is None or penalty.value is None:
        return Estimate(None, None)
    expressivity = capacity + ranked.value
    score = float(merit(expressivity, penalty.value))
    share = math.exp(score - expressivity)  # of a change of expressivity in that of merit; the rest is the penalty's
    error = math.hypot(share * (ranked.standard_error or 0.0), (1 - share) * (penalty.standard_error or 0.0))
    return Estimate(score, error)


def _over_draws(values: Array) -> Estimate:
    """Mean over patterns and draws [S, D] and its standard error over draws, of those that have a value; none of few.

    A draw has none where (nearly) every input's Jacobian is zero. At least half of the draws must have one, and two.
    """
    known = np.isfinite(values)
    draws = known.any(axis=0)
    if draws.sum() < max(2, values.shape[1] / 2):
        return Estimate(None, None)
    by_draw = np.where(known, values, 0.0).sum(axis=0)[draws] / known.sum(axis=0)[draws]
    return Estimate(float(by_draw.mean()), float(by_draw.std(ddof=1) / math.sqrt(len(by_draw))))
