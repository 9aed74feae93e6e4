"""Sizes in networks of images: layers, convolutions and blocks, and the checks of an image's shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasjac.architecture.block import Block
from nasjac.foundation.arguments import LARGEST, shown
from nasjac.foundation.errors import InputError


class Extent(NamedTuple):
    """Channels and pixels of one layer."""

    channels: int
    rows: int
    columns: int

    @property
    def pixels(self) -> int:
        return self.rows * self.columns

    @property
    def units(self) -> int:
        return self.channels * self.pixels

    def after(self, conv: Conv) -> Extent:
        """Return the layer that a convolution with zeros around the image makes of this one."""
        return Extent(conv.outputs, -(-self.rows // conv.stride), -(-self.columns // conv.stride))


class Conv(NamedTuple):
    """A convolution with `kernel` × `kernel` weights between each two channels, one output pixel in `stride`²."""

    inputs: int
    outputs: int
    kernel: int
    stride: int = 1


class Step(NamedTuple):
    """The sizes of one block, from its layer `start` to its layer `end`.

    `inside`  the layer that the branch takes in
    `branch`  its convolutions, none where it is pruned
    `change`  the convolution that changes the shape, None where the shape stays: the projection shortcut of a ResNet,
              which is beside the branch, or the transition of a DenseNet, which is before it
    """

    start: Extent
    inside: Extent
    end: Extent
    branch: tuple[Conv, ...]
    change: Conv | None

    def placed(self) -> Iterator[tuple[Conv, Extent]]:
        """Yield each convolution of the block with the layer that it makes."""
        if self.change is not None:
            yield self.change, self.start.after(self.change)
        at = self.inside
        for conv in self.branch:
            at = at.after(conv)
            yield conv, at


def begins_stage(blocks: Sequence[Block], number: int) -> bool:
    """Return whether a block is the first of a stage after stage 0: such a block changes the shape."""
    return blocks[number].stage > (blocks[number - 1].stage if number else 0)


def image_sizes(shape: Sequence[Any]) -> tuple[Any, ...]:
    """Return a shape with NumPy's integers converted to Python's."""
    return tuple(int(size) if isinstance(size, np.integer) else size for size in shape)


def check_patches(shape: Sequence[int], patch: int, context: int) -> None:
    """Raise InputError unless images of this shape are cut into `context` patches of `patch` rows and columns."""
    check_shape("vit", shape)
    if any(size % patch for size in shape[1:]):
        raise InputError(f"`patch` must divide the rows and columns of `shape`, {tuple(shape[1:])}, got {patch}")
    count = shape[1] // patch * (shape[2] // patch)
    if context != count:
        raise InputError(f"`context` must be the number of patches, {count}, got {context}")


def check_shape(kind: str, shape: Sequence[int]) -> None:
    """Raise InputError unless `shape` is channels, rows and columns of an image."""
    if len(shape) != 3 or not all(type(size) is int and 1 <= size <= LARGEST for size in shape):
        rule = f"(channels, rows, columns) of its images in a {kind}, whole numbers of at least 1"
        raise InputError(f"`shape` must be {rule}, got {shown(tuple(shape))}")


def check_pixels(name: str, shape: Sequence[int], stage: int) -> None:
    """Raise InputError, which names the field `name`, unless rows and columns can be halved `stage` times."""
    if min(shape[1:]) < 2**stage:
        rule = f"images of at least {2**stage} x {2**stage} pixels, halved by each of {stage} stages after the first"
        raise InputError(f"`{name}` must be {rule}, got {tuple(shape)}")
