"""Layers with their pullbacks, one after the other.

A layer is a function of vectors that returns what comes out, and the function that pulls cotangents of it back.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Pull = Callable[[Tensor], Tensor]
#: a layer's output, and its pullback
Pulled = tuple[Tensor, Pull]
Layer = Callable[[Tensor], Pulled]


def chain(x: Tensor, *layers: Layer, keep: bool = True) -> Pulled:
    """One layer after the other. Unless the pullbacks are to be kept there is no way back."""
    pulls = []
    for layer in layers:
        x, pull = layer(x)
        if keep:
            pulls.append(pull)

    def back(cotangents: Tensor) -> Tensor:
        for pull in reversed(pulls):
            cotangents = pull(cotangents)
        return cotangents

    return x, back
