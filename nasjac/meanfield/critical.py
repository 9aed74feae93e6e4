"""Criticality: the skip densities, gains and exponents at which 𝒥 neither grows nor decays exponentially with depth.

Sources: Doshi, He & Gromov 2023 (arXiv:2111.12143); Roberts, Yaida & Hanin 2022 for plain networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nasjac.meanfield.columns import Columns
from nasjac.meanfield.expected import ExpectedNorms, expected_norms
from nasjac.meanfield.gated import check_energy
from nasjac.meanfield.moments import MOMENTS, VARIANCE_SLOPES, Array

#: parts an interval of densities is cut into at once, in one batch, and the width at which the search ends
SECTIONS, TOLERANCE = 16, 1e-13
#: blocks up to which chains with gates that couple to the stream are searched: each density costs a grid
DEEPEST = 512


def annealed_density(chi: float) -> float | None:
    """s* = 1 − chi, where the mean over gate patterns (s + chi)^L is 1; None for chi > 1, where every density explodes.

    >>> annealed_density(0.25), annealed_density(2.0)
    (0.75, None)
    """
    check_energy(chi)
    return 1 - chi if chi <= 1 else None


def quenched_density(chi: float) -> float | None:
    """s_q = ln(1/chi) / ln((1 + chi)/chi), where a typical pattern has 𝒥 = 1; above s*. None for chi > 1.

    >>> round(quenched_density(0.5), 6)
    0.63093
    """
    check_energy(chi)
    if chi > 1:
        return None
    return math.log(chi) / (math.log(chi) - math.log1p(chi)) if chi > 0 else 1.0


class CriticalGain(NamedTuple):
    """A plain network's critical weight variance, at a bias variance, and the fixed point K* of the pre-activations.

    `fixed_point` is None where every K is one.
    """

    weight_variance: float
    bias_variance: float
    fixed_point: float | None


def critical_gain(activation: str, bias_variance: float = 0.0) -> CriticalGain | None:
    """σ_w² at which chi_J = σ_w² S(K*) = 1 at the fixed point K* = σ_w² V(K*) + σ_b² of a plain network.

    relu (2) and linear (1) are critical without bias alone, at every K. tanh, erf and gelu have a line over all biases; it
    starts at K* = 0 without bias (1, π/4 and 4).
    """
    if not 0 <= bias_variance < math.inf:
        raise ValueError(f"`bias_variance` must be a finite number of at least 0, got {bias_variance!r}")
    _check_activation(activation)
    if activation in ("relu", "linear"):
        return CriticalGain(2.0 if activation == "relu" else 1.0, 0.0, None) if not bias_variance else None
    if bias_variance == 0:
        return CriticalGain(1 / float(MOMENTS[activation](np.array([1e-16])).derivative_second[0]), 0.0, 0.0)

    def excess(log_k: Array) -> Array:
        moments = MOMENTS[activation](np.exp(log_k))
        return np.asarray(np.exp(log_k) - moments.second / moments.derivative_second - bias_variance)

    root = _first_root(excess, np.linspace(-30, 30, 2001))
    if root is None:
        return None
    k = math.exp(root)
    return CriticalGain(1 / float(MOMENTS[activation](np.array([k])).derivative_second[0]), bias_variance, k)


def critical_point(activation: str) -> CriticalGain | None:
    """Where chi_K = σ_w² V'(K*) is 1 too, beside chi_J, at a finite K* > 0: gelu's alone; None for the others."""
    _check_activation(activation)

    def difference(log_k: Array) -> Array:
        k = np.exp(log_k)
        return np.asarray(VARIANCE_SLOPES[activation](k) - MOMENTS[activation](k).derivative_second)

    root = _first_root(difference, np.linspace(-3, 6, 401)) if activation == "gelu" else None
    if root is None:
        return None
    k = math.exp(root)
    moments = MOMENTS[activation](np.array([k]))
    weight = 1 / float(moments.derivative_second[0])
    return CriticalGain(weight, k - weight * float(moments.second[0]), k)


def _check_activation(name: str) -> None:
    if name not in MOMENTS:
        raise ValueError(f"`activation` must be one of {', '.join(MOMENTS)}, got {name!r}")


def power_law(ratio: float, size: float, depth: int) -> float:
    """log 𝒥^{0,L} of pre-norm blocks with full skips: Γ(k+ζ+L) Γ(k) / (Γ(k+ζ) Γ(k+L)), k = `size` = K_0/c, ~ L^ζ.

    `ratio` is ζ = a/c: a block adds a/K to the energy's factor and c to K. Infinite width; any weights are critical.

    >>> round(math.exp(power_law(1.0, 2.0, 10)), 9)  # relu: 1 + c L / K_0
    6.0
    """
    return math.lgamma(size + ratio + depth) + math.lgamma(size) - math.lgamma(size + ratio) - math.lgamma(size + depth)


class Critical(NamedTuple):
    """The density at which the whole chain's log 𝒥 is 0, None where no density in [0, 1] has it, and why not."""

    density: float | None
    reason: str | None


def critical_densities(columns: Columns, stream_variance: float = 1.0) -> tuple[Critical, Critical]:
    """The annealed and the quenched density of one architecture: every kept block has its skip with the same probability s.

    Over its own depth; for blocks of constant energy these are `annealed_density` and `quenched_density`.
    """
    return _critical(columns, stream_variance, "forward"), _critical(columns, stream_variance, "forward_typical")


def norms_over_density(columns: Columns, densities: Array, stream_variance: float = 1.0) -> ExpectedNorms:
    """The expected norms of one architecture at each skip density."""
    rows = columns.take(np.zeros(len(densities), dtype=np.intp))
    return expected_norms(replace(rows, skip=np.asarray(densities, dtype=np.float64)[:, None]), stream_variance)


def _critical(columns: Columns, stream_variance: float, name: str) -> Critical:
    def whole(densities: Array) -> Array:
        return np.asarray(getattr(norms_over_density(columns, densities, stream_variance), name)[:, -1])

    if columns.depth > DEEPEST and not columns.homogeneous.all():
        return Critical(None, f"not searched beyond {DEEPEST} blocks where gates couple to the size of the stream")
    if not (columns.keep > 0).any():
        return Critical(None, "every branch is pruned: 𝒥 = 1 at any density")
    ends = whole(np.array([0.0, 1.0]))
    if ends[0] > 0:
        return Critical(None, f"log 𝒥 is above 0 at every density (at least {ends[0]:.4g})")
    if ends[1] < 0:
        return Critical(None, f"log 𝒥 is below 0 at every density (at most {ends[1]:.4g})")
    low, high = 0.0, 1.0
    while high - low > TOLERANCE:  # log 𝒥 grows with s
        inner = np.linspace(low, high, SECTIONS + 1)
        values = np.concatenate([[-1.0], whole(inner[1:-1]), [1.0]])
        at = int(np.argmax(values >= 0))
        low, high = float(inner[at - 1]), float(inner[at])
    return Critical((low + high) / 2, None)


def _first_root(function: Callable[[Array], Array], grid: Array) -> float | None:
    """The first sign change on the grid, refined by bisection; None without one."""
    values = function(grid)
    change = np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0)
    if not len(change):
        return None
    low, high = float(grid[change[0]]), float(grid[change[0] + 1])
    rising = values[change[0]] < 0
    for _ in range(100):
        middle = (low + high) / 2
        if (function(np.array([middle]))[0] < 0) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2
