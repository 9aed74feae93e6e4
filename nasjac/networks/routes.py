"""Which rows of a tile take part in which operation of a block, as index tensors and columns of gates.

Letters: R rows (architectures of a tile, the deepest first), L blocks of the deepest, A active rows of a block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from nasjac.placement import PLACEMENTS
from nasjac.spec import NORM_EPS, Spec

#: a tile has a multiple of so many rows, and so have the rows that are active in a block: products of so many rows round
#: alike, whatever else is in the tile
QUANTUM = 4
HOMOGENEOUS = ("relu", "linear")


class Route(NamedTuple):
    """The rows of one operation among the first A: `rows` [r], None if it is all of them; `kept` of r are wanted."""

    rows: Tensor | None
    kept: int

    def take(self, vectors: Tensor) -> Tensor:
        """Those rows of vectors [D, A, ...]."""
        return vectors if self.rows is None else vectors.index_select(1, self.rows)

    def put(self, into: Tensor, values: Tensor) -> Tensor:
        """`into` with those rows replaced, in place; `values` itself where the route is all rows."""
        if self.rows is None:
            return values
        return into.index_copy_(1, self.rows[: self.kept], values[:, : self.kept])


class NormRoute(NamedTuple):
    """The rows with a norm at one place: centering gates (1 LayerNorm, 0 RMSNorm) and epsilons [r, 1, 1, 1]."""

    route: Route
    centering: Tensor
    epsilon: Tensor


class Routes:
    """A tile's specs as columns, and its routes block by block."""

    def __init__(self, specs: Sequence[Spec], dtype: torch.dtype, device: torch.device) -> None:
        self.depths = [len(spec.blocks) for spec in specs]
        assert self.depths == sorted(self.depths, reverse=True), "the deepest first"
        width, rows = specs[0].width, _whole(len(specs))
        self.specs = [*specs, *[Spec(width=width, blocks=())] * (rows - len(specs))]
        self.rows, self.blocks, self._dtype, self._device = rows, self.depths[0], dtype, device
        gains = [spec.weight_gain / math.sqrt(width) for spec in self.specs]
        self.inner_gain = self._column(
            [g if s.branch == "two_matrix" else 1.0 for g, s in zip(gains, self.specs, strict=True)]
        )
        # behind a norm the outer gain is but a smaller epsilon
        normed = [PLACEMENTS[spec.placement].on_branch for spec in self.specs]
        self._epsilons = [NORM_EPS / g**2 if at else NORM_EPS for g, at in zip(gains, normed, strict=True)]
        outer = [1.0 if at else g for g, at in zip(gains, normed, strict=True)]
        self.skip = self._gates([[block.skip for block in spec.blocks] for spec in self.specs], finished=1.0)
        self.scale = self._gates(
            [[block.scale * g for block in spec.blocks] for spec, g in zip(self.specs, outer, strict=True)], finished=0.0
        )
        #: a positively homogeneous network's Jacobian does not depend on its stream's size
        homogeneous = [s.placement == "none" and s.activation in HOMOGENEOUS for s in self.specs]
        self.homogeneous = torch.tensor(homogeneous, device=device).reshape(-1, 1, 1)
        self._at = lru_cache(maxsize=None)(self._routes)

    def reaching(self, layer: int) -> int:
        """How many rows have at least `layer` blocks; they come first."""
        return sum(depth >= layer for depth in self.depths)

    def active(self, block: int) -> int:
        """Rows that take part in a block, A."""
        return min(self.rows, _whole(self.reaching(block + 1)))

    def at(self, block: int) -> BlockRoutes:
        """The routes among the active rows of a block."""
        return self._at(self.active(block))

    def _routes(self, active: int) -> BlockRoutes:
        specs = self.specs[:active]
        names = sorted({spec.activation for spec in specs})
        activations = [(name, self._route([spec.activation == name for spec in specs])) for name in names]
        placed = [PLACEMENTS[spec.placement] for spec in specs]
        return BlockRoutes(
            inner=self._route([spec.branch == "two_matrix" for spec in specs], whole=True),
            activations=tuple((name, route) for name, route in activations if route),
            on_input=self._norm([place.on_input for place in placed]),
            on_branch=self._norm([place.on_branch for place in placed], self._epsilons),
            on_sum=self._norm([place.on_sum for place in placed]),
        )

    def _route(self, chosen: Sequence[bool], whole: bool = False) -> Route | None:
        """None if no row is chosen; with `whole` padded to a multiple of QUANTUM."""
        rows = [row for row, yes in enumerate(chosen) if yes]
        if not rows or len(rows) == len(chosen):
            return Route(None, len(rows)) if rows else None
        padded = rows + [rows[-1]] * (_whole(len(rows)) - len(rows) if whole else 0)
        return Route(torch.tensor(padded, device=self._device), len(rows))

    def _norm(self, chosen: Sequence[bool], epsilons: Sequence[float] | None = None) -> NormRoute | None:
        route = self._route(chosen)
        if route is None:
            return None
        rows = [row for row, yes in enumerate(chosen) if yes]
        centering = self._column([float(self.specs[row].norm == "layernorm") for row in rows])
        return NormRoute(route, centering, self._column([epsilons[row] if epsilons else NORM_EPS for row in rows]))

    def _gates(self, values: list[list[float]], finished: float) -> Tensor:
        """[L, R, 1, 1] from one list of blocks a row; blocks that a row lacks get `finished`."""
        gates = [[row[number] if number < len(row) else finished for row in values] for number in range(self.blocks)]
        return torch.tensor(gates, dtype=self._dtype, device=self._device).reshape(-1, self.rows, 1, 1)

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=self._dtype, device=self._device).reshape(-1, 1, 1, 1)


class BlockRoutes(NamedTuple):
    """The routes of one block; None where no active row takes part."""

    inner: Route | None
    activations: tuple[tuple[str, Route], ...]
    on_input: NormRoute | None
    on_branch: NormRoute | None
    on_sum: NormRoute | None


def _whole(rows: int) -> int:
    return -(-rows // QUANTUM) * QUANTUM
