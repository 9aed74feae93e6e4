"""The base class of scores of one network at initialization on a batch of images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nasjac.sampling.draws import Draws
from nasjac.tables.network_space import NetworkSpace
from nasjac.tables.scores.base import Done, Scored, TableScore, batch_of, check_at_least, one_by_one, only_draw
from nasjac.tables.space import Material


@dataclass(frozen=True)
class OfNetworks(TableScore):
    """A score of one network at a time: BatchNorm is in training mode, and all architectures have the same images.

    `images`  in the batch
    `seed`    of weights, images and probes
    """

    images: int = 64
    seed: int = 0

    needs: ClassVar[Material] = Material.NETWORKS
    #: images that the score is defined for
    least_images: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_at_least(self, images=self.least_images, seed=0)

    @abstractmethod
    def value(self, network: nn.Module, batch: Tensor, draws: Draws) -> float:
        """Return the score of a network of images `batch` [B, C, H, W]; there is none where this is nan or +∞."""

    def measure(
        self, space: NetworkSpace, architectures: Sequence[Any], inputs: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        """Score architectures one by one, as networks of their own on the same images."""
        draws = only_draw(self.seed, device)
        batch = batch_of(inputs, self.images, draws)
        return one_by_one(lambda item: self.value(space.network(item, draws).to(device), batch, draws), architectures, done)
