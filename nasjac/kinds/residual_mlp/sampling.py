"""How residual MLPs are sampled: as rows of tiles, and those with implicit blocks by autograd."""

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
    """Tiles of one width; networks of implicit blocks alone."""

    def __init__(self) -> None:
        super().__init__(ResidualMLPNetwork)
        self._alone = LayerSampler[ResidualMLP](ResidualMLPNetwork)

    def check(self, specs: Sequence[ResidualMLP], products: str | None) -> None:
        """Refuse narrow products for implicit blocks."""
        check_products(specs, products)

    def common(self, spec: ResidualMLP) -> tuple[object, ...] | None:
        """The width; None of implicit blocks."""
        return None if spec.block == "implicit" else super().common(spec)

    def row(self, spec: ResidualMLP) -> Row:
        """A Spec as a row of a tile."""
        return row_of(spec, spec, two_matrix=spec.branch == "two_matrix")

    def embed(self, spec: ResidualMLP) -> Embed:
        """A linear map of the features; the stream has one token."""
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
