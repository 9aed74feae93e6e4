"""The fields of an MLP-Mixer for small images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import nasjac
from nasjac.architecture.inputs import Inputs


@dataclass(frozen=True, repr=False)
class Mixer(nasjac.Spec):
    """An MLP-Mixer (Tolstikhin et al. 2021): blocks that mix the patches of an image, and blocks that mix the channels.

    Args:
        width: Channels of a patch.
        blocks: Each with op patches or channels.
        shape: Channels, rows and columns of an image.
        patch: Rows and columns of a patch.
    """

    kind: ClassVar[str] = "examples.new_kind.network:KIND"
    ops: ClassVar[tuple[str, ...]] = ("patches", "channels")

    shape: tuple[int, ...] = field(kw_only=True)
    patch: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        super().__post_init__()
        if len(self.shape) != 3 or any(size % self.patch for size in self.shape[1:]):
            raise nasjac.InputError(f"`patch` must divide the rows and columns of `shape`, {self.shape}, got {self.patch}")

    @property
    def inputs(self) -> Inputs:
        """Images."""
        return Inputs(shape=self.shape)

    @property
    def tokens(self) -> int:
        """Patches of an image."""
        return (self.shape[1] // self.patch) * (self.shape[2] // self.patch)
