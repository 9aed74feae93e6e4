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
    rows = {str(name): np.flatnonzero(np.asarray(columns.activation) == name) for name in np.unique(columns.activation)}
    gain, inner = np.asarray(columns.weight_gain) ** 2, np.where(columns.two_matrix, columns.inner_bias, 0.0)
    apart = [1 - start]
    for block in range(columns.depth):
        q = along.q[block]
        distance, second = np.zeros_like(q), np.ones_like(q)
        for name, members in rows.items():
            # beyond e^±200 every activation is at a limit, where the ratio taken here no longer depends on the size
            own = np.clip(q[members], math.exp(-200), math.exp(200))
            share = (q[members] - inner[members]) / q[members] * apart[-1][members]  # both inputs see the same bias
            apart_there = half_distance(name, own, own, own * np.minimum(share, 2), np.zeros_like(own))
            distance[members], second[members] = apart_there.second, MOMENTS[name](own).second
        branch = gain * distance / (gain * second + columns.outer_bias)
        identity, weight = np.asarray(columns.strength)[:, block] ** 2, along.variance[block]
        with np.errstate(divide="ignore", invalid="ignore"):  # neither path: such a block has no gate that is open
            joined = np.where(identity + weight > 0, (identity * apart[-1] + weight * branch) / (identity + weight), branch)
        keep, skip = columns.keep[:, block], columns.skip[:, block]
        apart.append(keep * (skip * joined + (1 - skip) * branch) + (1 - keep) * apart[-1])
    return np.stack(apart, axis=1)
