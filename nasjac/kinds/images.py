"""Networks of images: what convolutional blocks are made of, how large each layer is, and how images become patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from nasjac.foundation.arguments import LARGEST, shown
from nasjac.foundation.errors import InputError

IMAGE_NORMS = ("batchnorm", "groupnorm", "none")
#: where the activation is: after the sum of branch and shortcut (He et al. 2016a), or before each convolution (2016b)
ORDERS = ("post", "pre")
#: images of a batch whose statistics BatchNorm takes when it is scored
BATCH = 16


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
        """What a convolution makes of it, zeros around the image."""
        return Extent(conv.outputs, -(-self.rows // conv.stride), -(-self.columns // conv.stride))


class Conv(NamedTuple):
    """A convolution with `kernel` × `kernel` weights between each two channels, one output pixel in `stride`²."""

    inputs: int
    outputs: int
    kernel: int
    stride: int = 1


class Step(NamedTuple):
    """One block: from layer `start` to `end` by a branch of convolutions, from `inside` on, and one that changes the shape.

    That one is a resnet's projection shortcut, beside the branch, or a densenet's transition, before it. A pruned branch
    is empty; `change` is None where nothing is changed.
    """

    start: Extent
    inside: Extent
    end: Extent
    branch: tuple[Conv, ...]
    change: Conv | None

    def placed(self) -> Iterator[tuple[Conv, Extent]]:
        """Its convolutions, and the layer that each gives."""
        if self.change is not None:
            yield self.change, self.start.after(self.change)
        at = self.inside
        for conv in self.branch:
            at = at.after(conv)
            yield conv, at


class ImageBlock(Protocol):
    """The part of `nasjac.architecture.spec.Block` that matters here."""

    @property
    def keep(self) -> bool: ...
    @property
    def skip(self) -> float: ...
    @property
    def op(self) -> str: ...
    @property
    def stage(self) -> int: ...


def begins_stage(blocks: Sequence[ImageBlock], number: int) -> bool:
    """Whether a block is the first of a stage and not of stage 0: then it changes the shape."""
    return blocks[number].stage > (blocks[number - 1].stage if number else 0)


def steps(kind: str, width: int, growth: int, shape: Sequence[int], blocks: Sequence[ImageBlock]) -> list[Step]:
    """What each block does to an image of `shape` (channels, rows, columns), after a stem of `width` channels."""
    step = _resnet_step if kind == "resnet" else _densenet_step
    found: list[Step] = []
    at = Extent(width, *shape[1:])
    for number, block in enumerate(blocks):
        found.append(step(at, block, begins_stage(blocks, number), growth))
        at = found[-1].end
    return found


def _resnet_step(start: Extent, block: ImageBlock, begins: bool, _: int) -> Step:
    """A stage doubles the channels and halves rows and columns; a bottleneck is a quarter as wide inside."""
    stride = 2 if begins else 1
    channels, outputs = start.channels, start.channels * stride
    change = Conv(channels, outputs, 1, stride)
    branch: tuple[Conv, ...] = (Conv(channels, outputs, 3, stride), Conv(outputs, outputs, 3))
    if block.op == "bottleneck":
        inner = outputs // 4
        branch = (Conv(channels, inner, 1), Conv(inner, inner, 3, stride), Conv(inner, outputs, 1))
    projects = begins and (block.skip > 0 or not block.keep)
    return Step(start, start, start.after(change), branch if block.keep else (), change if projects else None)


def _densenet_step(start: Extent, block: ImageBlock, begins: bool, growth: int) -> Step:
    """A transition halves channels, rows and columns, rounded down; a block adds `growth` channels."""
    change = Conv(start.channels, start.channels // 2, 1) if begins else None
    inside = Extent(start.channels // 2, start.rows // 2, start.columns // 2) if begins else start
    end = inside._replace(channels=inside.channels + growth * block.keep)
    return Step(start, inside, end, (Conv(inside.channels, growth, 3),) if block.keep else (), change)


def check_images(kind: str, width: int, shape: Sequence[int], blocks: Sequence[ImageBlock]) -> None:
    """ValueError unless the stages follow each other, the images are large enough for them, and the blocks fit."""
    check_shape(kind, shape)
    before = 0
    for block in blocks:
        if block.stage not in (before, before + 1):
            rule = "that of the block before or the next (0 before the first)"
            raise InputError(f"`stage` must be {rule}, got {block.stage} after {before}")
        before = block.stage
        if kind == "resnet" and block.op == "bottleneck" and width % 4:
            raise InputError(f"`width` must be a multiple of 4 with bottleneck blocks, got {width}")
        if kind == "densenet" and block.skip != 1:
            raise InputError(f"`skip` must be 1 in a densenet, whose blocks pass on all they see, got {block.skip}")
    check_pixels("shape", shape, before)


def check_patches(shape: Sequence[int], patch: int, context: int) -> None:
    """ValueError unless images of this shape are cut into `context` patches of `patch` rows and columns."""
    check_shape("vit", shape)
    if any(size % patch for size in shape[1:]):
        raise InputError(f"`patch` must divide the rows and columns of `shape`, {tuple(shape[1:])}, got {patch}")
    count = shape[1] // patch * (shape[2] // patch)
    if context != count:
        raise InputError(f"`context` must be the number of patches, {count}, got {context}")


def check_shape(kind: str, shape: Sequence[int]) -> None:
    """ValueError unless it is that of images."""
    if len(shape) != 3 or not all(type(size) is int and 1 <= size <= LARGEST for size in shape):
        rule = f"(channels, rows, columns) of its images in a {kind}, whole numbers of at least 1"
        raise InputError(f"`shape` must be {rule}, got {shown(tuple(shape))}")


def check_pixels(name: str, shape: Sequence[int], stage: int) -> None:
    """ValueError that names the field unless rows and columns can be halved `stage` times."""
    if min(shape[1:]) < 2**stage:
        rule = f"images of at least {2**stage} x {2**stage} pixels, halved by each of {stage} stages after the first"
        raise InputError(f"`{name}` must be {rule}, got {tuple(shape)}")
