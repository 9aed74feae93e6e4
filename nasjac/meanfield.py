"""Closed forms: the expected energy of residual blocks at initialization, many architectures at once.

Letters: B architectures, L blocks. K is the second moment per unit of the stream; q that of the pre-activation.
Weights have variance gain² / fan_in, biases are zero. Infinite width; exact at any width for relu in two-matrix branches
without norms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Moments(NamedTuple):
    """Gaussian moments of an activation, x = √q g with g ~ N(0, 1); each as q."""

    second: Array  # V = E phi(x)²
    derivative_second: Array  # S = E phi'(x)²
    mean: Array  # E phi(x)
    derivative_mean: Array  # E phi'(x)


def _linear(q: Array) -> Moments:
    return Moments(q, np.ones_like(q), np.zeros_like(q), np.ones_like(q))


def _relu(q: Array) -> Moments:
    half = np.full_like(q, 0.5)
    return Moments(q / 2, half, np.sqrt(q / (2 * math.pi)), half)


def _gelu(q: Array) -> Moments:
    root = np.sqrt(1 + 2 * q)
    common = 0.25 + (np.arcsin(q / (1 + q)) + 2 * q / ((1 + q) * root)) / (2 * math.pi)
    second_derivative = common + q / root**3 / (2 * math.pi)
    return Moments(q * common, second_derivative, q / np.sqrt(2 * math.pi * (1 + q)), np.full_like(q, 0.5))


@lru_cache(maxsize=1)
def _half_normal() -> tuple[Array, Array]:
    """Nodes and weights for E f(g) of an even f: Gauss-Legendre on (0, 12).

    Gauss-Hermite nodes converge slowly here, because tanh has poles at ±iπ/2: 200 of them err by 1e-6 at q = 4.
    """
    nodes, weights = np.polynomial.legendre.leggauss(200)
    x = 6 * (nodes + 1)
    return x, 12 * weights * np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)


def _tanh(q: Array) -> Moments:
    nodes, weights = _half_normal()
    value = np.tanh(np.sqrt(q)[..., None] * nodes)
    slope = 1 - value**2
    # sums, not products with `weights`: those would round differently with the number of rows
    second, derivative_second, derivative_mean = ((f * weights).sum(axis=-1) for f in (value**2, slope**2, slope))
    return Moments(second, derivative_second, np.zeros_like(q), derivative_mean)


MOMENTS = {"linear": _linear, "relu": _relu, "gelu": _gelu, "tanh": _tanh}


def nonlinearity(q: Array, moments: Moments) -> Array:
    """Share of the variance of phi(x) that its best linear fit leaves unexplained; as q.

    1 - Cov(phi(x), x)² / (Var phi(x) Var x), where Cov(phi(x), x) = q E phi'(x) by Stein's lemma.
    """
    variance = moments.second - moments.mean**2
    return np.maximum(0.0, 1 - q * moments.derivative_mean**2 / variance)


@dataclass(frozen=True)
class Columns:
    """Many architectures as columns: [B], or [B, L] for the last three. A block that is not kept is the identity."""

    activation: Sequence[str]
    two_matrix: NDArray[np.bool_]
    weight_gain: Array
    on_input: NDArray[np.bool_]
    on_branch: NDArray[np.bool_]
    on_sum: NDArray[np.bool_]
    keep: NDArray[np.bool_]
    skip: Array
    scale: Array


@dataclass(frozen=True)
class BlockEnergies:
    """What each block does to the expected energy, [B, L]; blocks that are not kept have energy 0 and share 0.

    `branch`        chi: the branch's expected ‖J_F‖_F² / N, norms and scale included
    `share`         chi / (s + chi): the branch's share of the block's Jacobian energy (s is the skip gate's mean)
    `nonlinearity`  share of the branch's output variance that its best linear fit leaves unexplained
    """

    branch: Array
    share: Array
    nonlinearity: Array


def block_energies(columns: Columns, stream_variance: float = 1.0) -> BlockEnergies:
    """Expected branch energies by the recursion over blocks for K (second moment of the stream, from `stream_variance`).

    Source: Doshi, He & Gromov 2023 (arXiv:2111.12143) for partial Jacobians; Yang & Schoenholz 2017 for residual networks.
    """
    rows, depth = columns.keep.shape
    gain, two = columns.weight_gain**2, columns.two_matrix
    groups = [(MOMENTS[name], np.flatnonzero(np.array(columns.activation) == name)) for name in set(columns.activation)]
    branch, share, bend = (np.zeros((rows, depth)) for _ in range(3))
    stream = np.full(rows, stream_variance)
    for block in range(depth):
        keep, skip, scale = columns.keep[:, block], columns.skip[:, block], columns.scale[:, block]
        entering = np.where(columns.on_input, 1.0, stream)
        q = np.where(two, gain * entering, entering)
        moments = Moments(*(np.empty(rows) for _ in Moments._fields))
        for function, members in groups:
            for column, values in zip(moments, function(q[members]), strict=True):
                column[members] = values
        variance = gain * moments.second
        chi = gain * moments.derivative_second * np.where(two, gain, 1.0) * np.where(columns.on_input, 1 / stream, 1.0)
        chi, variance = np.where(columns.on_branch, chi / variance, chi), np.where(columns.on_branch, 1.0, variance)
        chi, variance = chi * scale**2, variance * scale**2
        branch[:, block] = np.where(keep, chi, 0.0)
        share[:, block] = np.where(keep, chi / (skip + chi), 0.0)
        bend[:, block] = np.where(keep, nonlinearity(q, moments), 0.0)
        after = np.where(columns.on_sum, 1.0, skip * stream + variance)
        stream = np.where(keep, after, stream)
    return BlockEnergies(branch, share, bend)
