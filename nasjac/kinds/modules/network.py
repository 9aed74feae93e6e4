"""The base class of every kind's module: a residual stream from h_0 to h_L, and a head that reads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

#: standard normal numbers for the layer of a name, e.g. blocks.3.branch.convs.0, in the shape of its weights
Normal = Callable[[str, torch.Size], Tensor]


class ResidualNetwork(nn.Module, ABC):
    """A network of an embedding, residual blocks and a head.

    The Jacobians that nasjac scores are those between `stream`'s tensors h_0 ... h_L. A subclass gives `start`, `forward`
    and the list `blocks`, each of which maps h_{l-1} to h_l; it overrides `through` where blocks take other arguments.
    """

    blocks: nn.ModuleList

    @abstractmethod
    def start(self, x: Tensor) -> Tensor:
        """Return h_0 of inputs [batch, ...]."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return outputs [batch, ..., outputs] of inputs [batch, ...]."""

    def takes_before(self, number: int) -> bool:
        """Return whether block `number` takes a second argument: the input of the block before, or None."""
        return False

    def through(self, x: Tensor) -> Iterator[Tensor]:
        """Yield h_1, ..., h_L, the outputs of the blocks, from h_0 [batch, ...]."""
        before = None
        for number, block in enumerate(self.blocks):
            double = self.takes_before(number)
            y = block(x, before) if double else block(x)
            x, before = y, x if double else None
            yield x

    def stream(self, x: Tensor) -> Iterator[Tensor]:
        """Yield h_0, h_1, ..., h_L of inputs [batch, ...]: from after the embedding to before the head."""
        x = self.start(x)
        yield x
        yield from self.through(x)
