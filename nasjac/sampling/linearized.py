"""A function linearized at a point: the products of its Jacobian with vectors, both ways, by autograd.

A cotangent goes back by autograd, and that is linear in the cotangent; its derivative carries tangents. So nothing needs
forward mode, whose levels all threads share.

Letters: G rows of the inputs, V vectors of each, n and m numbers of a row of an input and of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F


class Linearized:
    """`function` at its inputs: its `output`, J u of one tangent for each input, and Jᵀ v for each input.

    A function that maps each row by itself may be evaluated at so many `copies` of its inputs, one below the other. Then so
    many vectors take one pass of autograd, which of small layers costs as much as that of one vector.
    """

    def __init__(self, function: Callable[..., Tensor], *inputs: Tensor, copies: int = 1) -> None:
        self.copies = copies
        with torch.enable_grad():
            repeated = (x.repeat(copies, *[1] * (x.ndim - 1)) if copies > 1 else x for x in inputs)
            self.inputs = [x.detach().requires_grad_() for x in repeated]
            self._output = function(*self.inputs)
        self.output: Tensor = self._output.detach()[: len(self._output) // copies]

    @cached_property
    def _pulled(self) -> tuple[tuple[Tensor, ...], Tensor]:
        """Jᵀ v, and v: as a function of v."""
        with torch.enable_grad():
            cotangent = torch.zeros_like(self._output, requires_grad=True)
            return torch.autograd.grad(self._output, self.inputs, cotangent, create_graph=True), cotangent

    def push(self, *tangents: Tensor) -> Tensor:
        """J u, as the derivative of ⟨u, Jᵀ v⟩ by v; without copies."""
        pulled, cotangent = self._pulled
        return torch.autograd.grad(pulled, cotangent, tangents, retain_graph=True)[0]

    def pull(self, cotangent: Tensor) -> tuple[Tensor, ...]:
        """Jᵀ v; without copies."""
        return torch.autograd.grad(self._output, self.inputs, cotangent, retain_graph=True)

    def push_each(self, *tangents: Tensor) -> Tensor:
        """J u [G, V, m] of tangents [G, V, n], one tensor for each input; G may be one for all rows of an input."""
        return self._each(lambda *u: (self.push(*u),), tangents, self.inputs)[0]

    def pull_each(self, cotangents: Tensor) -> list[Tensor]:
        """Jᵀ v [G, V, n] by each input, of cotangents [G, V, m]."""
        return self._each(self.pull, [cotangents], [self._output])

    def _each(
        self, product: Callable[..., Sequence[Tensor]], vectors: Sequence[Tensor], like: Sequence[Tensor]
    ) -> list[Tensor]:
        """The products of vectors [G, V, ·], as many at a time as there are copies, in the shapes of `like`."""
        rows, count = vectors[0].shape[:2]
        found = []
        for start in range(0, count, self.copies):
            parts = [x[:, start : start + self.copies] for x in vectors]
            lacking = self.copies - parts[0].shape[1]
            full = [F.pad(x, (0, 0, 0, lacking)) if lacking else x for x in parts]
            products = product(*(x.transpose(0, 1).reshape(y.shape) for x, y in zip(full, like, strict=True)))
            found.append([x.reshape(self.copies, rows, -1).transpose(0, 1) for x in products])
        return [torch.cat(pieces, dim=1)[:, :count] for pieces in zip(*found, strict=True)]
