"""The activations: the function and its derivative, elementwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Activation(NamedTuple):
    """phi(x), and phi'(x) from x and phi(x)."""

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]


def _gelu_derivative(x: Tensor, _: Tensor) -> Tensor:
    """Phi(x) + x phi(x), Phi the normal distribution function (the erf form, not the tanh approximation)."""
    density = torch.exp(-0.5 * x * x).mul_(1 / math.sqrt(2 * math.pi))
    return torch.erf(x * math.sqrt(0.5)).add_(1).mul_(0.5).addcmul_(x, density)


def _silu_derivative(x: Tensor, y: Tensor) -> Tensor:
    """σ(x) + x σ(x) (1 − σ(x)), σ the logistic function."""
    logistic = torch.sigmoid(x)
    return logistic + y * (1 - logistic)


ACTIVATIONS = {
    "relu": Activation(torch.relu, lambda x, y: y.sign()),
    "gelu": Activation(F.gelu, _gelu_derivative),
    "tanh": Activation(torch.tanh, lambda x, y: 1 - y * y),
    "erf": Activation(torch.erf, lambda x, y: torch.exp(-x * x) * (2 / math.sqrt(math.pi))),
    "linear": Activation(lambda x: x, lambda x, y: torch.ones_like(x)),
    "silu": Activation(F.silu, _silu_derivative),
}
