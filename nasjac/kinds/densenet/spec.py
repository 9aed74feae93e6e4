"""The fields of a DenseNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nasjac.architecture.block import Block
from nasjac.architecture.fields import settle
from nasjac.architecture.spec import MOST_SIZE
from nasjac.foundation.arguments import whole
from nasjac.foundation.errors import InputError
from nasjac.kinds.convolutional.spec import ConvolutionalSpec
from nasjac.kinds.images import Conv, Extent, Step


@dataclass(frozen=True, repr=False)
class DenseNet(ConvolutionalSpec):
    """A densely connected network of images (Huang et al. 2017): stem, dense blocks in stages, head.

    Args:
        width: Channels after the stem.
        blocks: The dense blocks, input side first, each with a stage; their skips are 1, and they have no gates.
        growth: Channels that a block adds.
        norm: batchnorm, groupnorm or none.
        activation: One of `nasjac.mathematics.activations.ACTIVATIONS`.
        weight_gain: The standard deviation of a branch weight is weight_gain / sqrt(fan_in).
        shape: Channels, rows and columns of an image.
        order: post: convolution, norm, activation; pre: norm, activation, convolution.

    Raises:
        InputError: names the field, its rule and the value.
    """

    kind: ClassVar[str] = "densenet"
    ops: ClassVar[tuple[str, ...]] = ("dense",)

    growth: int = 1

    def __post_init__(self) -> None:
        settle(self, "growth", whole("growth", self.growth, low=1, high=MOST_SIZE))
        super().__post_init__()

    def _check_block(self, block: Block) -> None:
        if block.skip != 1:
            raise InputError(f"`skip` must be 1 in a densenet, whose blocks pass on all they see, got {block.skip}")
        if block.gate:
            raise InputError("`gate` must be false in a densenet, whose branches are beside the stream, got true")

    @property
    def least_weights(self) -> int:
        """A lower bound of the weights of the blocks."""
        return self.growth * sum(block.keep for block in self.blocks)

    def _step(self, start: Extent, block: Block, begins: bool) -> Step:
        """Return the sizes of a block, which adds `growth` channels; a transition halves all sizes, rounded down."""
        change = Conv(start.channels, start.channels // 2, 1) if begins else None
        inside = Extent(start.channels // 2, start.rows // 2, start.columns // 2) if begins else start
        end = inside._replace(channels=inside.channels + self.growth * block.keep)
        return Step(start, inside, end, (Conv(inside.channels, self.growth, 3),) if block.keep else (), change)

    def _unused(self, blocks: tuple[Block, ...]) -> list[str]:
        """The weight gain is also that of the transitions, so that it matters without any kept block."""
        growing = [] if any(block.keep for block in blocks) else ["growth"]
        return [*super()._unused(blocks), *growing, *([] if blocks else ["weight_gain"])]
