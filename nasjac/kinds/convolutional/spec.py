"""The fields that ResNets and DenseNets share."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property

from nasjac.architecture.block import Block
from nasjac.architecture.fields import check_choice, settle
from nasjac.architecture.inputs import Inputs
from nasjac.architecture.spec import MOST_GAIN, Spec, sequence
from nasjac.foundation.arguments import number
from nasjac.foundation.errors import InputError
from nasjac.kinds.images import Extent, Step, begins_stage, check_pixels, check_shape, image_sizes
from nasjac.mathematics.activations import ACTIVATIONS

IMAGE_NORMS = ("batchnorm", "groupnorm", "none")
#: where the activation is: after the sum of branch and shortcut (He et al. 2016a), or before each convolution (2016b)
ORDERS = ("post", "pre")
#: images of the batch whose statistics BatchNorm uses while a network is scored
BATCH = 16


@dataclass(frozen=True, repr=False)
class ConvolutionalSpec(Spec):
    """The base class of ResNets and DenseNets.

    Args:
        width: Channels after the stem.
        blocks: The blocks, input side first; stages follow each other, and each after 0 begins by halving the image.
        norm: batchnorm, groupnorm or none.
        activation: One of `nasjac.mathematics.activations.ACTIVATIONS`.
        weight_gain: The standard deviation of a branch weight is weight_gain / sqrt(fan_in).
        shape: Channels, rows and columns of an image.
        order: post: convolution, norm, activation, the last one after the sum; pre: norm, activation, convolution.
    """

    norm: str = field(kw_only=True)
    shape: tuple[int, ...] = field(kw_only=True)
    activation: str = "relu"
    weight_gain: float = 1.0
    order: str = "post"

    def __post_init__(self) -> None:
        settle(self, "shape", image_sizes(sequence("shape", self.shape, "whole numbers")))
        super().__post_init__()
        check_choice("norm", self.norm, IMAGE_NORMS)
        check_choice("activation", self.activation, ACTIVATIONS)
        settle(self, "weight_gain", number("weight_gain", self.weight_gain, low=0.0, high=MOST_GAIN, open_low=True))
        check_choice("order", self.order, ORDERS)
        check_shape(self.kind, self.shape)
        before = 0
        for block in self.blocks:
            if block.stage not in (before, before + 1):
                rule = "that of the block before or the next (0 before the first)"
                raise InputError(f"`stage` must be {rule}, got {block.stage} after {before}")
            before = block.stage
            self._check_block(block)
        check_pixels("shape", self.shape, before)

    def _check_block(self, block: Block) -> None:
        """Refuse a block that the kind cannot have."""

    @abstractmethod
    def _step(self, start: Extent, block: Block, begins: bool) -> Step:
        """Return the sizes of a block behind the layer `start`; `begins`: it is the first of a stage after stage 0."""

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The sizes of each block, input side first."""
        made: list[Step] = []
        at = self.stem
        for place, block in enumerate(self.blocks):
            made.append(self._step(at, block, self.changes_shape(place)))
            at = made[-1].end
        return tuple(made)

    @property
    def stem(self) -> Extent:
        """The layer h_0."""
        return Extent(self.width, *self.shape[1:])

    @property
    def inputs(self) -> Inputs:
        """Images."""
        return Inputs(shape=self.shape)

    @property
    def start_units(self) -> int:
        """Units of h_0 of one image."""
        return self.stem.units

    @property
    def units(self) -> int:
        """Units of h_L, those of all images of a `batch` together.

        h_0 may have another number of units. The effective rank r is at most the smaller of both, and the correction of
        log ‖·‖² for a tangent, which is by the units of h_0, is off by at most the difference of 2/N.
        """
        return self.batch * (self.steps[-1].end.units if self.blocks else self.width * math.prod(self.shape[1:]))

    @property
    def batch(self) -> int:
        """Images whose Jacobian is that of all of them together: BatchNorm makes a batch one input."""
        return BATCH if self.norm == "batchnorm" else 1

    def changes_shape(self, number: int) -> bool:
        """Return whether a block is the first of a stage after stage 0."""
        return begins_stage(self.blocks, number)

    def _unused(self, blocks: tuple[Block, ...]) -> list[str]:
        """Norm, activation and order are the stem's or the head's too. Without norm and bend there is one order."""
        return [*super()._unused(blocks), *(["order"] if self.norm == "none" and self.activation == "linear" else [])]
