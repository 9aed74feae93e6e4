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
