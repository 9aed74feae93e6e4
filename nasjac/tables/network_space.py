"""The contract of a space of tables whose networks nasjac builds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nasjac.datasets import Data
from nasjac.foundation.errors import InputError
from nasjac.sampling.draws import Draws
from nasjac.tables.networks import Pullbacks, StackedNetwork, initialize, lifted, prepared, pullbacks
from nasjac.tables.space import Material, TableSpace


class NetworkSpace(TableSpace):
    """A space whose networks nasjac builds: a `stem`, a `body` and a `head` before the readout, for images of `shape`."""

    offers: ClassVar[Material] = Material.FACTS | Material.NETWORKS
    #: channels, rows and columns of the images
    shape: ClassVar[tuple[int, int, int]]

    @abstractmethod
    def live_flops(self, architecture: Any) -> int:
        """Return FLOPs of the trained network on paths from input to output.

        Args:
            architecture: As `parse` returns it.
        """

    @abstractmethod
    def build(self, architecture: Any) -> StackedNetwork:
        """Return the trained network before training, at torch's own weights: images [B, 3, H, W] to logits.

        Args:
            architecture: As `parse` returns it.
        """

    @abstractmethod
    def ends(self, channels: int) -> tuple[nn.Module, nn.Module]:
        """Return stem and head of small networks, which are the same for all architectures.

        Args:
            channels: Of the first stage.
        """

    @abstractmethod
    def body(self, h: Tensor, architectures: Sequence[Any], draws: Draws, channels: int) -> Tensor:
        """Return h_L [B, P, C', H', W'] of small networks of shared weights, each operation evaluated once.

        Args:
            h: Their h_0 [B, P, C, H, W].
            architectures: The P architectures.
            draws: Of the weights.
            channels: Of the first stage.
        """

    def network(self, architecture: Any, draws: Draws) -> StackedNetwork:
        """Return the trained network before training, at weights of one draw."""
        return initialize(self.build(architecture), draws)

    def pullbacks(
        self, architectures: Sequence[Any], images: Tensor, draws: Draws, channels: int, norms: bool
    ) -> Pullbacks:
        """Return pullbacks of small networks of the P architectures with shared weights, BatchNorm in training mode.

        h_0 is behind the stem, h_L before the head; images are [B, 3, H, W], and without `norms` there are no `ends`.
        """
        stem, head = (
            prepared(part, f"{name}.", draws) for name, part in zip(("stem", "head"), self.ends(channels), strict=True)
        )
        with torch.no_grad():
            first = lifted(stem, images[:, None]).repeat(1, len(architectures), 1, 1, 1)
        last = self.body(first.requires_grad_(), architectures, draws, channels)
        return pullbacks(first, last, lifted(head, last), draws, norms)

    def inputs(self, data: Data) -> Tensor:
        """Return the images of a dataset [n, C, H, W]. InputError: they are none, or of another shape."""
        if data.shape != self.shape:
            got = "token ids" if data.is_tokens else f"inputs of shape {data.shape}"
            raise InputError(f"`dataset` must hold images of shape {self.shape} for {self.name}, got {got}")
        return data.train_inputs.reshape(-1, *self.shape)
