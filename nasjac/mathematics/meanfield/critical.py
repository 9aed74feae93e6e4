"""Criticality: the skip densities, gains and exponents at which 𝒥 neither grows nor decays exponentially with depth.

Sources: Doshi, He & Gromov 2023 (arXiv:2111.12143); Roberts, Yaida & Hanin 2022 for plain networks.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nasjac.foundation.arguments import number
from nasjac.foundation.errors import InputError
from nasjac.mathematics.meanfield.columns import Columns
from nasjac.mathematics.meanfield.expected import ExpectedNorms, expected_norms
from nasjac.mathematics.meanfield.moments import MOMENTS, Array
from nasjac.mathematics.roots import first_root

#: parts in which densities are swept for a change of sign
SECTIONS = 16
#: blocks up to which chains with gates that couple to the stream are searched: each density costs a grid
DEEPEST = 512


def annealed_density(chi: float) -> float | None:
    """s* = 1 − chi, where the mean over gate patterns (s + chi)^L is 1; None for chi > 1, where every density explodes.

    >>> annealed_density(0.25), annealed_density(2.0)
    (0.75, None)
    """
    number("chi", chi, 0.0)
    return 1 - chi if chi <= 1 else None


def quenched_density(chi: float) -> float | None:
    """s_q = ln(1/chi) / ln((1 + chi)/chi), where a typical pattern has 𝒥 = 1; above s*. None for chi > 1.

    >>> round(quenched_density(0.5), 6)
    0.63093
    """
    number("chi", chi, 0.0)
    if chi > 1:
        return None
    return math.log(chi) / (math.log(chi) - math.log1p(chi)) if chi > 0 else 1.0


class CriticalGain(NamedTuple):
    """A plain network's critical weight variance, at a bias variance, and the fixed point K* of its stream.

    `weight_variance` is that of every matrix, times its fan-in; `fixed_point` is None where every K is one.
    """

    weight_variance: float
    bias_variance: float
    fixed_point: float | None


def critical_gain(
    activation: str, bias_variance: float = 0.0, two_matrix: bool = False, scale: float = 1.0
) -> CriticalGain | None:
    """The weight variance σ_w² of each matrix at which a plain network, branches in a row, neither grows nor decays.

    A branch with a factor `scale` c behind it has chi_J = c² σ_w² S(K*) with one matrix, W φ(h), and
    c² σ_w⁴ S(σ_w² K*) with two, W2 φ(W1 h). chi_J is 1 at the fixed point K* = c² (σ_w² V(q*) + σ_b²), where q* is K* or
    σ_w² K*; σ_b² is the variance of the bias behind the last matrix.

    relu (2 with one matrix, √2 with two) and linear (1) are critical without bias alone, at every K. tanh, erf, gelu and
    silu have a line over all biases; it starts at K* = 0 without bias (1, π/4, 4 and 4 with one matrix, their square roots
    with two). None: no variance is critical at that bias variance. Source: Roberts, Yaida & Hanin 2022; two matrices by the
    same steps.

    >>> round(critical_gain("relu", two_matrix=True).weight_variance ** 2, 12)
    2.0
    """
    bias_variance = number("bias_variance", bias_variance, 0.0)
    scale = number("scale", scale, 0.0, open_low=True)
    if activation not in MOMENTS:
        raise InputError(f"`activation` must be one of {', '.join(MOMENTS)}, got {activation!r}")
    homogeneous = activation in ("relu", "linear")
    if bias_variance == 0:
        weight, _ = _marginal(activation, np.array([1e-16]), two_matrix, scale)
        return CriticalGain(float(weight[0]), 0.0, None if homogeneous else 0.0)

    def excess(log_q: Array) -> Array:
        q = np.exp(log_q)
        weight, stream = _marginal(activation, q, two_matrix, scale)
        return np.asarray(stream / scale**2 - weight * MOMENTS[activation](q).second - bias_variance)

    grid = np.linspace(-30, 30, 2001)
    root = None if homogeneous else first_root(excess, grid, excess(grid))
    if root is None:
        return None
    weight, stream = _marginal(activation, np.array([math.exp(root)]), two_matrix, scale)
    return CriticalGain(float(weight[0]), bias_variance, float(stream[0]))


def _marginal(activation: str, q: Array, two_matrix: bool, scale: float) -> tuple[Array, Array]:
    """σ_w² with chi_J = 1 where pre-activations have the variance q, and the K of such a stream."""
    slope = scale**2 * MOMENTS[activation](q).derivative_second
    weight = np.asarray(slope ** (-1 / (2 if two_matrix else 1)))
    return weight, q / weight if two_matrix else q


class Critical(NamedTuple):
    """The density at which the whole chain's log 𝒥 is 0, None where no density in [0, 1] has it, and why not."""

    density: float | None
    reason: str | None


def critical_densities(columns: Columns, stream_variance: float = 1.0) -> tuple[Critical, Critical]:
    """The annealed and the quenched density of one architecture: every kept block has its skip with the same probability s.

    Over its own depth, the least density at which log 𝒥 passes 0; for blocks of constant energy these are
    `annealed_density` and `quenched_density`.
    """
    reason = None
    if columns.depth > DEEPEST and not columns.homogeneous.all():
        reason = f"not searched beyond {DEEPEST} blocks where gates couple to the size of the stream"
    elif not (columns.keep > 0).any():
        reason = "every branch is pruned: 𝒥 = 1 at any density"
    if reason is not None:
        return Critical(None, reason), Critical(None, reason)
    densities = np.linspace(0, 1, SECTIONS + 1)
    swept = norms_over_density(columns, densities, stream_variance)

    def critical(name: str) -> Critical:
        def whole(at: Array) -> Array:
            return np.asarray(getattr(norms_over_density(columns, at, stream_variance), name)[:, -1])

        values = getattr(swept, name)[:, -1]
        root = first_root(whole, densities, values)
        if root is None:
            side = "above" if values.min() > 0 else "below"
            return Critical(None, f"log 𝒥 is {side} 0 at every density ({values.min():.4g} to {values.max():.4g})")
        return Critical(root, None)

    return critical("forward"), critical("forward_typical")


def norms_over_density(columns: Columns, densities: Array, stream_variance: float = 1.0) -> ExpectedNorms:
    """The expected norms of one architecture at each skip density."""
    rows = columns.take(np.zeros(len(densities), dtype=np.intp))
    return expected_norms(replace(rows, skip=np.asarray(densities, dtype=np.float64)[:, None]), stream_variance)
