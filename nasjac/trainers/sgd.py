"""sgd: stochastic gradient descent with momentum, warm-up and cosine decay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.datasets.data import Data
from nasjac.trainers.brief import check, settle
from nasjac.trainers.population import fit_population
from nasjac.trainers.run import Progress, Run


@dataclass(frozen=True)
class SGD:
    """Options of a brief training with SGD, v <- momentum v + gradient + weight_decay w, w <- w - rate v (Polyak, 1964).

    `momentum` 0 is plain SGD; what the other options are says `nasjac.trainers.brief.Brief`. Unlike AdamW it sees the size
    of gradients: a rate that fits one architecture may be too small or too large by far for another, so more are tried.
    """

    steps: int = 60
    batch: int = 64
    learning_rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    seeds: tuple[int, ...] = (0, 1)
    warmup: float = 0.1
    weight_decay: float = 1e-4
    clip: float = 1.0
    momentum: float = 0.9

    def __post_init__(self) -> None:
        settle(self)
        check("momentum", self.momentum, 0 <= self.momentum < 1, "in [0, 1)")

    @property
    def name(self) -> str:
        return "sgd"

    def optimizer(self, row: Tensor) -> torch.optim.Optimizer:
        """torch's, on the one vector of a network's parameters."""
        return torch.optim.SGD([row], lr=0.0, momentum=self.momentum, weight_decay=self.weight_decay, fused=True)

    def train(self, spec: Spec, data: Data, device: str = "cpu", progress: Progress | None = None) -> list[Run]:
        """One run for every seed and learning rate. ValueError for an ensemble. Diverged runs are results too."""
        return fit_population([spec], data, self, device, progress)[0]
