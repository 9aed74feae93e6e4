"""The search space of encoders over the patches of images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from nasjac.architecture.size import Target
from nasjac.architecture.space import Trial
from nasjac.foundation.errors import InputError
from nasjac.kinds.options.checks import check_sizes
from nasjac.kinds.options.images import ImageOptions
from nasjac.kinds.options.width import Proposal
from nasjac.kinds.transformer.space import TransformerOptions, transformer
from nasjac.kinds.transformer.spec import VisionTransformer


@dataclass(frozen=True)
class VitSpace(ImageOptions, TransformerOptions):
    """Options of the space: those of `ImageOptions` and `TransformerOptions`, and of its patches.

    `patches`  rows and columns of a patch; each divides those of the images
    """

    typical: ClassVar[dict[str, Any]] = {**TransformerOptions.typical, "patch": 2}

    patches: tuple[int, ...] = (2, 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, "patches")
        _, rows, columns = self.image
        for patch in self.patches if self.shape is not None else ():
            if rows % patch or columns % patch or rows * columns < 2 * patch**2:
                rule = f"divide the {rows} x {columns} pixels of the images into at least two patches"
                raise InputError(f"`space.patches` must {rule}, got {patch}")

    def proposal(self, trial: Trial, target: Target | None) -> Proposal:
        """Return a trial's choices, the width among them unless there is a target."""
        patch = trial.suggest_categorical("patch", self.patches)
        shape = self.image
        context = math.prod(shape[1:]) // patch**2
        return transformer(self, trial, target, VisionTransformer, {"shape": shape, "patch": patch, "context": context})
