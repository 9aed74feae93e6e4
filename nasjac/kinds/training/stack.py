"""The contract of networks that are trained together, and networks that differ in their parameters alone.

Letters: M networks, P parameters of each, B samples, F features. Of tokens a sample is a sequence: F stands for its T ids,
labels are [B, T] and outputs [B, T, classes].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

EVALUATION_BATCH = 1024


class Stack(ABC):
    """M networks.

    `rows`       the parameters of each network as one vector, to be changed in place
    `gradients`  the gradients, alike, filled by `backward`
    """

    rows: Sequence[Tensor]
    gradients: Sequence[Tensor]

    @abstractmethod
    def outputs(self, inputs: Tensor) -> Tensor:
        """Return outputs [M, B, outputs] of inputs [M, B, F], or of [B, F] shared by all networks."""

    @abstractmethod
    def backward(self, inputs_MBF: Tensor, labels_MB: Tensor) -> Tensor:
        """Return the cross-entropy [M] in nats, mean over the batch, and write its gradient into `gradients`."""

    @abstractmethod
    def state(self, network: int) -> dict[str, Tensor]:
        """Return the state_dict of one of the networks, on the CPU."""

    def trouble(self, network: int) -> str:
        """Return why a network's outputs are not finite, as the end of a sentence; empty where that is not known."""
        return ""

    @torch.no_grad()
    def evaluate(self, inputs_BF: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return accuracy [M] and cross-entropy [M] in nats, means over all samples, in float64."""
        hits, loss = torch.zeros(2, len(self.rows), dtype=torch.float64, device=inputs_BF.device)
        batch = max(1, EVALUATION_BATCH * len(labels_B) // labels_B.numel())
        for start in range(0, len(labels_B), batch):
            inputs, labels = inputs_BF[start:][:batch], labels_B[start:][:batch]
            outputs = self.outputs(inputs)
            hits += (outputs.argmax(dim=-1) == labels).flatten(1).sum(dim=1)
            loss += cross_entropy(outputs, labels.expand(len(outputs), *labels.shape)) * labels.numel()
        return hits / labels_B.numel(), loss / labels_B.numel()


class Replicas(Stack):
    """Networks that differ in their parameters alone: any module without BatchNorm.

    `modules` are built alike, with equal buffers; each of them starts `copies` networks, side by side.
    """

    def __init__(self, modules: Sequence[nn.Module], copies: int = 1) -> None:
        self.module = modules[0]
        for module in modules[1:]:
            buffers = zip(self.module.buffers(), module.buffers(), strict=True)
            assert all(torch.equal(*pair) for pair in buffers), "buffers must not depend on the generator"
        rows = [torch.cat([parameter.detach().flatten() for parameter in module.parameters()]) for module in modules]
        rows_MP = torch.stack(rows).repeat_interleave(copies, dim=0)
        gradients_MP = torch.zeros_like(rows_MP)
        self.rows, self.gradients = list(rows_MP), list(gradients_MP)
        self._parameters = {name: view.requires_grad_() for name, view in self._views(rows_MP).items()}
        self._gradients = self._views(gradients_MP)

    def outputs(self, inputs: Tensor) -> Tensor:
        call = vmap(
            lambda parameters, x: functional_call(self.module, parameters, (x,)), (0, 0 if inputs.ndim == 3 else None)
        )
        return call(self._parameters, inputs)  # type: ignore[no-any-return]

    def backward(self, inputs_MBF: Tensor, labels_MB: Tensor) -> Tensor:
        losses = cross_entropy(self.outputs(inputs_MBF), labels_MB)
        gradients = torch.autograd.grad(losses.sum(), list(self._parameters.values()))
        for view, gradient in zip(self._gradients.values(), gradients, strict=True):
            view.copy_(gradient)
        return losses.detach()

    def state(self, network: int) -> dict[str, Tensor]:
        state = {**self.module.state_dict(), **{name: view[network] for name, view in self._parameters.items()}}
        return {name: value.detach().cpu().clone() for name, value in state.items()}

    def _views(self, rows_MP: Tensor) -> dict[str, Tensor]:
        """Parameter by parameter, [M, *shape], in the same memory."""
        shapes = {name: parameter.shape for name, parameter in self.module.named_parameters()}
        parts = torch.split_with_sizes(rows_MP, [shape.numel() for shape in shapes.values()], dim=1)
        return {name: part.view(-1, *shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def cross_entropy(outputs: Tensor, labels_MB: Tensor) -> Tensor:
    """Return the cross-entropy [M] in nats of outputs [M, B, classes], mean over the batch and tokens."""
    losses = F.cross_entropy(outputs.flatten(0, -2), labels_MB.flatten(), reduction="none")
    return losses.view(len(outputs), -1).mean(dim=1)
