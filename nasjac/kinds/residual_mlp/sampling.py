"""Sampling of residual MLPs: as rows of tiles, and those with implicit blocks by autograd."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from nasjac.kinds.modules.sampler import LayerSampler
from nasjac.kinds.options.stepped import check_products
from nasjac.kinds.residual_mlp.network import ResidualMLPNetwork
from nasjac.kinds.residual_mlp.spec import ResidualMLP
from nasjac.kinds.tiles.rows import Row, row_of
from nasjac.kinds.tiles.sampler import TileSampler
from nasjac.kinds.tiles.tile import Embed, projected
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import Plan, Samples


class ResidualMLPSampler(TileSampler[ResidualMLP]):
    """A sampler that puts networks of one width into tiles, and takes each network of implicit blocks by itself."""

    def __init__(self) -> None:
        super().__init__(ResidualMLPNetwork)
        self._alone = LayerSampler[ResidualMLP](ResidualMLPNetwork)

    def check(self, specs: Sequence[ResidualMLP], products: str | None) -> None:
        """Raise InputError where implicit blocks are to be sampled with matrix products in bf16 or TF32."""
        check_products(specs, products)

    def common(self, spec: ResidualMLP) -> tuple[object, ...] | None:
        """Return the width and tokens, or None for implicit blocks."""
        return None if spec.block == "implicit" else super().common(spec)

    def row(self, spec: ResidualMLP) -> Row:
        """Return a Spec as a row of a tile."""
        return row_of(spec, spec, two_matrix=spec.branch == "two_matrix")

    def embed(self, spec: ResidualMLP) -> Embed:
        """Return the embedding of all rows: a linear map of the features to one token."""
        return lambda samples, draws, _: projected(samples[:, :, None], draws, spec.width)

    def sample(
        self,
        specs: Sequence[ResidualMLP],
        samples: Tensor,
        draws: Draws,
        plan: Plan,
        products: str | None,
        vocabulary: int | None,
    ) -> list[Samples]:
        """Sample architectures of one width together, and one of implicit blocks by autograd."""
        if specs[0].block == "implicit":
            return self._alone.sample(specs, samples, draws, plan, products, vocabulary)
        return super().sample(specs, samples, draws, plan, products, vocabulary)
