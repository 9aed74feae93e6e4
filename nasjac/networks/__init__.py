"""From a Spec to a network: one file a kind."""

from __future__ import annotations

import torch
from torch import nn

from nasjac.networks.mlp import ResidualMLP
from nasjac.spec import Spec


def build(spec: Spec, inputs: int, outputs: int, generator: torch.Generator | None = None) -> nn.Module:
    """An ordinary module [batch, inputs] -> [batch, outputs], initialized by the law that scores assume.

    Pruned blocks are left out. ValueError for an ensemble: it stands for many networks.
    """
    if spec.is_ensemble:
        raise ValueError("`skip` must be 0 or 1 in every block of a network to build, got a probability (an ensemble)")
    return ResidualMLP(spec.canonical, inputs, outputs, generator)
