"""The trainability cost S*, the trainability penalty and merit: one number from the terms of a measurement."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: nats of [−E log 𝒥]₊ + ½ [E log 𝒥]₊ that weigh as much as a standard deviation of one nat
TOLERANCE = 6.0


def trainability_cost(mean_log: Array, sd_log: Array, log_rank: Array, log_decorrelation: Array) -> Array:
    """S* = [−E log 𝒥]₊ + ½ [E log 𝒥]₊ + sd log 𝒥 − log(r/N) − log(1 − c), in nats, lower is better; elementwise.

    Vanishing counts twice as much as explosion because a learning rate can absorb the latter; sd is the failure to
    self-average, r/N the isotropy of the Jacobian, c the correlation of the outputs of two inputs.

    >>> float(trainability_cost(np.float64(-1), np.float64(0.5), np.float64(-2), np.float64(-0.25)))
    3.75
    """
    return np.asarray(_distance(mean_log) + sd_log - log_rank - log_decorrelation)


def trainability_penalty(mean_log: Array, sd_log: Array, log_rank: Array, log_decorrelation: Array) -> Array:
    """The sum of `penalties`: what a network cannot make up for by being expressive (`merit`).

    Unlike in S*, each term enters by its square: small ones, which all trainable networks have, cost next to nothing, and
    where they are large nothing makes up for them.

    >>> float(trainability_penalty(np.float64(-6), np.float64(0.5), np.float64(-2), np.float64(-0.25)))
    1.625
    """
    return np.asarray(sum(penalties(mean_log, sd_log, log_rank, log_decorrelation).values()))


def penalties(mean_log: Array, sd_log: Array, log_rank: Array, log_decorrelation: Array) -> dict[str, Array]:
    """By term, elementwise, lower is better: (distance to criticality / 6)², (var log 𝒥)², log²(r/N) / 8, log²(1 − c)."""
    return {
        "criticality": np.square(_distance(mean_log) / TOLERANCE),
        "spread": np.square(np.square(sd_log)),
        "effective_rank": np.square(log_rank) / 8,
        "output_decorrelation": np.square(log_decorrelation),
    }


def merit(expressivity: ArrayLike, penalty: ArrayLike) -> Array:
    """−log(e^−expressivity + e^penalty), in nats, higher is better; elementwise.

    Half the harmonic mean of e^expressivity, a product of shares of a population that are surpassed, and e^−penalty: the
    weaker of the two decides, and what is in excess of it counts for little.

    >>> round(float(merit(-0.5, 0.5)), 4), round(float(merit(0, 9)), 4)
    (-1.1931, -9.0001)
    """
    return np.asarray(-np.logaddexp(-np.asarray(expressivity), penalty))


def _distance(mean_log: Array) -> Array:
    """[−E log 𝒥]₊ + ½ [E log 𝒥]₊."""
    return np.asarray(np.where(mean_log < 0, -mean_log, 0.5 * mean_log))
