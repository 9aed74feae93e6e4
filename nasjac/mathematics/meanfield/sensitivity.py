"""How log 𝒥 of a chain answers to its gains, scales and skip probabilities: derivatives of the closed forms.

Letters: B architectures, L blocks. With p = χ/(μ² s + χ) the branch's share of a block's energy, ∂ log ∏(μ² s + χ)/∂ log χ
is Σ p: where the stream's size does not matter, an e-fold of branch scale raises log 𝒥 by twice the effective depth.
Elsewhere the scale moves K, and K moves every later χ: the derivative of log K is carried along with log K (forward mode).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nasjac.mathematics.meanfield.chain import EXTREME, Trajectory, trajectory
from nasjac.mathematics.meanfield.columns import Columns
from nasjac.mathematics.meanfield.expected import expected_norms
from nasjac.mathematics.meanfield.moments import DERIVATIVE_SLOPES, MOMENTS, VARIANCE_SLOPES, Array

#: step of the differences, and their five points with weights (errors of fourth order): about the point, and to one side
STEP = 1e-3
CENTRAL = ((-2.0, 1 / 12), (-1.0, -2 / 3), (1.0, 2 / 3), (2.0, -1 / 12))
ONE_SIDED = ((0.0, -25 / 12), (1.0, 4.0), (2.0, -3.0), (3.0, 4 / 3), (4.0, -1 / 4))


class Direction(NamedTuple):
    """Rates at which an architecture changes: of log `scale` [B, L], of log `weight_gain` [B], of `skip` [B, L]."""

    log_scale: ArrayLike = 0.0
    log_gain: ArrayLike = 0.0
    skip: ArrayLike = 0.0


def log_norm_slopes(columns: Columns, direction: Direction, stream_variance: float = 1.0) -> Array:
    """[B] derivative of log 𝒥 (h_0 → h_L; typical over gates, `ExpectedNorms.forward_typical`) in a direction.

    Exact, by the recursion over blocks, where gates are certain or blocks homogeneous. Random gates that couple to the size
    of the stream are averaged over a grid of its states, and there it is a difference of closed forms over five points,
    which errs by about 1e-10.

    >>> chain = Columns(["relu"], True, 1.0, False, False, False, keep=np.ones((1, 6)), skip=1.0, scale=1.0)
    >>> round(float(log_norm_slopes(chain, Direction(log_scale=1.0))[0]), 12)  # 2 L χ / (1 + χ), χ = 1/2
    4.0
    """
    shape = (len(columns), columns.depth)
    scale, skip = (np.broadcast_to(np.asarray(x, dtype=np.float64), shape) for x in (direction.log_scale, direction.skip))
    gain = np.broadcast_to(np.asarray(direction.log_gain, dtype=np.float64), shape[:1])
    moved = ((skip != 0) & (columns.keep > 0)).any(axis=1)
    coupled = (columns.random_gates | moved) & ~columns.homogeneous
    slopes = np.zeros(shape[0])
    if (~coupled).any():
        rows = np.flatnonzero(~coupled)
        slopes[rows] = _recursion(columns.take(rows), Direction(scale[rows], gain[rows], skip[rows]), stream_variance)
    for row in np.flatnonzero(coupled):
        own = Direction(scale[row], gain[row], skip[row])
        slopes[row] = _difference(columns.take(np.array([row])), own, stream_variance)
    return slopes


def _recursion(columns: Columns, direction: Direction, stream_variance: float) -> Array:
    """Forward mode: u is the derivative of log K, block after block."""
    along, slope, u = trajectory(columns, stream_variance), np.zeros(len(columns)), np.zeros(len(columns))
    (of_variance, of_energy, variance), eps = _moments(columns, along.q), columns.norm_eps
    bias = np.where(columns.two_matrix, columns.inner_bias, 0.0)
    outer = 2 * np.asarray(direction.log_gain)
    inner = np.where(columns.two_matrix, outer, 0.0)
    streams = np.exp(np.clip(along.log_stream, -EXTREME, EXTREME))
    rates = zip(np.asarray(direction.log_scale).T, np.asarray(direction.skip).T, strict=True)
    for block, (d_scale, d_skip) in enumerate(rates):
        kept = columns.keep[:, block]
        # what the norm on the input takes out of K's change, and that on the branch out of the branch's
        held = np.where(columns.on_input, streams[block] / (streams[block] + eps), 0.0)
        normed = np.where(columns.on_branch, variance[block] / (variance[block] + eps), 0.0)
        d_q = (1 - bias / along.q[block]) * (inner + (1 - held) * u)
        d_variance = (1 - columns.outer_bias / variance[block]) * (outer + of_variance[block] * d_q)
        d_energy = of_energy[block] * d_q + inner + outer - held * u - normed * d_variance + 2 * d_scale
        slope += kept * _over_gate(columns, along, block, d_energy, d_skip)
        # K' = K (μ² s + variance), and the norm on the sum divides by K' + ε
        identity = columns.strength[:, block] ** 2 * columns.skip[:, block]
        share = along.variance[block] / (identity + along.variance[block])
        u += kept * share * ((1 - normed) * d_variance + 2 * d_scale - u)
        summed = np.where(columns.on_sum & (kept > 0), streams[block + 1], 0.0)
        slope -= summed * u
        u *= 1 - summed
    return slope


def _over_gate(columns: Columns, along: Trajectory, block: int, d_energy: Array, d_skip: Array) -> Array:
    """Derivative of s log(μ² + χ) + (1 − s) log χ, the norm on the sum apart."""
    energy, s = along.energy[block], columns.skip[:, block]
    identity = columns.strength[:, block] ** 2
    slope: Array = s * energy / (identity + energy) * d_energy + (1 - s) * d_energy
    moved = d_skip != 0
    slope[moved] += d_skip[moved] * np.log1p(identity[moved] / energy[moved])
    return slope


def _moments(columns: Columns, q: Array) -> tuple[Array, Array, Array]:
    """[L, B] d log V / d log q, d log S / d log q, and the branch's second moment before norm and scale."""
    with np.errstate(over="ignore"):  # beyond 1e200 a slope's denominator is infinite, and the slope 0
        of_variance = columns.by_activation(lambda name, q: q * VARIANCE_SLOPES[name](q) / MOMENTS[name](q).second, q)
        of_energy = columns.by_activation(lambda name, q: q * DERIVATIVE_SLOPES[name](q) / MOMENTS[name](q)[1], q)
    second = columns.by_activation(lambda name, q: MOMENTS[name](q).second, q)
    return of_variance, of_energy, columns.weight_gain**2 * second + columns.outer_bias


def _difference(columns: Columns, direction: Direction, stream_variance: float) -> float:
    """Of one row: about its point, or to one side where a probability is near its end."""
    rate = np.asarray(direction.skip)
    ahead, behind = _room(columns.skip[0], rate), _room(columns.skip[0], -rate)
    central = min(ahead, behind) >= 2 * STEP
    offsets, weights = np.array(CENTRAL if central else ONE_SIDED).T
    step = STEP if central else min(STEP, max(ahead, behind) / 4) * (1 if ahead >= behind else -1)
    at = step * offsets[:, None]
    rows = columns.take(np.zeros(len(at), dtype=np.intp))
    moved = replace(
        rows,
        scale=rows.scale * np.exp(at * np.asarray(direction.log_scale)),
        weight_gain=rows.weight_gain * np.exp(at[:, 0] * np.asarray(direction.log_gain)),
        skip=np.clip(rows.skip + at * rate, 0.0, 1.0),  # round-off at the ends
    )
    return float(weights @ expected_norms(moved, stream_variance).forward_typical[:, -1]) / step


def _room(skip: Array, rate: Array) -> float:
    """How far a row may go in a direction before some probability leaves [0, 1]."""
    ends = np.where(rate > 0, 1 - skip, skip)[rate != 0] / np.abs(rate[rate != 0])
    return float(ends.min(initial=np.inf))
