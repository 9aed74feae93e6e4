"""From a Spec to a network: one file a kind."""

from __future__ import annotations

import torch
from torch import nn

from nasjac.networks.mlp import ResidualMLP
from nasjac.networks.transformer import TransformerLM
from nasjac.spec import Spec


def build(spec: Spec, inputs: int, outputs: int, generator: torch.Generator | None = None) -> nn.Module:
    """An ordinary module, initialized by the law that scores assume; pruned blocks are left out.

    residual_mlp    [batch, inputs] -> [batch, outputs]
    transformer_lm  ids below `inputs` [batch, T] -> [batch, T, outputs]; T at most the spec's `context`

    ValueError: an ensemble, which stands for many networks.
    """
    if spec.is_ensemble:
        raise ValueError("`skip` must be 0 or 1 in every block of a network to build, got a probability (an ensemble)")
    if spec.kind == "residual_mlp":
        return ResidualMLP(spec.canonical, inputs, outputs, generator)
    return TransformerLM(spec.canonical, inputs, outputs, generator)
