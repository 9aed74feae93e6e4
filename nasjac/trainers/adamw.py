"""adamw: AdamW with warm-up and cosine decay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.datasets.data import Data
from nasjac.trainers.brief import settle
from nasjac.trainers.population import fit_population
from nasjac.trainers.run import Progress, Run


@dataclass(frozen=True)
class AdamW:
    """Options of a brief training with AdamW (Loshchilov and Hutter, 2019); beta 0.9 and 0.999, the decay decoupled.

    What the options are says `nasjac.trainers.brief.Brief`. The defaults are as brief as ranking needs: over 24 random
    residual MLPs on digits, two seeds agree with a Kendall tau of 0.85 after 60 steps of 64, and of 0.60 after 300 of 128,
    where most are as accurate as digits allows.
    """

    steps: int = 60
    batch: int = 64
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    seeds: tuple[int, ...] = (0, 1)
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0

    def __post_init__(self) -> None:
        settle(self)

    @property
    def name(self) -> str:
        return "adamw"

    def optimizer(self, row: Tensor) -> torch.optim.Optimizer:
        """Fused: network by network, several times faster than the same arithmetic on all rows at once."""
        return torch.optim.AdamW([row], weight_decay=self.weight_decay, fused=True)

    def train(self, spec: Spec, data: Data, device: str = "cpu", progress: Progress | None = None) -> list[Run]:
        """One run for every seed and learning rate. ValueError for an ensemble. Diverged runs are results too."""
        return fit_population([spec], data, self, device, progress)[0]
