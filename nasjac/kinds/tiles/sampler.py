"""How architectures are sampled whose layers are vectors or tokens: many rows of one width share every product.

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
    """Samples of architectures that have one width and one embedding in common."""

    refused_products = ()

    @abstractmethod
    def row(self, spec: S) -> Row:
        """A Spec as a row of a tile."""

    @abstractmethod
    def embed(self, spec: S) -> Embed:
        """What embeds the inputs of all rows that have `common` with this Spec."""

    def common(self, spec: S) -> tuple[object, ...] | None:
        """Width and tokens."""
        return spec.width, spec.tokens

    def most_rows(self, spec: S, draws: Draws) -> int:
        """As many as have the tokens that the device takes at a time."""
        return MAX_NETWORKS[draws.device.type] // spec.tokens

    def row_bytes(self, specs: Sequence[S], draws: Draws, plan: Plan) -> int:
        """The vectors in work; for the way back each block's unit vectors, slopes and attention."""
        rows = [self.row(spec) for spec in specs]
        width, depth, tokens = rows[0].width, len(rows[0].blocks), rows[0].tokens
        hidden, heads = max(row.ffn_ratio for row in rows), max(row.heads * row.attends for row in rows)
        vectors = max(1 + plan.tangents, plan.cotangents + plan.tangents * plan.round_trips)
        attention = heads * tokens / width
        kept = depth * (3 + hidden + 3 * bool(heads) + attention) if plan.goes_back else 0
        together = min(len(draws.draws), max(1, MAX_NETWORKS[draws.device.type] // tokens))
        whole = together * plan.inputs * tokens * width * draws.dtype.itemsize
        return int(whole * ((7 + hidden + attention) * vectors + kept))

    def largest_layer(self, spec: S) -> int:
        """Weights of the largest matrix of a branch."""
        return spec.width**2 * self.row(spec).ffn_ratio

    def sample(
        self, specs: Sequence[S], samples: Tensor, draws: Draws, plan: Plan, products: str | None, vocabulary: int | None
    ) -> list[Samples]:
        """The samples of each, as many draws at a time as the device takes."""
        rows, total = [self.row(spec) for spec in specs], len(draws.draws)
        most = max(1, MAX_NETWORKS[draws.device.type] // (len(specs) * specs[0].tokens))
        narrow, runs = torch.bfloat16 if products == "bf16" else None, []
        for first in range(0, total, most):
            part = range(total)[first : first + most]
            tile = Tile(rows, draws.part(part), plan, self.embed(specs[0]), narrow)
            runs.append(tile.run(samples[part], vocabulary))
        return [joined(parts) for parts in zip(*runs, strict=True)]
