"""Layers of stacked networks, each with its pullback: from the gradient by its output to the gradient by its input.

A pullback also writes the gradients by the layer's parameters. Together they do less than autograd's graph of all layers.

Letters: A networks, B samples, I inputs and O outputs of a layer, N units.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nasjac.architecture.norm_placement import NORM_EPS
from nasjac.kinds.chains import Pulled
from nasjac.mathematics.activations import ACTIVATIONS

#: some of the networks: side by side, or by their indices
Rows = slice | Tensor


class Parameter(NamedTuple):
    """A parameter of A networks, [A, ...], and its gradient."""

    value: Tensor
    gradient: Tensor


def identity(x: Tensor) -> Pulled:
    """x"""
    return x, lambda gradient: gradient


def linear(x_ABI: Tensor, weight_AOI: Parameter, bias_AO: Parameter) -> Pulled:
    """W x + b"""

    def pullback(gradient_ABO: Tensor) -> Tensor:
        weight_AOI.gradient.copy_(torch.bmm(gradient_ABO.mT, x_ABI))
        bias_AO.gradient.copy_(gradient_ABO.sum(dim=1))
        return torch.bmm(gradient_ABO, weight_AOI.value)

    return torch.baddbmm(bias_AO.value[:, None], x_ABI, weight_AOI.value.mT), pullback


def activation(x: Tensor, name: str) -> Pulled:
    """phi(x)"""
    x = x.detach().requires_grad_(torch.is_grad_enabled())
    y = ACTIVATIONS[name].function(x)
    return y.detach(), lambda gradient: torch.autograd.grad(y, x, gradient)[0]


def centered(x_ABN: Tensor) -> Pulled:
    """x less its mean over the units: LayerNorm is RMSNorm of that."""

    def center(x: Tensor) -> Tensor:
        return x - x.mean(dim=-1, keepdim=True)

    return center(x_ABN), center


def normalized(x_ABN: Tensor) -> Pulled:
    """y = x / sqrt(mean(x²) + eps) over the units"""
    units = x_ABN.shape[-1]
    inverse_rms = (torch.linalg.vector_norm(x_ABN, dim=-1, keepdim=True).square() / units + NORM_EPS).rsqrt()
    y = x_ABN * inverse_rms

    def pullback(gradient: Tensor) -> Tensor:
        along_y = torch.linalg.vecdot(gradient, y)[..., None] / units
        return torch.addcmul(gradient, y, along_y, value=-1).mul_(inverse_rms)

    return y, pullback


def affine(x_ABN: Tensor, rows: Rows, weight_AN: Parameter, bias_AN: Parameter | None) -> Pulled:
    """w x + b unit by unit, of those `rows` of the parameters."""
    weight = weight_AN.value[rows][:, None]
    y = x_ABN * weight if bias_AN is None else torch.addcmul(bias_AN.value[rows][:, None], x_ABN, weight)

    def pullback(gradient: Tensor) -> Tensor:
        weight_AN.gradient[rows] = (gradient * x_ABN).sum(dim=1)
        if bias_AN is not None:
            bias_AN.gradient[rows] = gradient.sum(dim=1)
        return gradient * weight

    return y, pullback
