"""Networks of published tables: weights by name and shape, the same for a module and for a population; and pullbacks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nasjac.sampling.draws import Draws

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


class Pullbacks(NamedTuple):
    """Of P networks and B images each, by vectors of unit variance; zero where nothing of h_0 arrives. N units of h_L.

    `seen`     [P, B, h_0] (∂y/∂h_0)ᵀ v, y what the readout sees and v one random vector for all images
    `ends`     twice [P, B, h_0] (∂h_L/∂h_0)ᵀ v, v uniform on the sphere of radius √N, another for each image
    `outputs`  [P, B, N] h_L
    """

    seen: Tensor
    ends: tuple[Tensor, ...]
    outputs: Tensor


def pullbacks(first: Tensor, last: Tensor, seen: Tensor, draws: Draws, norms: bool) -> Pullbacks:
    """Of h_0 `first` [B, P, ...], which requires a gradient, h_L `last` [B, P, ...] and `seen` [B, P, features].

    Without `norms` there are no `ends`.
    """

    def pulled(outputs: Tensor, vectors: Tensor) -> Tensor:
        if not outputs.requires_grad:  # every network is dead
            return torch.zeros_like(first).transpose(0, 1).flatten(2)
        (gradient,) = torch.autograd.grad((outputs * vectors).sum(), first, retain_graph=True)
        return gradient.transpose(0, 1).flatten(2)

    outputs = last.flatten(2)
    common = pulled(seen, draws.normal("probe", seen.shape[-1])[0])
    vectors = draws.probes("cotangent", 2, len(outputs), 1, outputs.shape[-1])[0] if norms else ()
    ends = tuple(pulled(outputs, probe) for probe in vectors)
    return Pullbacks(common, ends, outputs.detach().transpose(0, 1))
