"""What each block of a residual chain does to the expected energy: the branch's energy, its share, its nonlinearity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nasjac.mathematics.meanfield.chain import EXTREME, Trajectory, trajectory
from nasjac.mathematics.meanfield.columns import Columns
from nasjac.mathematics.meanfield.moments import Array, nonlinearity


@dataclass(frozen=True)
class BlockEnergies:
    """What each block does to the expected energy, [B, L]; blocks that are not kept have energy 0 and share 0.

    `branch`        chi: the branch's expected ‖J_F‖_F² / N, norms on input and branch and the scale included
    `share`         the branch's share of the block's Jacobian energy, both averaged over the block's gates: chi / (s + chi)
                    without a norm on the sum, for a skip that is there with probability s has the energy E g² = s
    `nonlinearity`  share of the branch's output variance that its best linear fit leaves unexplained
    """

    branch: Array
    share: Array
    nonlinearity: Array


def block_energies(columns: Columns, stream_variance: ArrayLike = 1.0) -> BlockEnergies:
    """Expected branch energies, shares and nonlinearities of the blocks, from a stream of `stream_variance` [B].

    With random gates each block is taken at the mean size of its stream; a branch with probability p has p times its
    energy.
    """
    found = trajectory(columns, stream_variance)
    bend = columns.by_activation(nonlinearity, found.q).T
    return BlockEnergies(columns.keep * found.energy.T, _shares(columns, found), np.where(columns.keep > 0, bend, 0.0))


def _shares(columns: Columns, along: Trajectory) -> Array:
    """[B, L] the branch's share of E‖J‖_F² of a block, over its gates: identity μ g, and branch of energy chi.

    The two add up in expectation for each g, since the branch's last matrix is independent with zero mean. Their energies
    μ² g² and chi are divided by D_g, the mean square of the sum where a norm is on it and 1 elsewhere; g² is g. Here all is
    in units of 1 / D_1. A block whose branch is dropped has the energy 1.
    """
    energy, variance = along.energy.T, along.variance.T
    strength = columns.strength**2
    stream = np.exp(np.clip(along.log_stream[:-1].T, -EXTREME, EXTREME))
    on_sum = columns.on_sum[:, None]
    joined = np.where(on_sum, stream * (strength + variance) + columns.norm_eps, 1.0)
    cuts = on_sum & (columns.keep > 0) & (columns.skip < 1)
    cut = np.where(cuts, stream * variance + columns.norm_eps, joined)
    branch = columns.keep * energy * (columns.skip + (1 - columns.skip) * joined / cut)
    total = branch + columns.keep * columns.skip * strength + (1 - columns.keep) * joined
    return np.asarray(np.divide(branch, total, out=np.zeros_like(energy), where=branch > 0))
