"""Energies of the branches of networks of images at initialization, block by block, to leading order.

A layer is described by its mean m, its second moment q and the second moment c that two of its pixels or images share, per
unit. With weights of variance w² / fan_in:

    convolution   m ← 0, q ← w² q, c ← w² c,           Jacobian w²
    activation    q ← E phi(x)², c ← E phi(x) phi(y),  Jacobian E phi'(x)²
    norm          BatchNorm divides by q − c, the variance within the batch, and subtracts c; GroupNorm divides by q

Weights are independent, inputs uncorrelated, convolutions' outputs Gaussian; borders, ε and the norms' own fluctuations are
left out. relu with BatchNorm gains 1/2 / (1/2 − 1/2π) = π/(π − 1) a layer (Yang et al. 2019), without a norm w²/2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from nasjac.mathematics.activations import ACTIVATIONS
from nasjac.mathematics.meanfield.kernels import kernel
from nasjac.mathematics.meanfield.moments import MEANS, MOMENTS, Array, nonlinearity

#: second moments are clipped to these, on which no energy depends with relu or linear activations
SMALLEST, LARGEST = 1e-200, 1e200
NODES = 64


class ImageUnit(NamedTuple):
    """One block.

    `convs`     convolutions of its branch, 0 where it is pruned
    `changes`   whether it changes the shape
    `skip`      the probability of its shortcut
    `scale`     the factor on its branch
    `channels`  channels that its branch takes in
    `growth`    channels that it adds in a DenseNet
    `strength`  the factor on its shortcut
    """

    convs: int
    changes: bool
    skip: float
    scale: float
    channels: int
    growth: int
    strength: float = 1.0


@dataclass(frozen=True)
class ImageStack:
    """The blocks of a network of images and the choices they share; `weight_variance` is w², the weights' times fan-in."""

    activation: str
    norm: str
    pre: bool
    weight_variance: float
    units: Sequence[ImageUnit]


class _Layer(NamedTuple):
    mean: float
    second: float
    common: float

    def scaled(self, factor: float) -> _Layer:
        """Times `factor`² in second moments; the mean is that of a convolution, 0."""
        return _Layer(0.0, *(float(np.clip(factor * x, 0.0, LARGEST)) for x in self[1:]))


class Energies(NamedTuple):
    """The energies of each kept block's branch, [kept blocks] each.

    `energy`        χ, the branch's ‖J_F‖_F² per unit of the block's output, for a Jacobian of unit energy before it
    `share`         the branch's share of the block's energy
    `nonlinearity`  1 − Π (1 − η) over the activations of the branch, η the nonlinearity of one
    """

    energy: Array
    share: Array
    nonlinearity: Array


def _collected(rows: Iterator[tuple[float, float, float]]) -> Energies:
    return Energies(*np.array(list(rows), dtype=np.float64).reshape(-1, 3).T)


def residual_energies(stack: ImageStack) -> Energies:
    """Return the energies of blocks x + F(x).

    A shortcut that is kept with probability s has the energy E g² = s. The activation behind the sum, in the post order,
    is averaged over both outcomes of g; each block is taken at the means of m, q and c of the layer before it.
    """
    return _collected(_residual(stack))


def dense_energies(stack: ImageStack) -> Energies:
    """Return the energies of blocks whose output is concatenated with their input."""
    return _collected(_dense(stack))


def _residual(stack: ImageStack) -> Iterator[tuple[float, float, float]]:
    layer = _start(stack)
    for unit in stack.units:
        short, identity = layer, 1.0
        if unit.changes:
            short, identity = (layer.scaled(1.0), 1.0) if stack.pre else _normed(stack, layer.scaled(1.0))
        outcomes = [(p, g) for p, g in ((unit.skip, 1.0), (1 - unit.skip, 0.0)) if p]
        branch, energy, bend = _chain(stack, layer, unit.convs) if unit.convs else (_Layer(0.0, 0.0, 0.0), 0.0, 0.0)
        energy *= unit.scale**2
        ends = [_summed(stack, short, g * unit.strength, branch, unit.scale) for _, g in outcomes]
        layer = _mixed([(p, end) for (p, _), (end, _) in zip(outcomes, ends, strict=True)])
        if unit.convs:
            weights = [p * slope / ends[0][1] for (p, _), (_, slope) in zip(outcomes, ends, strict=True)]
            through = energy * sum(weights)
            beside = identity * unit.strength**2 * sum(w * g for w, (_, g) in zip(weights, outcomes, strict=True))
            yield energy, through / (beside + through), bend


def _summed(stack: ImageStack, short: _Layer, factor: float, branch: _Layer, scale: float) -> tuple[_Layer, float]:
    """The layer `factor` · short + `scale` · branch, behind it in the post order the activation, and E phi'² of that."""
    second, common = (factor**2 * x + scale**2 * y for x, y in zip(short[1:], branch[1:], strict=True))
    layer = _Layer(factor * short.mean, second, common)
    return (layer, 1.0) if stack.pre else _activated(stack.activation, layer)


def _mixed(layers: Sequence[tuple[float, _Layer]]) -> _Layer:
    """Of networks of which a share p has each layer."""
    return _Layer(*(sum(p * layer[moment] for p, layer in layers) for moment in range(3)))


def _dense(stack: ImageStack) -> Iterator[tuple[float, float, float]]:
    layer = _start(stack)
    for unit in stack.units:
        if unit.changes:
            mean, second, common = _ended(stack, *_chain(stack, layer, 1))[0]
            layer = _Layer(mean, common + (second - common) / 4, common)  # the mean of four pixels
        if unit.convs:
            fresh, energy, bend = _ended(stack, *_chain(stack, layer, unit.convs))
            energy *= unit.scale**2 * unit.growth / unit.channels
            scales, parts = (unit.scale, *[unit.scale**2] * 2), (unit.channels, unit.growth)
            layer = _Layer(
                *((parts[0] * x + parts[1] * s * y) / sum(parts) for x, y, s in zip(layer, fresh, scales, strict=True))
            )
            yield energy, energy / (1 + energy), bend


def _start(stack: ImageStack) -> _Layer:
    """h_0 of standardized images that have nothing in common."""
    layer = _Layer(0.0, 1.0, 0.0)
    return layer if stack.pre else _activated(stack.activation, _normed(stack, layer)[0])[0]


def _chain(stack: ImageStack, layer: _Layer, convs: int) -> tuple[_Layer, float, float]:
    """Norms, activations and convolutions of a branch: what comes out, energy, nonlinearity."""
    energy, straight = 1.0, 1.0
    for number in range(convs):
        slope = divisor = 1.0
        if stack.pre:
            layer, divisor = _normed(stack, layer)
        if stack.pre or number:
            straight *= 1 - float(nonlinearity(stack.activation, np.array([_size(layer)]))[0])
            layer, slope = _activated(stack.activation, layer)
        layer = layer.scaled(stack.weight_variance)
        if not stack.pre:
            layer, divisor = _normed(stack, layer)
        energy *= divisor * slope * stack.weight_variance
    return layer, energy, 1 - straight


def _ended(stack: ImageStack, layer: _Layer, energy: float, bend: float) -> tuple[_Layer, float, float]:
    """With the activation that ends a densenet's chain in the post order."""
    if stack.pre:
        return layer, energy, bend
    bent = float(nonlinearity(stack.activation, np.array([_size(layer)]))[0])
    layer, slope = _activated(stack.activation, layer)
    return layer, energy * slope, 1 - (1 - bend) * (1 - bent)


def _normed(stack: ImageStack, layer: _Layer) -> tuple[_Layer, float]:
    """The normalized layer, and the factor on energies."""
    if stack.norm == "none":
        return layer, 1.0
    mean, second, common = layer
    if stack.norm == "batchnorm":
        return _Layer(0.0, 1.0, 0.0), 1 / max(second - common, SMALLEST)
    size = max(second - mean**2, SMALLEST)
    return _Layer(0.0, 1.0, (common - mean**2) / size), 1 / size


def _activated(name: str, layer: _Layer) -> tuple[_Layer, float]:
    """phi of Gaussians, and E phi'²: closed forms about 0, quadrature about another mean (of a sum, in the post order)."""
    size = np.array([_size(layer)])
    if layer.mean == 0:
        moments, shared = MOMENTS[name](size), kernel(name, size, size, np.array([layer.common])).second
        mean, second = MEANS[name](size).value[0], moments.second[0]
        return _Layer(float(mean), float(second), float(shared[0])), float(moments.derivative_second[0])
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    shared_part = float(np.clip(layer.common - layer.mean**2, 0.0, layer.second - layer.mean**2))
    own_part = max(layer.second - layer.mean**2 - shared_part, 0.0)
    x = torch.from_numpy(layer.mean + np.sqrt(shared_part) * nodes[:, None] + np.sqrt(own_part) * nodes)
    phi, derivative = ACTIVATIONS[name]
    y = phi(x)
    inner = y.numpy() @ weights
    second, slope = (float(weights @ z.square().numpy() @ weights) for z in (y, derivative(x, y)))
    return _Layer(float(weights @ inner), second, float(weights @ inner**2)), slope


def _size(layer: _Layer) -> float:
    return float(np.clip(layer.second, SMALLEST, LARGEST))
