"""Sampling of architectures whose layers are vectors or tokens: many rows of one width share every matrix product.

Rows are dealt out to tiles by depth; within a tile the deepest come first and finished rows leave.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from nasjac.kinds.sampler import S, Sampler
from nasjac.kinds.tiles.rows import Row
from nasjac.kinds.tiles.tile import Embed, Tile
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import Plan, Samples, joined

#: rows times draws times tokens: on a CPU its vectors should stay in the cache
MAX_NETWORKS = {"cpu": 512, "cuda": 65536}


class TileSampler(Sampler[S]):
    """A sampler that puts architectures with the same width and embedding into tiles."""

    refused_products = ()

    @abstractmethod
    def row(self, spec: S) -> Row:
        """Return a Spec as a row of a tile."""

    @abstractmethod
    def embed(self, spec: S) -> Embed:
        """Return the embedding of the inputs for all rows whose `common` is that of this Spec."""

    def common(self, spec: S) -> tuple[object, ...] | None:
        """Return width and tokens."""
        return spec.width, spec.tokens

    def most_rows(self, spec: S, draws: Draws) -> int:
        """Return how many rows have as many tokens together as the device takes at a time."""
        return MAX_NETWORKS[draws.device.type] // spec.tokens

    def row_bytes(self, specs: Sequence[S], draws: Draws, plan: Plan) -> int:
        """Return bytes of the vectors in work and, for the way back, of each block's unit vectors, slopes and attention."""
        rows = [self.row(spec) for spec in specs]
        width, depth, tokens = rows[0].width, len(rows[0].blocks), rows[0].tokens
        hidden = max(row.units * (2 if row.gated else 1) for row in rows) / width
        heads = max(row.heads * row.attends for row in rows)
        vectors = max(1 + plan.tangents, plan.cotangents + plan.tangents * plan.round_trips)
        attention = heads * tokens / width
        kept = depth * (3 + hidden + 3 * bool(heads) + attention) if plan.goes_back else 0
        together = min(len(draws.draws), max(1, MAX_NETWORKS[draws.device.type] // tokens))
        whole = together * plan.inputs * tokens * width * draws.dtype.itemsize
        return int(whole * ((7 + hidden + attention) * vectors + kept))

    def largest_layer(self, spec: S) -> int:
        """Return the number of weights of the largest matrix of a branch."""
        row = self.row(spec)
        return row.width * row.units * (2 if row.gated else 1)

    def sample(
        self, specs: Sequence[S], samples: Tensor, draws: Draws, plan: Plan, products: str | None, vocabulary: int | None
    ) -> list[Samples]:
        """Return the samples of each architecture, computed for as many draws at a time as the device takes."""
        rows, total = [self.row(spec) for spec in specs], len(draws.draws)
        most = max(1, MAX_NETWORKS[draws.device.type] // (len(specs) * specs[0].tokens))
        narrow, runs = torch.bfloat16 if products == "bf16" else None, []
        for first in range(0, total, most):
            part = range(total)[first : first + most]
            tile = Tile(rows, draws.part(part), plan, self.embed(specs[0]), narrow)
            runs.append(tile.run(samples[part], vocabulary))
        return [joined(parts) for parts in zip(*runs, strict=True)]
