"""Sampling of ResNets in tiles: rows of a tile, draws at a time, and the memory they take.

How a convolution rounds depends on the number of its groups, which are the draws. Therefore all tiles of a style have the
same number of draws, and the last draws are repeated where there are too few.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from nasjac.kinds.convolutional.network import built_by
from nasjac.kinds.convolutional.sampler import ConvolutionalSampler
from nasjac.kinds.options.stepped import check_products
from nasjac.kinds.resnet.network import ResNetNetwork
from nasjac.kinds.resnet.spec import ResNet
from nasjac.kinds.resnet.tile import ImageTile, style
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import Plan, Samples, joined

#: rows times draws times the units of h_0 of an input: on a CPU its vectors should stay in the cache
MAX_UNITS = {"cpu": 2**17, "cuda": 2**24}
#: most draws at a time, a power of two, and rows that should fit beside each other
MAX_DRAWS, ROWS = 16, 4


class ResNetSampler(ConvolutionalSampler[ResNet]):
    """A sampler that puts networks of one `style` into tiles, and takes each network of implicit blocks by itself."""

    def __init__(self) -> None:
        super().__init__(built_by(ResNetNetwork))

    def check(self, specs: Sequence[ResNet], products: str | None) -> None:
        """Raise InputError for matrix products in bf16, and for implicit blocks in TF32."""
        super().check(specs, products)
        check_products(specs, products)

    def common(self, spec: ResNet) -> tuple[object, ...] | None:
        """Return the style, or None for implicit blocks."""
        return None if spec.block == "implicit" else style(spec)

    def most_rows(self, spec: ResNet, draws: Draws) -> int:
        """Return how many rows fit the device beside each other."""
        return max(1, MAX_UNITS[draws.device.type] // (_draws_together(spec, draws) * spec.start_units * spec.batch))

    def row_bytes(self, specs: Sequence[ResNet], draws: Draws, plan: Plan) -> int:
        """Return bytes of a few times the largest layer and, for the way back, of each layer's slopes and unit vectors."""
        vectors = max(1 + plan.tangents, plan.cotangents + plan.tangents * plan.round_trips)
        layers = [[spec.start_units, *(at.units for step in spec.steps for _, at in step.placed())] for spec in specs]
        units = max(6 * vectors * max(sizes) + 4 * sum(sizes) * plan.goes_back for sizes in layers)
        return _draws_together(specs[0], draws) * plan.inputs * specs[0].batch * units * draws.dtype.itemsize

    def sample(
        self,
        specs: Sequence[ResNet],
        samples: Tensor,
        draws: Draws,
        plan: Plan,
        products: str | None,
        vocabulary: int | None,
    ) -> list[Samples]:
        """Return the samples of each architecture of one style."""
        if specs[0].block == "implicit":
            return super().sample(specs, samples, draws, plan, products, vocabulary)
        count, total = _draws_together(specs[0], draws), len(draws.draws)
        runs = []
        for first in range(0, total, count):
            part = [min(number, total - 1) for number in range(first, first + count)]
            found = ImageTile(specs, draws.part(part), plan).run(samples[part])
            runs.append([item.first(total - first) for item in found])
        return [joined(parts) for parts in zip(*runs, strict=True)]


def _draws_together(spec: ResNet, draws: Draws) -> int:
    """Return how many draws are taken at a time, which depends on the style alone."""
    fitting = max(1, MAX_UNITS[draws.device.type] // (ROWS * spec.start_units * spec.batch))
    return min(MAX_DRAWS, 1 << fitting.bit_length() - 1)
