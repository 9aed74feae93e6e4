"""The residual branches of networks that `nasjac.kinds.build` builds, at the network's own stream of data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Protocol, cast

import torch
from torch import Generator, Tensor, nn

from nasjac.kinds.modules.layers import factor
from nasjac.kinds.resnet.network import ResNetBlock
from nasjac.surgery.branches.norms import Norms, norms


class Residual(Protocol):
    """What every network of residual blocks has."""

    @property
    def blocks(self) -> nn.ModuleList: ...

    def stream(self, x: Tensor) -> Iterator[Tensor]: ...


def measurable(network: nn.Module) -> nn.Module:
    """A copy for Jacobians: float64, BatchNorm with its running statistics, no gradients of weights."""
    return deepcopy(network).double().eval().requires_grad_(False)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The network's blocks."""
    return list(cast(Residual, network).blocks)


@torch.no_grad()
def stream(network: nn.Module, inputs: Tensor) -> list[Tensor]:
    """h_0 ... h_L, in the network's precision."""
    dtype = next(network.parameters()).dtype
    return list(cast(Residual, network).stream(inputs.to(dtype) if inputs.is_floating_point() else inputs))


def added(block: Any, x: Tensor) -> Tensor:
    """F(x), what the block puts beside its identity or shortcut: scale and norms included.

    With a norm on the sum it is the block less its identity: J_F is J − I then, the norm included. A ResNet's activation
    after the sum, which stretches nothing (relu), is not in it.
    """
    scale = factor(block.scale, block.gate)
    if isinstance(block, ResNetBlock):
        return cast(Tensor, scale * cast(nn.Module, block.branch)(x))
    if not isinstance(block.norm_sum, nn.Identity):
        return cast(Tensor, block(x) - block.skip * x)
    return cast(Tensor, scale * block.norm_branch(block.branch(block.norm_input(x))))


def bypassed(block: Any, x: Tensor) -> Tensor:
    """What is left of the block when its branch is pruned: the identity, or the shortcut where the shape changes."""
    if isinstance(block, ResNetBlock) and isinstance(block.shortcut, nn.Module) and not _is_identity(block.shortcut):
        short = block.skip * block.shortcut(x)
        return short if block.pre else block.activation(short)
    return x


def _is_identity(module: nn.Module) -> bool:
    return isinstance(module, nn.Identity)


def branch_norms(
    network: nn.Module, inputs: Tensor, numbers: Iterable[int], generator: Generator, rel_error: float | None = 0.01
) -> dict[int, Norms]:
    """The norms of the branches of these blocks at the inputs; the network as `measurable` makes it."""
    layers, blocks = stream(network, inputs), blocks_of(network)
    return {n: norms(_of(blocks[n]), layers[n], generator, rel_error) for n in numbers}


def _of(block: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: added(block, x)


@contextmanager
def gated(network: nn.Module, gates: Tensor) -> Iterator[None]:
    """Blocks as g × block + (1 − g) × what is left of it when pruned, one gate a block: 0 prunes it."""
    handles = []
    for gate, block in zip(gates, blocks_of(network), strict=True):

        def hook(module: nn.Module, args: Any, output: Tensor, gate: Tensor = gate) -> Tensor:
            left = bypassed(module, args[0])
            return left + gate * (output - left)

        handles.append(block.register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
