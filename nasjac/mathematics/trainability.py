"""The trainability cost S*, the trainability penalty and merit: one number from the terms of a measurement.

Letters: n architectures. The four terms of the Jacobian are E log 𝒥, sd log 𝒥, log(r/N) with r the effective rank, and
log(1 − c) with c the correlation of the outputs of two inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: nats of [−E log 𝒥]₊ + ½ [E log 𝒥]₊ that weigh as much as a standard deviation of one nat
TOLERANCE = 6.0
#: the parts of merit: those of expressivity, and those of the penalty
EXPRESSIVITY = ("capacity", "decorrelation")
HARMS = ("criticality", "spread", "effective_rank", "output_decorrelation")
PARTS = EXPRESSIVITY + HARMS


def criticality(mean_log: Array) -> Array:
    """Return −([−E log 𝒥]₊ + ½ [E log 𝒥]₊), elementwise: 0 of a critical network, less where 𝒥 vanishes or explodes.

    Vanishing counts twice as much as explosion because a learning rate can absorb the latter.
    """
    return np.asarray(np.where(mean_log < 0, mean_log, -0.5 * mean_log))


def trainability_cost(mean_log: Array, sd_log: Array, log_effective_rank: Array, log_decorrelation: Array) -> Array:
    """Return S* = [−E log 𝒥]₊ + ½ [E log 𝒥]₊ + sd log 𝒥 − log(r/N) − log(1 − c), in nats, lower is better; elementwise.

    sd is the failure to self-average, r/N the isotropy of the Jacobian.

    >>> float(trainability_cost(np.float64(-1), np.float64(0.5), np.float64(-2), np.float64(-0.25)))
    3.75
    """
    return np.asarray(-criticality(mean_log) + sd_log - log_effective_rank - log_decorrelation)


def trainability_penalty(mean_log: Array, sd_log: Array, log_effective_rank: Array, log_decorrelation: Array) -> Array:
    """Return the sum of `penalties`: what a network cannot make up for by being expressive (`merit`).

    Unlike in S*, each term enters by its square: small ones, which all trainable networks have, cost next to nothing, and
    where they are large nothing makes up for them.

    >>> float(trainability_penalty(np.float64(-6), np.float64(0.5), np.float64(-2), np.float64(-0.25)))
    1.625
    """
    return np.asarray(sum(penalties(mean_log, sd_log, log_effective_rank, log_decorrelation).values()))


def penalties(mean_log: Array, sd_log: Array, log_effective_rank: Array, log_decorrelation: Array) -> dict[str, Array]:
    """Return (criticality / 6)², (var log 𝒥)², log²(r/N) / 8 and log²(1 − c), by the names `HARMS`, lower is better."""
    values = (
        np.square(criticality(mean_log) / TOLERANCE),
        np.square(np.square(sd_log)),
        np.square(log_effective_rank) / 8,
        np.square(log_decorrelation),
    )
    return dict(zip(HARMS, values, strict=True))


def merit(expressivity: ArrayLike, penalty: ArrayLike) -> Array:
    """Return −log(e^−expressivity + e^penalty), in nats, higher is better; elementwise.

    Half the harmonic mean of e^expressivity, a product of shares of a population that are surpassed, and e^−penalty: the
    weaker of the two decides, and what is in excess of it counts for little.

    >>> round(float(merit(-0.5, 0.5)), 4), round(float(merit(0, 9)), 4)
    (-1.1931, -9.0001)
    """
    return np.asarray(-np.logaddexp(-np.asarray(expressivity), penalty))


def merit_parts(capacity: Array, decorrelation: Array, terms: Array) -> dict[str, Array]:
    """Return the parts of merit [n] by name, larger is better.

    `capacity` and `decorrelation` are log-percentiles [n] in a population, `terms` [4, n] those of the Jacobian.
    """
    return {
        "capacity": capacity,
        "decorrelation": decorrelation,
        **{name: -value for name, value in penalties(*terms).items()},
    }


def merit_of_parts(parts: Mapping[str, Array], without: Collection[str] = ()) -> Array:
    """Return the merit [n] of `merit_parts` without those named in `without`; −∞ where another one is NaN."""
    expressivity, harm = (
        sum((parts[name] for name in names if name not in without), np.zeros(1)) for names in (EXPRESSIVITY, HARMS)
    )
    missing = np.isnan(expressivity + harm)
    return merit(np.where(missing, -np.inf, expressivity), np.where(missing, 0.0, -harm))
