"""How architectures of a kind are trained: the base class trains one network after the other, in a plain loop."""

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
    """Networks of one kind as batched computations."""

    def common(self, spec: S) -> tuple[object, ...] | None:
        """What canonical architectures have alike that train together; None: all runs of this one train by themselves."""
        return None

    def order(self, spec: S) -> tuple[object, ...]:
        """What architectures that train together are sorted by."""
        return ()

    def stack(self, specs: Sequence[S], modules: Sequence[nn.Module], copies: int, device: torch.device) -> Stack:
        """Architectures that have `common` alike, in their `order`, one module each, of which each starts `copies` runs."""
        raise NotImplementedError(f"{type(self).__name__} has common architectures, and must give a stack")

    def alone(self, spec: S) -> type[Modules] | type[Replicas]:
        """How the runs of one architecture train: Replicas at once, without BatchNorm; Modules one by one, any."""
        return Modules
