"""Weights of the networks of published tables: by name and shape, the same for a module and for a population."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from nasjac.networks.draws import Draws

Weights = Callable[[str, tuple[int, ...]], Tensor]


def drawn(draws: Draws) -> Weights:
    """Normal weights of variance 2 / fan_in (He et al. 2015), of one draw."""

    def weights(name: str, shape: tuple[int, ...]) -> Tensor:
        return draws.normal(name, *shape)[0] * math.sqrt(2 / math.prod(shape[1:]))

    return weights


def initialize(network: nn.Module, draws: Draws) -> nn.Module:
    """The same weights in a module; gains are 1 and biases 0."""
    weights = drawn(draws)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                parameter.copy_(weights(name, tuple(parameter.shape)))
            else:
                parameter.fill_(float(name.endswith("weight")))
    return network
