"""How a population of residual networks of images is cut: rows of a tile, draws at a time, and what they take.

A convolution rounds its results by the number of its groups, which are the draws: so there are always equally many, whoever
shares a tile, and the last of them are repeated where there are too few.
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
#: draws at a time at most, a power of two, and rows that should find a place beside each other
MAX_DRAWS, ROWS = 16, 4


class ResNetSampler(ConvolutionalSampler[ResNet]):
    """Tiles of one `style`; networks of implicit blocks alone."""

    def __init__(self) -> None:
        super().__init__(built_by(ResNetNetwork))

    def check(self, specs: Sequence[ResNet], products: str | None) -> None:
        """Refuse narrow products: all of bf16, and of implicit blocks TF32 too."""
        super().check(specs, products)
        check_products(specs, products)

    def common(self, spec: ResNet) -> tuple[object, ...] | None:
        """The style; None of implicit blocks."""
        return None if spec.block == "implicit" else style(spec)

    def most_rows(self, spec: ResNet, draws: Draws) -> int:
        """Rows that fit the device beside each other."""
        return max(1, MAX_UNITS[draws.device.type] // (_draws_together(spec, draws) * spec.start_units * spec.batch))

    def row_bytes(self, specs: Sequence[ResNet], draws: Draws, plan: Plan) -> int:
        """A few times the largest layer, and for the way back slopes and unit vectors of each."""
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
        """The samples of each of one style."""
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
    """So many draws at a time, by the style alone."""
    fitting = max(1, MAX_UNITS[draws.device.type] // (ROWS * spec.start_units * spec.batch))
    return min(MAX_DRAWS, 1 << fitting.bit_length() - 1)
