"""Expected energies of the blocks of residual chains, by the recursion over blocks for the size of the stream.

Letters: B architectures, L blocks, G states of the stream (1 where gates are not random). K is the second moment per unit
of the stream, carried as log K so that no depth overflows.

Source: Doshi, He & Gromov 2023 (arXiv:2111.12143) for partial Jacobians; Yang & Schoenholz 2017 for residual networks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nasjac.mathematics.meanfield.columns import Columns, positive
from nasjac.mathematics.meanfield.moments import MOMENTS, Array

#: beyond exp(±600) every moment is at its limit, and nothing overflows yet
EXTREME = 600.0


class Branch(NamedTuple):
    """A block's branch at given sizes of the stream, [B, G].

    `energy`    chi: expected ‖J_F‖_F² / N, norms on input and branch and the scale included
    `variance`  second moment of the branch's output, in units of K
    `q`         variance of the pre-activation
    """

    energy: Array
    variance: Array
    q: Array


class Law:
    """The laws of all blocks: of an architecture as [B, 1], of its blocks as [L, B, 1]."""

    def __init__(self, columns: Columns) -> None:
        self.eps = columns.norm_eps
        names = np.unique(columns.activation).tolist()
        self.rows = [(name, np.flatnonzero(columns.activation == name) if names[1:] else slice(None)) for name in names]
        gain, two = columns.weight_gain[:, None] ** 2, columns.two_matrix[:, None]
        self.inner_gain, self.outer_gain = np.where(two, gain, 1.0), gain
        self.inner_bias, self.outer_bias = np.where(two, columns.inner_bias[:, None], 0.0), columns.outer_bias[:, None]
        self.on_input, self.on_branch = columns.on_input[:, None], columns.on_branch[:, None]
        self.on_sum = columns.on_sum[:, None]
        self.keep, self.skip = _blocks(columns.keep), _blocks(columns.skip)
        self.squared_scale = _blocks(columns.scale) ** 2
        self.identity = _blocks(columns.strength) ** 2  # energy of the identity path where it is there
        self.squared_norm_gain = _blocks(columns.norm_gain) ** 2

    def branch(self, block: int, log_stream: Array) -> Branch:
        """The branch of one block at streams log K [B, G]."""
        stream = np.exp(np.clip(log_stream, -EXTREME, EXTREME))
        jacobian = self.squared_norm_gain[block] / (stream + self.eps)  # of the norm on the input, with its gain
        q = self.inner_gain * np.where(self.on_input, jacobian * stream, stream)
        q += self.inner_bias
        second, derivative = np.empty_like(q), np.empty_like(q)
        for name, rows in self.rows:
            second[rows], derivative[rows] = MOMENTS[name](q[rows])
        variance = self.outer_gain * second + self.outer_bias
        energy = derivative * (self.inner_gain * self.outer_gain)
        energy *= np.where(self.on_input, jacobian, 1.0)
        norm = np.where(self.on_branch, variance + self.eps, 1.0)
        factor = self.squared_scale[block] / norm
        energy *= factor
        variance *= factor
        variance /= stream
        return Branch(energy, variance, q)

    def step(self, block: int, log_stream: Array, branch: Branch, skip: ArrayLike) -> tuple[Array, Array]:
        """Log of the block's energy factor, and log K behind it, where the branch is there; `skip` is the (mean) gate."""
        identity = self.identity[block] * skip
        log_factor = np.log(identity + branch.energy)
        after = log_stream + np.log(identity + branch.variance)
        if self.on_sum.any():
            size = np.log(np.exp(np.clip(after, -EXTREME, EXTREME)) + self.eps)
            log_factor = np.where(self.on_sum, log_factor - size, log_factor)
            after = np.where(self.on_sum, after - size, after)
        return log_factor, after


def _blocks(values: Array) -> Array:
    return np.ascontiguousarray(values.T)[:, :, None]


class Trajectory(NamedTuple):
    """What happens along chains whose stream has one size at each block, layers first.

    `energy`      [L, B] the branch's energy chi (that of a branch that is there, whatever `keep`)
    `variance`    [L, B] second moment of its output, in units of the stream's
    `q`           [L, B] variance of its pre-activation
    `log_factor`  [L, B] log of the block's expected energy factor, over its gates
    `log_typical` [L, B] expectation over its gates of the log of that factor
    `gate_variance` [L, B] variance over its gates of the same
    `log_stream`  [L + 1, B] log K
    """

    energy: Array
    variance: Array
    q: Array
    log_factor: Array
    log_typical: Array
    gate_variance: Array
    log_stream: Array


def trajectory(columns: Columns, stream_variance: ArrayLike = 1.0) -> Trajectory:
    """The chains' blocks one after the other, from streams of second moment `stream_variance` [B].

    Exact in the gates where `columns.random_gates` is false or `columns.homogeneous` true; elsewhere each stream takes the
    size it has on average over the gates before.
    """
    start = positive("stream_variance", stream_variance, columns)
    law, shape = Law(columns), (columns.depth, len(columns), 1)
    random = columns.random_gates[:, None]
    energy, variance, q, log_factor, typical, gate_variance = (np.empty(shape) for _ in range(6))
    streams = np.empty((shape[0] + 1, *shape[1:]))
    streams[0] = np.log(start)[:, None]
    for block, (keep, skip) in enumerate(zip(law.keep, law.skip, strict=True)):
        stream = streams[block]
        branch = law.branch(block, stream)
        energy[block], variance[block], q[block] = branch
        joined, after = law.step(block, stream, branch, skip)
        log_factor[block], streams[block + 1] = keep * joined, np.where(keep > 0, after, stream)
        if random.any():
            mean, mean_log, spread = _over_gates(law, block, stream, branch, joined)
            typical[block] = np.where(random, mean_log, log_factor[block])
            gate_variance[block] = np.where(random, spread, 0.0)
            log_factor[block] = np.where(random, mean, log_factor[block])
            mixed = stream + np.log(keep * np.exp(after - stream) + 1 - keep)
            streams[block + 1] = np.where(random, mixed, streams[block + 1])
    if not random.any():
        typical, gate_variance = log_factor, np.zeros(shape)
    return Trajectory(*(x[..., 0] for x in (energy, variance, q, log_factor, typical, gate_variance, streams)))


def _over_gates(law: Law, block: int, stream: Array, branch: Branch, log_factor: Array) -> tuple[Array, Array, Array]:
    """Log of the mean, mean of the log and variance of the log of the factor over one block's own gates."""
    outcomes = list(gate_outcomes(law, block, stream, branch))
    typical = np.asarray(sum(probability * log for probability, log, _ in outcomes))
    variance = sum(probability * (log - typical) ** 2 for probability, log, _ in outcomes)
    keep = law.keep[block]
    return np.log(keep * np.exp(log_factor) + 1 - keep), typical, np.asarray(variance)


def gate_outcomes(law: Law, block: int, stream: Array, branch: Branch) -> list[tuple[Array, Array, Array]]:
    """(probability, log factor, log K behind) of a block's three outcomes: with skip, cut, and branch dropped.

    Where a cut has no probability its log factor is given as 0, for it may be −∞ there.
    """
    keep, skip = law.keep[block], law.skip[block]
    joined = law.step(block, stream, branch, 1.0)
    certain = keep * (1 - skip) == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        cut, after = law.step(block, stream, branch, 0.0)
    cut, after = np.where(certain, 0.0, cut), np.where(certain, stream, after)
    return [(keep * skip, *joined), (keep * (1 - skip), cut, after), (1 - keep, np.zeros_like(stream), stream)]
