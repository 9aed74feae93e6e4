"""The images of a space of networks for images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

from nasjac.architecture.inputs import Inputs
from nasjac.architecture.space import Space
from nasjac.foundation.errors import InputError
from nasjac.kinds.images import check_pixels
from nasjac.kinds.options.checks import check_depth

#: of an image
MOST_NUMBERS = 2**24
#: what a space of images has where neither its options nor a dataset say: those of digits
SMALL_IMAGE = (1, 8, 8)


@dataclass(frozen=True)
class ImageOptions(Space):
    """The option of a space of networks for images.

    `shape`  channels, rows and columns of the images (null: those of the dataset, 1 x 8 x 8 where there is none)
    """

    shape: tuple[int, ...] | None = None

    @property
    def image(self) -> tuple[int, ...]:
        """The shape, that of a small image where the option says nothing. InputError: it is not that of images."""
        shape = self.shape
        if shape is not None and (len(shape) != 3 or min(shape) < 1 or math.prod(shape) > MOST_NUMBERS):
            rule = f"(channels, rows, columns), whole numbers of at least 1 and {MOST_NUMBERS} together, or null"
            raise InputError(f"`space.shape` must be {rule}, got {shape}")
        return shape or SMALL_IMAGE

    def for_data(self, inputs: Inputs) -> Self:
        """Return the space for a dataset's images. InputError: there are none, others than `shape` says, or too small."""
        if inputs.shape is None:
            got = "token ids" if inputs.takes_ids else "features without a shape"
            raise InputError(f"`dataset` must hold images for a space of images, got {got}")
        if self.shape is not None and tuple(self.shape) != inputs.shape:
            rule = f"that of the dataset's images, {inputs.shape}, or null"
            raise InputError(f"`space.shape` must be {rule}, got {tuple(self.shape)}")
        return replace(self, shape=inputs.shape)


def check_stages(space: Any) -> None:
    """InputError unless a space of images has 1 to 8 stages of at least one block, and the images are large enough."""
    if not 1 <= space.stages <= 8:
        raise InputError(f"`space.stages` must be a whole number in [1, 8], got {space.stages}")
    check_depth(space)
    if space.shape is not None:
        check_pixels("space.shape", space.image, space.stages - 1)
