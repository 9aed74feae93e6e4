"""How far two inputs stay apart along residual chains: 1 − c, c the correlation of their streams. Infinite width.

Source: Poole et al. 2016 for the correlation map; Yang & Schoenholz 2017 for residual networks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nasjac.meanfield.chain import trajectory
from nasjac.meanfield.columns import Columns
from nasjac.meanfield.kernels import half_distance
from nasjac.meanfield.moments import MOMENTS, Array


def decorrelation(columns: Columns, correlation: ArrayLike, stream_variance: ArrayLike = 1.0) -> Array:
    """[B, L + 1] 1 − c of the streams of two inputs of equal size whose streams h_0 have correlation `correlation` [B].

    Carried as 1 − c, which keeps its digits where c approaches 1. Random gates enter by their means.
    """
    start = np.broadcast_to(np.asarray(correlation, dtype=np.float64), (len(columns),))
    if not (np.abs(start) <= 1).all():
        raise ValueError(f"`correlation` must hold numbers in [-1, 1], got {float(start[~(np.abs(start) <= 1)][0])!r}")
    along = trajectory(columns, stream_variance)
    rows = {str(name): np.flatnonzero(np.asarray(columns.activation) == name) for name in np.unique(columns.activation)}
    gain, inner = np.asarray(columns.weight_gain) ** 2, np.where(columns.two_matrix, columns.inner_bias, 0.0)
    apart = [1 - start]
    for block in range(columns.depth):
        q = along.q[block]
        distance, second = np.zeros_like(q), np.ones_like(q)
        for name, members in rows.items():
            own = q[members]
            gap = (own - inner[members]) * apart[-1][members]  # of the pre-activations; their bias is the same
            at_most = half_distance(name, own, own, np.minimum(gap, 2 * own), np.zeros_like(own))
            distance[members], second[members] = at_most.second, MOMENTS[name](own).second
        branch = gain * distance / (gain * second + columns.outer_bias)
        identity = np.asarray(columns.strength)[:, block] ** 2 * columns.skip[:, block]
        weight = along.variance[block]
        after = (identity * apart[-1] + weight * branch) / (identity + weight)
        apart.append(columns.keep[:, block] * after + (1 - columns.keep[:, block]) * apart[-1])
    return np.stack(apart, axis=1)
