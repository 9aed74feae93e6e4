"""Routes: which rows of a tile take part in which operation of a block, as index tensors and columns of gates.

Letters: R rows (architectures of a tile, the deepest first), L blocks of the deepest, A active rows of a block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from nasjac.architecture.block import Block
from nasjac.architecture.norm_placement import NORM_EPS, PLACEMENTS
from nasjac.kinds.tiles.rows import Row

#: the rows of a tile, and those active in a block, are padded to a multiple of this: matrix products of so many rows round
#: alike, so that results do not depend on the other rows
QUANTUM = 4
#: unless an architecture's tokens are a multiple of this: its vectors alone are then rows enough, and padding is only work
MANY_TOKENS = 64
HOMOGENEOUS = ("relu", "linear")


class Route(NamedTuple):
    """The rows of one operation among the first A: `rows` [r], None if it is all of them; `kept` of r are wanted."""

    rows: Tensor | None
    kept: int

    def take(self, vectors: Tensor) -> Tensor:
        """Return the route's rows of vectors [D, A, ...]."""
        return vectors if self.rows is None else vectors.index_select(1, self.rows)

    def put(self, into: Tensor, values: Tensor) -> Tensor:
        """Write `values` into the route's rows of `into`, in place; return `values` itself where the route is all rows."""
        if self.rows is None:
            return values
        return into.index_copy_(1, self.rows[: self.kept], values[:, : self.kept])


class NormRoute(NamedTuple):
    """The rows with a norm at one place: centering gates (1 LayerNorm, 0 RMSNorm) and epsilons [r, 1, 1, 1, 1]."""

    route: Route
    centering: Tensor
    epsilon: Tensor


class HiddenRoute(NamedTuple):
    """The rows whose branch is an FFN of `units` hidden units, plain or `gated`, and how they go through it.

    `inner` and `activations` are routes among those rows; `gain` [r, 1, 1, 1, 1] is that of the first matrix, or of the
    first two.
    """

    route: Route
    units: int
    gated: bool
    inner: Route | None
    activations: tuple[tuple[str, Route], ...]
    gain: Tensor


class AttentionRoute(NamedTuple):
    """The rows whose branch is attention with `heads`, `kv_heads` of keys and values with M units together, and a norm on
    queries and keys or none.

    `gain` [r, 1, 1, 1, N + 2 M] of queries, keys and values, `scale` [r, 1, 1, 1, 1] of the logits, `rotary` [r] 1 or 0.
    """

    route: Route
    heads: int
    kv_heads: int
    qk_norm: bool
    gain: Tensor
    scale: Tensor
    rotary: Tensor


class BlockRoutes(NamedTuple):
    """The routes of one block; none where no active row takes part."""

    hidden: tuple[HiddenRoute, ...]
    attention: tuple[AttentionRoute, ...]
    on_input: NormRoute | None
    on_branch: NormRoute | None
    on_sum: NormRoute | None


class Routes:
    """A tile's specs as columns, and its routes block by block."""

    def __init__(self, specs: Sequence[Row], dtype: torch.dtype, device: torch.device) -> None:
        self.depths = [len(spec.blocks) for spec in specs]
        assert self.depths == sorted(self.depths, reverse=True), "the deepest first"
        self._quantum = 1 if specs[0].tokens % MANY_TOKENS == 0 else QUANTUM
        rows = self._whole(len(specs))
        self.specs = [*specs, *[specs[0].empty()] * (rows - len(specs))]
        self.rows, self.blocks, self._dtype, self._device = rows, self.depths[0], dtype, device
        # in front of a norm the outer gain only changes epsilon
        self._normed = [PLACEMENTS[spec.placement].on_branch for spec in self.specs]
        self.skip = self._gates(lambda spec, block: block.skip * spec.gates[0], finished=1.0)
        self.scale = self._gates(
            lambda spec, block: (
                block.scale * spec.gates[1] * (1.0 if PLACEMENTS[spec.placement].on_branch else outer_gain(spec, block))
            ),
            finished=0.0,
        )
        #: a positively homogeneous network's Jacobian does not depend on its stream's size
        homogeneous = [s.placement == "none" and s.activation in HOMOGENEOUS and s.is_degree_one for s in self.specs]
        self.homogeneous = torch.tensor(homogeneous, device=device).reshape(-1, 1, 1)
        #: 1 where learned positions are added to the embedding, [R, 1, 1, 1, 1]
        self.learned = self._column([float(spec.learned) for spec in self.specs])
        self._at = lru_cache(maxsize=None)(self._routes)

    def reaching(self, layer: int) -> int:
        """Return how many rows have at least `layer` blocks; they come first."""
        return sum(depth >= layer for depth in self.depths)

    def active(self, block: int) -> int:
        """Return A, the number of rows that take part in a block."""
        return min(self.rows, self._whole(self.reaching(block + 1)))

    def at(self, block: int) -> BlockRoutes:
        """Return the routes among the active rows of a block."""
        rows = self.specs[: self.active(block)]
        return self._at(tuple(spec.blocks[block].op if block < len(spec.blocks) else "ffn" for spec in rows))

    def _routes(self, ops: tuple[str, ...]) -> BlockRoutes:
        specs = self.specs[: len(ops)]
        placed = [PLACEMENTS[spec.placement] for spec in specs]
        epsilons = [
            NORM_EPS / outer_gain(spec, Block(op=op)) ** 2 if normed else NORM_EPS
            for spec, op, normed in zip(specs, ops, self._normed, strict=False)
        ]
        return BlockRoutes(
            hidden=tuple(self._hidden(ops)),
            attention=tuple(self._attention(ops)),
            on_input=self._norm([place.on_input for place in placed]),
            on_branch=self._norm([place.on_branch for place in placed], epsilons),
            on_sum=self._norm([place.on_sum for place in placed]),
        )

    def _hidden(self, ops: Sequence[str]) -> Iterator[HiddenRoute]:
        """One route for each number of hidden units, gated or not."""
        for gated, units in sorted({(s.gated, s.units) for s, op in zip(self.specs, ops, strict=False) if op == "ffn"}):
            chosen = [op == "ffn" and (s.gated, s.units) == (gated, units) for s, op in zip(self.specs, ops, strict=False)]
            route, specs = self._padded(chosen)
            names = sorted({spec.activation for spec in specs})
            activations = [(name, self._route([spec.activation == name for spec in specs])) for name in names]
            yield HiddenRoute(
                route,
                units,
                gated,
                self._route([spec.two_matrix for spec in specs], whole=True),
                tuple((name, found) for name, found in activations if found),
                self._column([inner_gain(spec) for spec in specs]),
            )

    def _attention(self, ops: Sequence[str]) -> Iterator[AttentionRoute]:
        """One route for each number of heads, of keys and values too, with a norm on queries and keys or without."""
        forms = [s.attention if op == "attention" else None for s, op in zip(self.specs, ops, strict=False)]
        for form in sorted({form for form in forms if form is not None}):
            route, specs = self._padded([other == form for other in forms])
            heads, kv_heads, qk_norm = form
            width = specs[0].width
            shared = width // heads * kv_heads
            gains = [[s.query_gain] * (width + shared) + [s.weight_gain] * shared for s in specs]
            yield AttentionRoute(
                route,
                heads,
                kv_heads,
                qk_norm,
                self._tensor(gains).reshape(-1, 1, 1, 1, width + 2 * shared) / math.sqrt(width),
                self._column([spec.logit_factor for spec in specs]),
                self._tensor([float(spec.rotary) for spec in specs]),
            )

    def _padded(self, chosen: Sequence[bool]) -> tuple[Route, list[Row]]:
        """The route of the chosen rows, padded to the tile's multiple, and their specs with the padding's."""
        route = self._route(chosen, whole=True)
        assert route is not None
        rows = range(len(chosen)) if route.rows is None else route.rows.tolist()
        return route, [self.specs[row] for row in rows]

    def _route(self, chosen: Sequence[bool], whole: bool = False) -> Route | None:
        """None if no row is chosen; with `whole` padded to the tile's multiple."""
        rows = [row for row, yes in enumerate(chosen) if yes]
        if not rows or len(rows) == len(chosen):
            return Route(None, len(rows)) if rows else None
        padded = rows + [rows[-1]] * (self._whole(len(rows)) - len(rows) if whole else 0)
        return Route(torch.tensor(padded, device=self._device), len(rows))

    def _norm(self, chosen: Sequence[bool], epsilons: Sequence[float] | None = None) -> NormRoute | None:
        route = self._route(chosen)
        if route is None:
            return None
        rows = [row for row, yes in enumerate(chosen) if yes]
        centering = self._column([float(self.specs[row].norm == "layernorm") for row in rows])
        return NormRoute(route, centering, self._column([epsilons[row] if epsilons else NORM_EPS for row in rows]))

    def _gates(self, value: Callable[[Row, Block], float], finished: float) -> Tensor:
        """[L, R, 1, 1] from each block of each row; blocks that a row lacks get `finished`."""
        gates = [[value(s, s.blocks[n]) if n < len(s.blocks) else finished for s in self.specs] for n in range(self.blocks)]
        return self._tensor(gates).reshape(-1, self.rows, 1, 1)

    def _whole(self, rows: int) -> int:
        return -(-rows // self._quantum) * self._quantum

    def _column(self, values: Sequence[float]) -> Tensor:
        return self._tensor(values).reshape(-1, 1, 1, 1, 1)

    def _tensor(self, values: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor(values, dtype=self._dtype, device=self._device)


def inner_gain(spec: Row) -> float:
    """Return the standard deviation of the first matrix of an FFN branch, 1 where the branch has one matrix."""
    return spec.weight_gain / math.sqrt(spec.width) if spec.two_matrix else 1.0


def outer_gain(spec: Row, block: Block) -> float:
    """Return the standard deviation of the last matrix of a block's branch, which maps N or the FFN's hidden units."""
    return spec.weight_gain / math.sqrt(spec.units if block.op == "ffn" else spec.width)
