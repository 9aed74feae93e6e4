"""The fields of a ResNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nasjac.architecture.block import Block
from nasjac.foundation.errors import InputError
from nasjac.kinds.convolutional.spec import ConvolutionalSpec
from nasjac.kinds.images import Conv, Extent, Step
from nasjac.kinds.options.stepped import SteppedSpec


@dataclass(frozen=True, repr=False)
class ResNet(ConvolutionalSpec, SteppedSpec):
    """A residual network of images (He et al. 2016a, b): stem, residual blocks in stages, head.

    Args:
        width: Channels after the stem; a multiple of 4 with bottleneck blocks.
        blocks: The residual blocks, input side first, each with op basic or bottleneck and a stage.
        norm: batchnorm, groupnorm or none.
        activation: One of `nasjac.mathematics.activations.ACTIVATIONS`.
        weight_gain: The standard deviation of a branch weight is weight_gain / sqrt(fan_in).
        shape: Channels, rows and columns of an image.
        order: post: convolution, norm, activation, the last one after the sum; pre: norm, activation, convolution.
        block, step, leak: How a block steps in time (`nasjac.kinds.options.stepped.SteppedSpec`).

    Raises:
        InputError: names the field, its rule and the value.
    """

    kind: ClassVar[str] = "resnet"
    ops: ClassVar[tuple[str, ...]] = ("basic", "bottleneck")

    def _check_block(self, block: Block) -> None:
        if block.op == "bottleneck" and self.width % 4:
            raise InputError(f"`width` must be a multiple of 4 with bottleneck blocks, got {self.width}")

    @property
    def least_weights(self) -> int:
        """A lower bound of the weights of the blocks."""
        return self.width**2 // 16 * sum(block.keep for block in self.blocks)

    def _step(self, start: Extent, block: Block, begins: bool) -> Step:
        """Return the sizes of a block: a stage doubles channels and halves rows and columns; a bottleneck has a quarter."""
        stride = 2 if begins else 1
        channels, outputs = start.channels, start.channels * stride
        change = Conv(channels, outputs, 1, stride)
        branch: tuple[Conv, ...] = (Conv(channels, outputs, 3, stride), Conv(outputs, outputs, 3))
        if block.op == "bottleneck":
            inner = outputs // 4
            branch = (Conv(channels, inner, 1), Conv(inner, inner, 3, stride), Conv(inner, outputs, 1))
        projects = begins and (block.skip > 0 or not block.keep)
        return Step(start, start, start.after(change), branch if block.keep else (), change if projects else None)

    def _unused(self, blocks: tuple[Block, ...]) -> list[str]:
        kept = any(block.keep for block in blocks)
        return [*super()._unused(blocks), *([] if kept else ["weight_gain"])]
