"""The search space of encoders over the patches of images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from nasjac.foundation.errors import InputError
from nasjac.kinds.options.checks import check_sizes, image_shape, same_images
from nasjac.kinds.transformer.space import TransformerOptions, transformer
from nasjac.kinds.transformer.spec import VisionTransformer

if TYPE_CHECKING:
    from nasjac.architecture.space import Trial


@dataclass(frozen=True)
class VitSpace(TransformerOptions):
    """Options of the space: those of `TransformerOptions`, and of its images and patches.

    `shape`    channels, rows and columns of the images (null: those of the dataset, 1 x 8 x 8 where there is none)
    `patches`  rows and columns of a patch; each divides those of the images
    """

    typical: ClassVar[dict[str, Any]] = {**TransformerOptions.typical, "patch": 2}

    shape: tuple[int, ...] | None = None
    patches: tuple[int, ...] = (2, 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, "patches")
        _, rows, columns = image_shape(self.shape)
        for patch in self.patches if self.shape is not None else ():
            if rows % patch or columns % patch or rows * columns < 2 * patch**2:
                rule = f"divide the {rows} x {columns} pixels of the images into at least two patches"
                raise InputError(f"`space.patches` must {rule}, got {patch}")

    def for_images(self, shape: tuple[int, ...]) -> VitSpace:
        """Return the space for a dataset's images of this shape.

        Raises:
            InputError: The option `shape` says another one, or the patches do not fit the images.
        """
        return replace(self, shape=same_images(self.shape, shape))

    def __call__(self, trial: Trial) -> VisionTransformer:
        """Return the architecture of a trial's choices."""
        patch = trial.suggest_categorical("patch", self.patches)
        shape = image_shape(self.shape)
        context = math.prod(shape[1:]) // patch**2
        return transformer(self, trial, VisionTransformer, {"shape": shape, "patch": patch, "context": context})
