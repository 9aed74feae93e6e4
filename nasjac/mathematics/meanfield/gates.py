"""Random gates where the branch's energy depends on the size of the stream: expectations over all gate patterns.

Under random gates log K is a Markov chain on the line, and energies are expectations along it. They are computed by
its transfer operator on a grid of G nodes between the least and the largest reachable log K of each layer: measures on
the grid are carried forward, functions on it backward, both with the same Lagrange interpolation, so that the two ways
agree to round-off. The energies are smooth in log K (the nearest singularity lies at distance π).

Letters: B architectures, L blocks, G nodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasjac.mathematics.meanfield.chain import Law, gate_outcomes
from nasjac.mathematics.meanfield.columns import Columns
from nasjac.mathematics.meanfield.moments import Array

STENCIL = 8  # nodes an interpolation uses
SPACING = 0.06  # of nodes in log K; the interpolation error is about 1e-3 SPACING⁸
MANY_NODES, WIDEST = 1024, 0.5  # from so many nodes on the spacing widens, at most to this
CELLS = 2**14  # B × G of one chunk: what stays in a processor's cache


class GateAverages(NamedTuple):
    """Over gate patterns, layers last; natural logarithms of energies that are expectations over weights.

    `forward`, `backward`  [B, L + 1] log of the mean, from h_0 to h_l and from h_l to h_L
    `forward_typical`      [B, L + 1] mean of the log
    `variance`             [B] variance of the log of the whole
    """

    forward: Array
    backward: Array
    forward_typical: Array
    variance: Array


class _Outcome(NamedTuple):
    """One outcome of a block's gates at each node: its probability, log factor, and where in the next grid it leads."""

    probability: Array  # [B, 1]
    log_factor: Array  # [B, G]
    nodes: NDArray[np.intp]  # [STENCIL, B, G] flat, into the next grid
    weight: Array  # [STENCIL, B, G]

    def push(self, measure: Array) -> Array:
        """A measure on the nodes [B, G] carried to the next grid."""
        values = (self.probability * measure * self.weight).ravel()
        return np.bincount(self.nodes.ravel(), values, measure.size).reshape(measure.shape).astype(np.float64, copy=False)

    def pull(self, function: Array) -> Array:
        """A function on the next grid as a function on the nodes [B, G]."""
        return np.asarray(self.probability * (function.ravel()[self.nodes] * self.weight).sum(0))


def gate_averages(columns: Columns, stream_variance: Array) -> GateAverages:
    """Averages over the gate patterns of each architecture, from streams of second moment `stream_variance` [B].

    Only architectures of one depth and one number of nodes share a grid's shape, so that results do not depend on which
    others share the batch.
    """
    depths = np.where((columns.keep > 0).any(axis=1), columns.depth - np.argmax(columns.keep[:, ::-1] > 0, axis=1), 0)
    counts = _Grid(columns, stream_variance).needed
    forward, backward, typical = np.zeros((3, len(columns), columns.depth + 1))
    variance = np.zeros(len(columns))
    for nodes, depth in sorted(set(zip(counts.tolist(), depths.tolist(), strict=True))):
        group = np.flatnonzero((counts == nodes) & (depths == depth))
        for rows in np.array_split(group, math.ceil(len(group) * nodes / CELLS)):
            found = _Grid(columns.take(rows, depth), stream_variance[rows], nodes).averages()
            for whole, part in ((forward, found.forward), (backward, found.backward), (typical, found.forward_typical)):
                whole[rows, : depth + 1], whole[rows, depth + 1 :] = part, part[:, -1:]
            backward[rows, depth + 1 :] = 0.0
            variance[rows] = found.variance
    return GateAverages(forward, backward, typical, variance)


class _Grid:
    """The grids of all layers: `nodes` between the least and the largest log K that some gate pattern reaches, [B, 1]."""

    def __init__(self, columns: Columns, stream_variance: Array, nodes: int = 2) -> None:
        self.law, self.depth, self.nodes = Law(columns), columns.depth, nodes
        self.low = [np.log(stream_variance)[:, None]]
        self.high = self.low.copy()
        for block in range(self.depth):
            ends = np.concatenate([self.low[-1], self.high[-1]], axis=1)
            outcomes = gate_outcomes(self.law, block, ends, self.law.branch(block, ends))
            # K behind a block grows with K before it, so the ends of the range stay ends
            self.low.append(np.minimum.reduce([np.where(p > 0, k[:, :1], np.inf) for p, _, k in outcomes]))
            self.high.append(np.maximum.reduce([np.where(p > 0, k[:, 1:], -np.inf) for p, _, k in outcomes]))

    @property
    def needed(self) -> NDArray[np.intp]:
        """[B] nodes that each architecture's grid needs, a power of two."""
        width = np.max(np.stack(self.high) - np.stack(self.low), axis=0)[:, 0]
        wanted = np.maximum(np.clip(width / SPACING, 2 * STENCIL, MANY_NODES), width / WIDEST)
        return np.asarray(2.0 ** np.ceil(np.log2(wanted)), dtype=np.intp)

    def averages(self) -> GateAverages:
        """The averages over the gate patterns."""
        forward, typical, variance, measures = self._forward()
        return GateAverages(forward.T, self._backward(measures).T, typical.T, variance)

    def _forward(self) -> tuple[Array, Array, Array, list[Array]]:
        """Log mean and mean log [L + 1, B], variance of the log [B], and the law of the stream at each layer."""
        law, tilted, first, second = (np.zeros((len(self.low[0]), self.nodes)) for _ in range(4))
        law[:, 0] = tilted[:, 0] = 1.0
        log_mean, mean_log, measures = [np.zeros(len(law))], [np.zeros(len(law))], [law]
        for block in range(self.depth):
            outcomes = list(self._outcomes(block))
            mean = sum((law * o.probability * o.log_factor).sum(axis=1) for o in outcomes)
            tilted = sum((o.push(tilted * np.exp(o.log_factor)) for o in outcomes), np.zeros_like(law))
            # first and second moments of the log so far, about its mean, on the states of the stream
            steps = [(o, o.log_factor - mean[:, None]) for o in outcomes]
            second = sum((o.push(second + 2 * first * x + law * x * x) for o, x in steps), np.zeros_like(law))
            first = sum((o.push(first + law * x) for o, x in steps), np.zeros_like(law))
            law = sum((o.push(law) for o in outcomes), np.zeros_like(law))
            total = tilted.sum(axis=1)
            tilted = tilted / total[:, None]
            log_mean.append(log_mean[-1] + np.log(total))
            mean_log.append(mean_log[-1] + mean)
            measures.append(law)
        return np.stack(log_mean), np.stack(mean_log), np.maximum(second.sum(axis=1), 0.0), measures

    def _backward(self, measures: list[Array]) -> Array:
        """Log mean from each layer to the output, [L + 1, B]."""
        energy, log_scale = np.ones_like(measures[-1]), np.zeros(len(measures[-1]))
        found = [log_scale]
        for block in reversed(range(self.depth)):
            energy = sum((np.exp(o.log_factor) * o.pull(energy) for o in self._outcomes(block)), np.zeros_like(energy))
            size = (measures[block] * energy).sum(axis=1)
            energy, log_scale = energy / size[:, None], log_scale + np.log(size)
            found.append(log_scale)
        return np.stack(found[::-1])

    def _outcomes(self, block: int) -> Iterator[_Outcome]:
        low, high = self.low[block], self.high[block]
        nodes = low + (high - low) * np.arange(self.nodes) / (self.nodes - 1)
        for probability, log_factor, after in gate_outcomes(self.law, block, nodes, self.law.branch(block, nodes)):
            if (probability > 0).any():
                index, weight = self._stencil(block + 1, np.where(probability > 0, after, self.low[block + 1]))
                yield _Outcome(probability, np.where(probability > 0, log_factor, 0.0), index, weight)

    def _stencil(self, layer: int, points: Array) -> tuple[NDArray[np.intp], Array]:
        """Nodes of a layer's grid and Lagrange weights that interpolate at `points` [B, G] of log K."""
        spacing = (self.high[layer] - self.low[layer]) / (self.nodes - 1)
        position = np.divide(points - self.low[layer], spacing, out=np.zeros_like(points), where=spacing > 0)
        first = np.clip(np.floor(position) - STENCIL // 2 + 1, 0, self.nodes - STENCIL).astype(np.intp)
        distance = position - first
        weight = np.empty((STENCIL, *points.shape))
        weight[0] = 1.0
        for node in range(1, STENCIL):  # the product over the nodes before each node, then over those behind it
            np.multiply(weight[node - 1], distance - (node - 1), out=weight[node])
        behind = np.ones_like(distance)
        for node in reversed(range(STENCIL)):
            weight[node] *= behind / DENOMINATORS[node]
            behind *= distance - node
        start = first + np.arange(len(points))[:, None] * self.nodes
        return start + np.arange(STENCIL)[:, None, None], weight


#: ∏_{m ≠ j} (j − m) of Lagrange's polynomials on 0 ... STENCIL − 1
DENOMINATORS = np.array([math.prod(j - m for m in range(STENCIL) if m != j) for j in range(STENCIL)], dtype=np.float64)
