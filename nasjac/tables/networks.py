"""Networks of published tables: weights by name and shape, one module or a population of many at once; and pullbacks.

Letters: B images, P networks, C channels, H rows and W columns of pixels. Layers of a population are [B, P, C, H, W]:
images before networks, so that the channels of all networks are one BatchNorm's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasjac.sampling.draws import Draws

Operation = Callable[[Tensor], Tensor]
Module = TypeVar("Module", bound=nn.Module)


class Sum(nn.Module):
    """The sum of its children's outputs for the same input."""

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = reduce(add, (child(x) for child in self.children()))
        return total


class StackedNetwork(nn.Module):
    """Images [B, 3, R, R] -> logits [B, outputs]; `body` maps h_0 to h_L, and `head` maps h_L to the readout's input."""

    def __init__(self, stem: nn.Sequential, body: nn.Sequential, head: nn.Sequential, width: int, outputs: int) -> None:
        super().__init__()
        self.stem, self.body, self.head, self.readout = stem, body, head, nn.Linear(width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.readout(self.head(self.body(self.stem(images))))
        return logits


def initialize(network: Module, draws: Draws, prefix: str = "") -> Module:
    """Draw weights N(0, 2 / fan_in) (He et al. 2015) by name; set gains to 1 and biases to 0; return the network.

    Weights with the same `prefix`, name and shape are the same in every network.
    """
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                weights = draws.normal(prefix + name, *parameter.shape)[0]
                parameter.copy_(weights * math.sqrt(2 / math.prod(parameter.shape[1:])))
            else:
                parameter.fill_(float(name.endswith("weight")))
    return network


def prepared(module: Module, prefix: str, draws: Draws) -> Module:
    """Initialize a part of a population, without gradients of weights, on the device and in the dtype of the draws."""
    return initialize(module.to(draws.device, draws.dtype).requires_grad_(False), draws, prefix)


def lifted(module: nn.Module, x: Tensor) -> Tensor:
    """Apply a module to a population [B, P, ...]; BatchNorm, in training mode, takes the statistics of each network."""
    if isinstance(module, nn.Sequential):
        return reduce(lambda x, part: lifted(part, x), module, x)
    if isinstance(module, Sum):
        return reduce(add, (lifted(child, x) for child in module.children()))
    if isinstance(module, nn.BatchNorm2d):
        return F.batch_norm(x.flatten(1, 2), None, None, training=True).reshape(x.shape)
    out: Tensor = module(x.flatten(0, 1))
    return out.reshape(*x.shape[:2], *out.shape[1:])


def routed(x: Tensor, labels: Sequence[str], operations: Mapping[str, Operation]) -> Tensor:
    """Apply to each network of a population [B, P, ...] the operation of its label, and evaluate each operation once.

    A label without an operation gives zeros.
    """
    parts = []
    for label, operation in operations.items():
        if rows := [row for row, own in enumerate(labels) if own == label]:
            index = torch.tensor(rows, device=x.device)
            parts.append((index, operation(x if len(rows) == len(labels) else x.index_select(1, index))))
    if not parts:
        return torch.zeros_like(x)
    zeros = x.new_zeros(*x.shape[:2], *parts[0][1].shape[2:])
    return reduce(lambda total, part: total.index_add(1, *part), parts, zeros)


class Pullbacks(NamedTuple):
    """Of P networks and B images each, by vectors of unit variance; zero where nothing of h_0 arrives. N units of h_L.

    `seen`     [P, B, h_0] (∂y/∂h_0)ᵀ v, y the readout's input and v one random vector for all images
    `ends`     twice [P, B, h_0] (∂h_L/∂h_0)ᵀ v, v uniform on the sphere of radius √N, another for each image
    `outputs`  [P, B, N] h_L
    """

    seen: Tensor
    ends: tuple[Tensor, ...]
    outputs: Tensor


def pullbacks(first: Tensor, last: Tensor, seen: Tensor, draws: Draws, norms: bool) -> Pullbacks:
    """Return pullbacks to h_0 `first` [B, P, ...], which requires a gradient, of h_L `last` and of `seen` [B, P, features].

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
    return Pullbacks(common, tuple(pulled(outputs, probe) for probe in vectors), outputs.detach().transpose(0, 1))
