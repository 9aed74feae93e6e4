"""How ResNets grow and lose branches."""

from __future__ import annotations

from typing import Any, Protocol, cast

from torch import Tensor, nn

from nasjac.kinds.modules.layers import factor
from nasjac.kinds.surgery import SteppedSurgery, zero


class ShortcutBlock(Protocol):
    """The part of `nasjac.kinds.resnet.network.ResNetBlock` that matters here."""

    skip: Tensor
    scale: Tensor
    gate: nn.Parameter | None
    pre: bool
    branch: nn.Module
    shortcut: nn.Module | None

    def activation(self, x: Tensor) -> Tensor: ...


class ResNetSurgery(SteppedSurgery):
    """A block that changes the shape keeps its projection when its branch goes."""

    first_op = "basic"

    def identity_fault(self, spec: Any) -> str | None:
        if spec.order == "post" and spec.activation not in ("relu", "linear"):
            return f"`order` post ends a block with the activation {spec.activation}, which changes what it is given"
        return None

    def zero_last(self, spec: Any, block: nn.Module) -> None:
        layers = "norms" if spec.order == "post" and spec.norm != "none" else "convs"
        zero(list(block.get_submodule(f"branch.{layers}").children())[-1])

    def added(self, block: nn.Module, x: Tensor) -> Tensor:
        """Return F(x); an activation behind the sum, which stretches nothing (relu), is not in it."""
        own = cast(ShortcutBlock, block)
        return cast(Tensor, factor(own.scale, own.gate) * own.branch(x))

    def bypassed(self, block: nn.Module, x: Tensor) -> Tensor:
        own = cast(ShortcutBlock, block)
        if own.shortcut is None or isinstance(own.shortcut, nn.Identity):
            return x
        short = cast(Tensor, own.skip * own.shortcut(x))
        return short if own.pre else own.activation(short)


SURGERY = ResNetSurgery()
