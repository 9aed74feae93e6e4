"""Scores that look at one network as trained, before training, and at a batch of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nasjac.sampling.draws import Draws
from nasjac.tables.scores.base import Done, Scored, batch_of, check_at_least, one_by_one, only_draw


@dataclass(frozen=True)
class OfNetworks:
    """BatchNorm is in training mode; all architectures have the same images.

    `images`  in the batch
    `seed`    of weights, images and probes
    """

    images: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least("images", self.images, 2)
        check_at_least("seed", self.seed, 0)

    needs_images: ClassVar[bool] = True
    space_method: ClassVar[str] = "network"

    def value(self, network: nn.Module, batch: Tensor, draws: Draws) -> float:
        """The score of a network of images `batch` [B, C, H, W]; there is none where this is nan or +∞."""
        raise NotImplementedError

    def __call__(
        self, space: Any, architectures: Sequence[Any], images: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        draws = only_draw(self.seed, device)
        batch = batch_of(images, self.images, draws)
        return one_by_one(lambda item: self.value(space.network(item, draws).to(device), batch, draws), architectures, done)
