"""How residual MLPs are trained: those of one ratio of hidden units as one batched computation."""

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
    """Networks with learned factors on their branches train by themselves, those of implicit blocks one run at a time."""

    def common(self, spec: ResidualMLP) -> tuple[object, ...] | None:
        """The ratio of hidden units."""
        return None if spec.block == "implicit" or spec.is_gated else (spec.ffn_ratio,)

    def order(self, spec: ResidualMLP) -> tuple[object, ...]:
        """The deepest in the middle."""
        return pyramid(spec)

    def stack(self, specs: Sequence[ResidualMLP], modules: Sequence[nn.Module], copies: int, device: torch.device) -> Stack:
        """All of them."""
        return ResidualStack(specs, modules, copies, device)

    def alone(self, spec: ResidualMLP) -> type[Modules] | type[Replicas]:
        """At once, but for solvers, which take as many steps as it takes."""
        return Modules if spec.block == "implicit" else Replicas
