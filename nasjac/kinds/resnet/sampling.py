"""How a population of residual networks of images is cut: rows of a tile, draws at a time, and what they take.

A convolution rounds its results by the number of its groups, which are the draws: so there are always equally many, whoever
shares a tile, and the last of them are repeated where there are too few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.kinds.resnet.tile import ImageTile
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import Plan, Samples, joined

#: rows times draws times the units of h_0 of an input: on a CPU its vectors should stay in the cache
MAX_UNITS = {"cpu": 2**17, "cuda": 2**24}
#: draws at a time at most, a power of two, and rows that should find a place beside each other
MAX_DRAWS, ROWS = 16, 4


def resnet_samples(specs: Sequence[Spec], samples: Tensor, draws: Draws, plan: Plan) -> list[Samples]:
    """The samples of each spec of one `style` for images [D, I × B, features]."""
    count, total = draws_together(specs[0], draws), len(draws.draws)
    runs = []
    for first in range(0, total, count):
        part = [min(number, total - 1) for number in range(first, first + count)]
        found = ImageTile(specs, draws.part(part), plan).run(samples[part])
        runs.append([item.first(total - first) for item in found])
    return [joined(parts) for parts in zip(*runs, strict=True)]


def draws_together(spec: Spec, draws: Draws) -> int:
    """So many draws at a time, by the style alone."""
    fitting = max(1, MAX_UNITS[draws.device.type] // (ROWS * _start_units(spec)))
    return min(MAX_DRAWS, 1 << fitting.bit_length() - 1)


def most_rows(spec: Spec, draws: Draws) -> int:
    """So many rows of a tile at most."""
    return max(1, MAX_UNITS[draws.device.type] // (draws_together(spec, draws) * _start_units(spec)))


def row_bytes(specs: Sequence[Spec], draws: Draws, plan: Plan) -> int:
    """What a row takes at most: a few times its largest layer, and for the way back slopes and unit vectors of each."""
    vectors = max(1 + plan.tangents, plan.cotangents + plan.tangents * plan.round_trips)
    layers = [
        [spec.width * math.prod(spec.shape[1:]), *(layer.units for step in spec.steps for _, layer in step.placed())]
        for spec in specs
    ]
    units = max(6 * vectors * max(sizes) + 4 * sum(sizes) * plan.goes_back for sizes in layers)
    return draws_together(specs[0], draws) * plan.inputs * specs[0].batch * units * draws.dtype.itemsize


def _start_units(spec: Spec) -> int:
    """Units of h_0 of an input."""
    return spec.batch * spec.width * math.prod(spec.shape[1:])
