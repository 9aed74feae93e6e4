"""Layers that several kinds of networks have, initialized by the law that scores assume."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from nasjac.architecture.block import Block
from nasjac.architecture.norm_placement import NORM_EPS
from nasjac.kinds.options.units import UnitSpec

Layer = TypeVar("Layer", bound=nn.Module)


def with_memory(layer: Layer) -> Layer:
    """Return a layer that was made on the meta device, with uninitialized memory on the CPU.

    A layer is made on the meta device because torch's initialization would use up numbers of the global generator. It stays
    there under `torch.device("meta")`, where only shapes are asked for.
    """
    return layer if torch.get_default_device().type == "meta" else layer.to_empty(device="cpu")


def linear(inputs: int, outputs: int, gain: float, generator: torch.Generator | None) -> nn.Linear:
    """Return a linear map with weights N(0, gain² / inputs) and zero biases."""
    layer = with_memory(nn.Linear(inputs, outputs, device="meta"))
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs), generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def norm_of(spec: UnitSpec, present: bool) -> nn.Module:
    """Return the Spec's norm over the width, or the identity unless it is `present`."""
    if not present:
        return nn.Identity()
    return (nn.LayerNorm if spec.norm == "layernorm" else nn.RMSNorm)(spec.width, eps=NORM_EPS)


def gate_of(block: Block) -> nn.Parameter | None:
    """Return the learned factor on a block's branch, which starts at 0, or None where the block has none."""
    return nn.Parameter(torch.zeros(())) if block.keep and block.gate else None


def factor(scale: Tensor, gate: Tensor | None) -> Tensor:
    """Return the factor on a branch: its scale, times its learned factor where it has one."""
    return scale if gate is None else scale * gate
