"""The activations: the function and its derivative, elementwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Activation(NamedTuple):
    """phi and phi'."""

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]


def _gelu_derivative(x: Tensor) -> Tensor:
    """Phi(x) + x phi(x), Phi the normal distribution function (the erf form, not the tanh approximation)."""
    return 0.5 * torch.erfc(x * -math.sqrt(0.5)) + x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


ACTIVATIONS = {
    "relu": Activation(torch.relu, lambda x: (x > 0).to(x.dtype)),
    "gelu": Activation(F.gelu, _gelu_derivative),
    "tanh": Activation(torch.tanh, lambda x: 1 - torch.tanh(x) ** 2),
    "erf": Activation(torch.erf, lambda x: torch.exp(-x * x) * (2 / math.sqrt(math.pi))),
    "linear": Activation(lambda x: x, torch.ones_like),
}
