"""Networks of ours as growing and pruning see them, at inputs that a test has."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nasjac.architecture.spec import Spec
from nasjac.datasets import Data
from nasjac.surgery.trained import Trained


def bare(spec: Spec, network: nn.Module) -> Trained:
    """A network without data, whose blocks can be gated."""
    return Trained(spec.canonical, network, {}, None)  # type: ignore[arg-type]


def at(spec: Spec, network: nn.Module, inputs: Tensor, labels: Tensor | None = None, outputs: int = 5) -> Trained:
    """A network at features [G, n], which are both splits of its data."""
    labels = torch.zeros(len(inputs), dtype=torch.int64) if labels is None else labels
    info = {"inputs": inputs.shape[1], "outputs": outputs}
    return Trained(spec.canonical, network, info, Data(inputs, labels, inputs, labels, outputs), at=len(inputs))
