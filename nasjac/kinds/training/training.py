"""The contract of a kind's training. The base class trains one network after the other, in a plain loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import nn

from nasjac.architecture.spec import Spec
from nasjac.kinds.training.modules import Modules
from nasjac.kinds.training.stack import Replicas, Stack

S = TypeVar("S", bound=Spec)


class Training(Generic[S]):
    """Which architectures of a kind train together, and as which batched computation."""

    def common(self, spec: S) -> tuple[object, ...] | None:
        """Return what canonical architectures that train together have in common, None where this one trains alone."""
        return None

    def order(self, spec: S) -> tuple[object, ...]:
        """Return the sort key of an architecture among those that train together."""
        return ()

    def stack(self, specs: Sequence[S], modules: Sequence[nn.Module], copies: int, device: torch.device) -> Stack:
        """Return architectures of equal `common`, sorted by `order`, as one stack; each module starts `copies` runs."""
        raise NotImplementedError(f"{type(self).__name__} has common architectures, and must give a stack")

    def alone(self, spec: S) -> type[Modules] | type[Replicas]:
        """Return how the runs of one architecture train: Replicas all at once (without BatchNorm), Modules one by one."""
        return Modules
