"""The layers of convolutional networks, linearized: what carries streams and tangents forward carries cotangents back.

Each layer is a function of vectors that returns what comes out and the function that pulls cotangents back through it. The
weights of D draws are the groups of one convolution.

Letters: r rows (architectures), I inputs of a draw, V vectors of an input (its stream first, then its tangents; or
cotangents), B images of an input (1, or those of a batch with BatchNorm), D draws, C channels, H rows and W columns of
pixels. Vectors are [r, I, V, B, D, C, H, W].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nasjac.architecture.norm_placement import NORM_EPS
from nasjac.kinds.chains import Layer, Pulled
from nasjac.kinds.convolutional.network import groups_of
from nasjac.kinds.images import Conv
from nasjac.mathematics.activations import ACTIVATIONS

#: with fewer images torch chooses another kernel for 1 x 1 convolutions, which rounds differently
FEWEST = 16
#: dimensions of one vector: images, channels, rows, columns
OWN = (3, 5, 6, 7)


def convolution(conv: Conv, weights: Tensor, gain: Tensor | float) -> Layer:
    """Return a convolution with zeros around the image, by `weights` [D, outputs, inputs, k, k] times `gain`.

    `gain` is one number, or one for each row [r, 1, 1, 1, 1, 1, 1, 1].
    """
    draws, kernel, stride, around = len(weights), weights.flatten(0, 1), conv.stride, conv.kernel // 2

    def layer(x: Tensor) -> Pulled:
        def back(cotangents: Tensor) -> Tensor:
            flat = _flat(cotangents * gain)
            left = [size - 1 - (out - 1) * stride for size, out in zip(x.shape[-2:], flat.shape[-2:], strict=True)]
            pulled = F.conv_transpose2d(flat, kernel, None, stride, around, left, groups=draws)
            return _like(cotangents, pulled, conv.inputs)

        out = F.conv2d(_flat(x), kernel, None, stride, around, groups=draws)
        return _like(x, out, conv.outputs).mul_(gain), back

    return layer


def _flat(x: Tensor) -> Tensor:
    """Images [n, D C, H, W], at least `FEWEST` of them."""
    flat = x.flatten(0, 3).flatten(1, 2)
    return F.pad(flat, (0, 0, 0, 0, 0, 0, 0, FEWEST - len(flat))) if len(flat) < FEWEST else flat


def _like(x: Tensor, images: Tensor, channels: int) -> Tensor:
    """Images of `_flat` as vectors again."""
    rows = x.shape[:4]
    return images[: rows.numel()].view(*rows, -1, channels, *images.shape[-2:])


def activation(name: str, keep: bool = False) -> Layer:
    """Return the layer phi: phi of the streams, phi' times the tangents; it works in place unless `keep`."""
    function, derivative = ACTIVATIONS[name]

    def layer(x: Tensor) -> Pulled:
        streams = x[:, :, :1]
        values = function(streams)
        slope = derivative(streams, values)
        out = x.clone() if keep else x
        out[:, :, 1:] *= slope
        out[:, :, :1] = values
        return out, lambda cotangents: cotangents * slope

    return layer


def norm(name: str, gain: Tensor | float = 1.0) -> Layer:
    """Return BatchNorm by the statistics of the batch, or GroupNorm, of the vectors times `gain`, which only changes ε.

    x̂ = (x − mean) / σ over n numbers has the Jacobian (1/σ)(C − x̂ x̂ᵀ / n), C the centering, which is symmetric.
    """

    epsilon = NORM_EPS / gain**2

    def layer(x: Tensor) -> Pulled:
        whole, (x, over) = x.shape, _by_statistic(x, name)
        smallest = epsilon if isinstance(epsilon, float) else epsilon.view(-1, *[1] * (x.ndim - 1))
        x = x - x.mean(over, keepdim=True)
        inverse = torch.rsqrt(x[:, :, :1].square().mean(over, keepdim=True) + smallest)
        x *= inverse
        unit, tangents = x[:, :, :1], x[:, :, 1:]
        tangents.addcmul_(unit, (tangents * unit).mean(over, keepdim=True), value=-1)
        unit = unit.clone()  # the next layer may work in place

        def back(cotangents: Tensor) -> Tensor:
            split, _ = _by_statistic(cotangents, name)
            split = (split - split.mean(over, keepdim=True)).mul_(inverse)
            return split.addcmul_(unit, (split * unit).mean(over, keepdim=True), value=-1).view(cotangents.shape)

        return x.view(whole), back

    return layer


def _by_statistic(x: Tensor, name: str) -> tuple[Tensor, tuple[int, ...]]:
    """The vectors, and the dimensions that one mean is taken over."""
    if name == "batchnorm":
        return x, (3, 6, 7)
    count = groups_of(x.shape[5])
    return x.view(*x.shape[:5], count, -1, *x.shape[6:]), (6, 7, 8)
