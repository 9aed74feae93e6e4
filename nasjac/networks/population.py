"""Jacobian samples of many residual MLPs at once, whatever their depth, placement, norm and activation.

Weights, inputs and probes are shared by all, so one matrix product a layer serves every architecture of one width. Those
are sorted by depth and cut into tiles of a fixed number of rows, the last one padded: every product has the same shape,
so an architecture's values do not depend on its company.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from torch import Tensor

from nasjac.networks.draws import Draws
from nasjac.networks.tile import INPUTS, TILE, Samples, Tile
from nasjac.spec import Spec
from nasjac.workers import workers


def sample(specs: Sequence[Spec], inputs: Tensor, draws: Draws) -> list[Samples]:
    """The samples of each spec, in order; `inputs` [n, features] are standardized data.

    Specs must be concrete and canonical.
    """
    tiles, chosen = list(_tiles(specs)), draws.samples(inputs, INPUTS)
    with workers(draws.device) as pool:
        run = pool.map(lambda tile: Tile([specs[position] for position in tile], draws).run(chosen), tiles)
        pairs = (zip(tile, samples, strict=True) for tile, samples in zip(tiles, run, strict=True))
        found = dict(itertools.chain.from_iterable(pairs))
    return [found[position] for position in range(len(specs))]


def _tiles(specs: Sequence[Spec]) -> Iterator[list[int]]:
    """Positions of the specs that are evaluated together: of one width and similar depth, the costliest first."""
    depths = [len(spec.blocks) for spec in specs]
    for width in sorted({spec.width for spec in specs}, reverse=True):
        order = [position for position, spec in enumerate(specs) if spec.width == width]
        order.sort(key=lambda position: -depths[position])
        for start in range(0, len(order), TILE):
            # rows of one activation side by side: they are one slice
            yield sorted(order[start : start + TILE], key=lambda position: specs[position].activation)
