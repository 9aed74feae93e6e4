"""How far two inputs stay apart along residual chains: 1 − c, c the correlation of their streams. Infinite width.

Source: Poole et al. 2016 for the correlation map; Yang & Schoenholz 2017 for residual networks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from nasjac.foundation.errors import InputError
from nasjac.mathematics.meanfield.chain import trajectory
from nasjac.mathematics.meanfield.columns import Columns
from nasjac.mathematics.meanfield.kernels import half_distance
from nasjac.mathematics.meanfield.moments import MOMENTS, Array


def output_decorrelation(columns: Columns, correlation: ArrayLike, stream_variance: ArrayLike = 1.0) -> Array:
    """[B, L + 1] 1 − c of the streams of two inputs of equal size whose streams h_0 have correlation `correlation` [B].

    Carried as 1 − c, which keeps its digits where c approaches 1. Over random gates it is the mean of 1 − c, each block
    taken at the mean before it.
    """
    start = np.broadcast_to(np.asarray(correlation, dtype=np.float64), (len(columns),))
    if not (np.abs(start) <= 1).all():
        raise InputError(f"`correlation` must hold numbers in [-1, 1], got {float(start[~(np.abs(start) <= 1)][0])!r}")
    along = trajectory(columns, stream_variance)
    gain, inner = columns.weight_gain**2, np.where(columns.two_matrix, columns.inner_bias, 0.0)
    apart = [1 - start]
    for block in range(columns.depth):
        q = along.q[block]
        # beyond e^±200 every activation is at a limit, where the ratio taken here no longer depends on the size
        held = np.clip(q, math.exp(-200), math.exp(200))
        share = np.minimum((q - inner) / q * apart[-1], 2)  # both inputs see the same bias
        distance = columns.by_activation(_half_distance, held, share)
        second = columns.by_activation(lambda name, q: MOMENTS[name](q).second, held)
        branch = gain * distance / (gain * second + columns.outer_bias)
        identity, weight = columns.strength[:, block] ** 2, along.variance[block]
        with np.errstate(divide="ignore", invalid="ignore"):  # neither path: such a block has no gate that is open
            joined = np.where(identity + weight > 0, (identity * apart[-1] + weight * branch) / (identity + weight), branch)
        keep, skip = columns.keep[:, block], columns.skip[:, block]
        apart.append(keep * (skip * joined + (1 - skip) * branch) + (1 - keep) * apart[-1])
    return np.stack(apart, axis=1)


def _half_distance(name: str, q: Array, share: Array) -> Array:
    """½E(phi(x) − phi(y))² of x and y of variance q and correlation 1 − share."""
    return half_distance(name, q, q, q * share, np.zeros_like(q)).second
