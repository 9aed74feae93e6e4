"""Closed forms of other graphs: energies of random DAGs, of dense concatenation and of zero-padded convolutions.

Exact at any width for relu branches with independent zero-mean weights (relu in two-matrix branches for the DAG). Energies
are natural logarithms, node by node, so that depth does not overflow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasjac.foundation.arguments import number, whole
from nasjac.foundation.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RandomDag:
    """`log_energy` [L + 1]: log E‖∂x_j/∂x_0‖_F² / N of node j, over weights and skips; `growth`: its ratio a node, L → ∞.

    `log_skip_paths` [L + 1]: log of the expected number of paths from node 0 to node j that take skips alone.
    """

    log_energy: Array
    growth: float
    log_skip_paths: Array


def random_dag(skip: float, chi: float, depth: int) -> RandomDag:
    """x_j = F_j(x_{j-1}) + Σ_{i<j} a_ji x_i, where each a_ji is 1 with probability `skip` and E‖J_F‖_F² / N is `chi`.

    >>> round(float(random_dag(skip=1.0, chi=0.0, depth=3).log_energy[3] / math.log(4)), 12)
    2.0
    """
    skip, chi, depth = number("skip", skip, 0.0, 1.0), number("chi", chi, 0.0), whole("depth", depth)
    steps = np.arange(1, depth + 1)
    if skip == 0:  # a plain chain, whose growth is not that of the sums over earlier nodes which the map carries along
        return RandomDag(_from_zero(steps * _log(chi)), chi, _from_zero(np.full(depth, -math.inf)))
    step, log_paths = _gram_map(skip, chi), _from_zero(math.log(skip) + (steps - 1) * math.log1p(skip))
    log_energy = np.array([log_scale + math.log(state[0]) for state, log_scale in _powers(step, depth)])
    return RandomDag(log_energy, float(np.abs(np.linalg.eigvals(step)).max()), log_paths)


def _gram_map(s: float, chi: float) -> Array:
    """One node more, on (d, D, T) = (G_jj, Σ_i G_ii, Σ_ii' G_ii') with sums over the nodes up to j.

    F_{j+1} is fresh and zero-mean, so only the skips link the new node to an old one k: G_{j+1,k} = s Σ_i G_ik.
    And d' = chi d + Σ_ii' E[a_i a_i'] G_ii', where E[a_i a_i'] is s² plus, if i = i', s(1 - s).
    Hence D' = D + d' and T' = T + 2 s T + d'.
    """
    return np.array([[chi, s * (1 - s), s**2], [chi, 1 + s * (1 - s), s**2], [chi, s * (1 - s), (1 + s) ** 2]])


@dataclass(frozen=True)
class DenseNet:
    """Logs of expected energies of z_k, the concatenation after k layers, and of the features f_k that layer k adds.

    `raw`           [L + 1] log E‖∂z_k/∂z_0‖_F² / n_0: grows with the width, even at chi = 1
    `per_unit`      [L + 1] log E‖∂z_k/∂z_0‖_F² / n_k: what to compare with other networks
    `new_features`  [L] log E‖∂f_k/∂z_0‖_F² / growth, of k = 1 ... L
    """

    raw: Array
    per_unit: Array
    new_features: Array


def densenet(inputs: int, growth: int, depth: int, chi: float) -> DenseNet:
    """z_k = [z_{k-1}; f_k], f_k = relu(W z_{k-1}) or W relu(z_{k-1}) of `growth` units; `chi` = fan_in Var(W) E phi'².

    raw = Π_{k<L} (1 + growth chi / n_k) ~ L^chi with n_k = inputs + k growth. W relu(z) needs sign-symmetric inputs.
    Architecture: Huang et al. 2017 (arXiv:1608.06993).

    >>> np.allclose(densenet(inputs=6, growth=3, depth=8, chi=1.0).per_unit, 0)
    True
    """
    inputs, growth, depth = whole("inputs", inputs, 1), whole("growth", growth, 1), whole("depth", depth)
    chi = number("chi", chi, 0.0)
    width = inputs + growth * np.arange(depth + 1)
    raw = _from_zero(np.cumsum(np.log1p(growth * chi / width[:-1])))
    per_unit = raw - np.log(width / inputs)
    return DenseNet(raw, per_unit, per_unit[:-1] + _log(chi))


@dataclass(frozen=True)
class ZeroPadded:
    """`log_energy` [L + 1]: log E‖∂h_l/∂h_0‖_F² / (C H W); `log_map` [H, W]: log of h_L's energy per unit, by pixel."""

    log_energy: Array
    log_map: Array


def zero_padded_conv(height: int, width: int, layers: int, chi: float = 1.0, kernel: int = 3) -> ZeroPadded:
    """relu convolutions, stride 1, zeros around the image; `chi` = σ_w²/2, where Var(w) = σ_w²/(C kernel²).

    An output pixel's energy is chi times the mean of the input energies under its kernel, zeros included. What is lost at
    the border looks like a vanishing gradient: with circular padding `log_energy` would be l log(chi).

    >>> round(math.exp(zero_padded_conv(5, 5, layers=1).log_energy[1]) * 15**2, 9)
    169.0
    """
    for name, value in (("height", height), ("width", width), ("kernel", kernel)):
        whole(name, value, 1)
    whole("layers", layers)
    if kernel % 2 == 0:
        raise InputError(f"`kernel` must be odd, got {kernel}")
    chi = number("chi", chi, 0.0, open_low=True)
    # The map m ← chi T m Tᵀ keeps m a product of a profile over rows and one over columns.
    (rows, log_rows), (columns, log_columns) = _border(height, layers, kernel), _border(width, layers, kernel)
    log_gain = np.arange(layers + 1) * math.log(chi)
    return ZeroPadded(log_rows + log_columns + log_gain, log_gain[-1] + rows[:, None] + columns)


def _border(size: int, layers: int, kernel: int) -> tuple[Array, Array]:
    """Along one axis: log of the profile [size] after all layers, and log of its mean after each [layers + 1]."""
    position = np.arange(size)
    window = (np.abs(position[:, None] - position) <= kernel // 2) / kernel
    profiles = list(_powers(window, layers))
    last, log_scale = profiles[-1]
    return log_scale + np.log(last), np.array([scale + math.log(profile.mean()) for profile, scale in profiles])


def _powers(step: Array, count: int) -> Iterator[tuple[Array, float]]:
    """The vectors step^k 1 of k = 0 ... count, each as one of largest entry 1 and the log of its factor."""
    state, log_scale = np.ones(len(step)), 0.0
    yield state, log_scale
    for _ in range(count):
        state = step @ state
        log_scale += math.log(state.max())
        state = state / state.max()
        yield state, log_scale


def _from_zero(later: NDArray[np.floating]) -> Array:
    """Logs of a sequence that starts at 1."""
    return np.concatenate([[0.0], later])


def _log(chi: float) -> float:
    return math.log(chi) if chi > 0 else -math.inf
