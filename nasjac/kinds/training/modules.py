"""Networks trained one after the other, in a plain loop: networks with running statistics, and those that solve equations
in a varying number of steps, cannot be one batched computation.

Letters: M networks, B samples, F features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from nasjac.kinds.modules.implicit import TOLERANCES, SolvingBlock
from nasjac.kinds.training.stack import Stack, cross_entropy


class Modules(Stack):
    """Any modules whose parameters have one dtype; each of them starts `copies` networks, side by side.

    BatchNorm uses the statistics of the batch in training, and the running statistics of that training in evaluation.
    """

    def __init__(self, modules: Sequence[nn.Module], copies: int = 1) -> None:
        self._modules = [deepcopy(module) for module in modules for _ in range(copies)]
        self.rows = [_row(module) for module in self._modules]
        self.gradients = [torch.zeros_like(row) for row in self.rows]
        self._over: set[int] = set()  # their loss was not finite, so that they get no more updates

    def outputs(self, inputs: Tensor) -> Tensor:
        each = inputs if inputs.ndim == 3 else inputs.expand(len(self._modules), *inputs.shape)
        return torch.stack([module.eval()(x) for module, x in zip(self._modules, each, strict=True)])

    def backward(self, inputs_MBF: Tensor, labels_MB: Tensor) -> Tensor:
        losses = []
        networks = zip(self._modules, self.gradients, inputs_MBF, labels_MB, strict=True)
        for number, (module, gradient, x_BF, labels) in enumerate(networks):
            if number in self._over:
                losses.append(gradient.new_tensor(math.nan))
                continue
            loss = cross_entropy(module.train()(x_BF)[None], labels[None])[0]
            if not loss.isfinite():
                self._over.add(number)
            parts = torch.autograd.grad(loss, list(module.parameters()))
            gradient.copy_(torch.cat([part.flatten() for part in parts]))
            losses.append(loss.detach())
        return torch.stack(losses)

    def trouble(self, network: int) -> str:
        """Name the first implicit block whose equation was not solved in the last pass."""
        for name, block in self._modules[network].named_modules():
            left = block.residual if isinstance(block, SolvingBlock) else 0.0
            if not left <= max(TOLERANCES.values()):
                return f": in {name} Newton's method leaves a relative residual of {left:.2g}"
        return ""

    def state(self, network: int) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self._modules[network].state_dict().items()}


def _row(module: nn.Module) -> Tensor:
    """The parameters as one vector, of which they become views."""
    parameters = list(module.parameters())
    row = torch.cat([parameter.detach().flatten() for parameter in parameters])
    parts = torch.split_with_sizes(row, [parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.data = part.view_as(parameter)
    return row
