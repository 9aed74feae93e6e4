"""The layers that all kinds of networks are made of, initialized by the law that scores assume."""

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
    """A layer made on the meta device, for torch's own initialization would use up numbers of the global generator.

    It gets memory on the CPU that is not initialized, but under `torch.device("meta")`, where shapes alone are asked for.
    """
    return layer if torch.get_default_device().type == "meta" else layer.to_empty(device="cpu")


def linear(inputs: int, outputs: int, gain: float, generator: torch.Generator | None) -> nn.Linear:
    """Weights N(0, gain² / inputs), zero biases."""
    layer = with_memory(nn.Linear(inputs, outputs, device="meta"))
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs), generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def norm_of(spec: UnitSpec, present: bool) -> nn.Module:
    """The spec's norm, or the identity where none is present."""
    if not present:
        return nn.Identity()
    return (nn.LayerNorm if spec.norm == "layernorm" else nn.RMSNorm)(spec.width, eps=NORM_EPS)


def gate_of(block: Block) -> nn.Parameter | None:
    """The learned factor on the block's branch, at 0; None where there is none."""
    return nn.Parameter(torch.zeros(())) if block.keep and block.gate else None


def factor(scale: Tensor, gate: Tensor | None) -> Tensor:
    """What the branch is multiplied by."""
    return scale if gate is None else scale * gate
