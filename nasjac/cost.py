"""The trainability cost S*: one number from the terms of a measurement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def trainability_cost(mean_log: Array, sd_log: Array, log_rank: Array, log_decorrelation: Array) -> Array:
    """S* = [−E log 𝒥]₊ + ½ [E log 𝒥]₊ + sd log 𝒥 − log(r/N) − log(1 − c), in nats, lower is better; elementwise.

    Vanishing counts twice as much as explosion because a learning rate can absorb the latter; sd is the failure to
    self-average, r/N the isotropy of the Jacobian, c the correlation of the outputs of two inputs.

    >>> float(trainability_cost(np.float64(-1), np.float64(0.5), np.float64(-2), np.float64(-0.25)))
    3.75
    """
    distance = np.where(mean_log < 0, -mean_log, 0.5 * mean_log)
    return np.asarray(distance + sd_log - log_rank - log_decorrelation)
