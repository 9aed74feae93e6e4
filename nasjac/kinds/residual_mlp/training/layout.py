"""Where a network's parameters are in the rows of a population of residual MLPs.

A row has the inner matrices first, those of the last block foremost, then embedding, final norm and readout, and then the
rest of the blocks, that of the last at the end. So the parameters of a network are one stretch at any depth and with
either branch. The stretch does not depend on the other networks, so that sums over it round alike in any batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

#: parameters begin at multiples of so many numbers, a cache line, for the same reason
ALIGNMENT = 16
BLOCK_NORMS = ("norm_input", "norm_branch", "norm_sum")


class Layout:
    """Places in a row of all parameters that a network of at most so many `blocks` can have; `size` is the row's length.

    Branches have `ffn_ratio` × width hidden units; the other sizes are those of `module`.
    """

    def __init__(self, module: nn.Module, blocks: int, ffn_ratio: int) -> None:
        self.blocks, self.size = blocks, 0
        self._places: dict[str, tuple[int, torch.Size]] = {}
        embedding, readout = (module.get_parameter(f"{name}.weight").shape for name in ("embedding", "readout"))
        for layer, weight in _layers(embedding, readout, blocks, ffn_ratio):
            for name, shape in (("weight", weight), ("bias", weight[:1])):
                self._places[f"{layer}.{name}"] = (self.size, shape)
                self.size += -(-shape.numel() // ALIGNMENT) * ALIGNMENT

    def rows(self, modules: Sequence[nn.Module]) -> Tensor:
        """[modules, size]: the parameters of each in a row, zero elsewhere."""
        rows = torch.zeros(len(modules), self.size, dtype=next(modules[0].parameters()).dtype)
        for row, module in zip(rows, modules, strict=True):
            for name, parameter in module.named_parameters():
                self.view(row, name).copy_(parameter.detach())
        return rows

    def view(self, rows: Tensor, name: str) -> Tensor:
        """One parameter of rows [..., size], [..., *shape], in the same memory."""
        start, shape = self._places[name]
        return rows[..., start : start + torch.Size(shape).numel()].view(*rows.shape[:-1], *shape)

    def stretch(self, blocks: int, inner: bool) -> slice:
        """The parameters of a network of so many blocks, with inner matrices or without."""
        first = f"blocks.{blocks - 1}.inner.weight" if blocks and inner else "embedding.weight"
        after = self._places.get(f"blocks.{blocks}.outer.weight", (self.size, None))
        return slice(self._places[first][0], after[0])


def _layers(embedding: torch.Size, readout: torch.Size, blocks: int, ffn_ratio: int) -> Iterator[tuple[str, torch.Size]]:
    """Layers in a row's order and the shapes of their weights; a bias has the first dimension."""
    units = embedding[:1]
    hidden = torch.Size([ffn_ratio * units[0]])
    for number in reversed(range(blocks)):
        yield f"blocks.{number}.inner", hidden + units
    yield from (("embedding", embedding), ("final_norm", units), ("readout", readout))
    for number in range(blocks):
        yield f"blocks.{number}.outer", units + hidden
        yield from ((f"blocks.{number}.{norm}", units) for norm in BLOCK_NORMS)
