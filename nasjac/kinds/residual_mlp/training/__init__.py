"""Training of residual MLPs: all networks with one ratio of hidden units are one batched computation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from nasjac.kinds.residual_mlp.spec import ResidualMLP
from nasjac.kinds.residual_mlp.training.stack import ResidualStack, pyramid
from nasjac.kinds.training.modules import Modules
from nasjac.kinds.training.stack import Replicas, Stack
from nasjac.kinds.training.training import Training


class ResidualMLPTraining(Training[ResidualMLP]):
    """Training in a stack. Networks with learned factors train one after the other, implicit ones one run at a time."""

    def common(self, spec: ResidualMLP) -> tuple[object, ...] | None:
        """Return the ratio of hidden units, or None for implicit blocks and learned factors."""
        return None if spec.block == "implicit" or spec.is_gated else (spec.ffn_ratio,)

    def order(self, spec: ResidualMLP) -> tuple[object, ...]:
        """Return the sort key that puts the deepest networks in the middle."""
        return pyramid(spec)

    def stack(self, specs: Sequence[ResidualMLP], modules: Sequence[nn.Module], copies: int, device: torch.device) -> Stack:
        """Return the networks as one ResidualStack."""
        return ResidualStack(specs, modules, copies, device)

    def alone(self, spec: ResidualMLP) -> type[Modules] | type[Replicas]:
        """Return Replicas, or Modules for implicit blocks, whose solvers take a varying number of steps."""
        return Modules if spec.block == "implicit" else Replicas
