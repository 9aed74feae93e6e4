"""A function linearized at a point: the products of its Jacobian with vectors, both ways, by autograd.

A cotangent goes back by autograd, and that is linear in the cotangent; its derivative carries tangents. So nothing needs
forward mode, whose levels all threads share.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Linearized:
    """`function` at its inputs: its `output`, J u of one tangent for each input, and Jᵀ v for each input."""

    def __init__(self, function: Callable[..., Tensor], *inputs: Tensor) -> None:
        with torch.enable_grad():
            self.inputs = [x.detach().requires_grad_() for x in inputs]
            self._output = function(*self.inputs)
            self._cotangent = torch.zeros_like(self._output, requires_grad=True)
            self._pulled = torch.autograd.grad(self._output, self.inputs, self._cotangent, create_graph=True)
        self.output: Tensor = self._output.detach()

    def push(self, *tangents: Tensor) -> Tensor:
        """J u, as the derivative of ⟨u, Jᵀ v⟩ by v."""
        return torch.autograd.grad(self._pulled, self._cotangent, tangents, retain_graph=True)[0]

    def pull(self, cotangent: Tensor) -> tuple[Tensor, ...]:
        """Jᵀ v."""
        return torch.autograd.grad(self._output, self.inputs, cotangent, retain_graph=True)

    def push_each(self, tangents: Tensor) -> Tensor:
        """J u [G, V, m] of tangents [G, V, n] of a single input with G rows."""
        return _each(self.push, tangents, self.inputs[0])

    def pull_each(self, cotangents: Tensor) -> Tensor:
        """Jᵀ v [G, V, n] of cotangents [G, V, m] of an output with G rows, by a single input."""
        return _each(lambda v: self.pull(v)[0], cotangents, self.output)


def _each(product: Callable[[Tensor], Tensor], vectors: Tensor, like: Tensor) -> Tensor:
    """One V after the other, in the shape of `like`."""
    found = [product(vectors[:, number].reshape(like.shape)) for number in range(vectors.shape[1])]
    return torch.stack([each.reshape(len(vectors), -1) for each in found], dim=1)
