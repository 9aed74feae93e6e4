"""Layers in which networks differ: each network passes through exactly the layers that it has.

Letters: A networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nasjac.kinds.chains import Layer, Pulled, chain
from nasjac.kinds.residual_mlp.training.pullbacks import Rows

#: what networks differ in, and which of them have each of its values; every network is in one part
Route = Sequence[tuple[str, Rows]]


def within(x: Tensor, rows: slice, layers: Sequence[Layer]) -> Pulled:
    """The layers one after the other for the networks `rows`, the others as they are."""
    keep = torch.is_grad_enabled()  # evaluation needs no way back, which would hold the inputs of all layers
    if rows == slice(0, len(x)):
        return chain(x, *layers, keep=keep)

    def replaced(whole: Tensor, part: Tensor) -> Tensor:
        return torch.cat([whole[: rows.start], part, whole[rows.stop :]])

    y, pull = chain(x[rows], *layers, keep=keep)
    return replaced(x, y), lambda gradient: replaced(gradient, pull(gradient[rows]))


def route(values: Sequence[str], device: torch.device) -> Route:
    """Return the route of networks that have these values, one value for each network."""
    members = {value: [row for row, other in enumerate(values) if other == value] for value in dict.fromkeys(values)}
    return [(value, _rows(rows, device)) for value, rows in members.items()]


def routed(x: Tensor, route: Route, layer: Callable[[Tensor, str, Rows], Pulled]) -> Pulled:
    """Apply `layer(x[rows], value, rows)` to each part of a route, and put the results at their rows [A, ...]."""
    if len(route) == 1:
        return layer(x, *route[0])
    every = [rows for _, rows in route]
    outputs, pullbacks = zip(*[layer(_take(x, rows), value, rows) for value, rows in route], strict=True)

    def pullback(gradient: Tensor) -> Tensor:
        return _put([pull(_take(gradient, rows)) for pull, rows in zip(pullbacks, every, strict=True)], every)

    return _put(outputs, every), pullback


def _rows(rows: Sequence[int], device: torch.device) -> Rows:
    side_by_side = rows[-1] - rows[0] + 1 == len(rows)
    return slice(rows[0], rows[-1] + 1) if side_by_side else torch.tensor(rows, device=device)


def _take(x: Tensor, rows: Rows) -> Tensor:
    return x[rows] if isinstance(rows, slice) else x.index_select(0, rows)


def _put(pieces: Sequence[Tensor], every: Sequence[Rows]) -> Tensor:
    whole = pieces[0].new_empty(sum(map(len, pieces)), *pieces[0].shape[1:])
    for rows, piece in zip(every, pieces, strict=True):
        if isinstance(rows, slice):
            whole[rows] = piece
        else:
            whole.index_copy_(0, rows, piece)
    return whole
