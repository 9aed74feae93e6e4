"""sgd: stochastic gradient descent with momentum, warm-up and cosine decay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nasjac.trainers.brief import check
from nasjac.trainers.population import BriefTrainer


@dataclass(frozen=True)
class SGD(BriefTrainer):
    """Options of a brief training with SGD, v <- momentum v + gradient + weight_decay w, w <- w - rate v (Polyak, 1964).

    `momentum` 0 is plain SGD; what the other options are says `nasjac.trainers.brief.Brief`. Unlike AdamW it sees the size
    of gradients: a rate that fits one architecture may be too small or too large by far for another, so more are tried.
    """

    learning_rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    weight_decay: float = 1e-4
    momentum: float = 0.9

    name = "sgd"

    def __post_init__(self) -> None:
        super().__post_init__()
        check("momentum", self.momentum, 0 <= self.momentum < 1, "in [0, 1)")

    def optimizer(self, row: Tensor) -> torch.optim.Optimizer:
        """torch's, on the one vector of a network's parameters."""
        return torch.optim.SGD([row], lr=0.0, momentum=self.momentum, weight_decay=self.weight_decay, fused=True)
