"""The trainability cost S* and the trainability penalty: one number from the terms of a measurement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    """The sum of `penalties`: what `merit` takes off capacity and decorrelation.

    Unlike in S*, distance to criticality and the variance of log 𝒥 enter by their squares: small ones, which all trainable
    networks have, cost next to nothing, and where they are large nothing makes up for them.

    >>> float(trainability_penalty(np.float64(-6), np.float64(0.5), np.float64(-2), np.float64(-0.25)))
    2.3125
    """
    return np.asarray(sum(penalties(mean_log, sd_log, log_rank, log_decorrelation).values()))


def penalties(mean_log: Array, sd_log: Array, log_rank: Array, log_decorrelation: Array) -> dict[str, Array]:
    """By term, elementwise, lower is better: (distance to criticality / 6)², (var log 𝒥)², −½ log(r/N), −log(1 − c)."""
    return {
        "criticality": np.square(_distance(mean_log) / TOLERANCE),
        "spread": np.square(np.square(sd_log)),
        "effective_rank": -0.5 * log_rank,
        "output_decorrelation": -log_decorrelation,
    }


def _distance(mean_log: Array) -> Array:
    """[−E log 𝒥]₊ + ½ [E log 𝒥]₊."""
    return np.asarray(np.where(mean_log < 0, -mean_log, 0.5 * mean_log))
