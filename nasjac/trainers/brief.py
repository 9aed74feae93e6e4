"""What the brief trainings share: the options, their checks, and the course of the learning rate."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.optim import Optimizer

from nasjac.architecture.fields import settle
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError

#: updates of a brief training, samples of one, and rates or seeds that are tried
MOST_STEPS, MOST_BATCH, MOST_TRIED = 10_000_000, 2**16, 64


@dataclass(frozen=True)
class Brief(ABC):
    """The options of a brief training; all learning rates and seeds of an architecture train at once.

    `steps`           updates
    `batch`           samples of an update; the training split is gone through in random orders, one after the other
    `learning_rates`  peak rates to try, each from every seed
    `seeds`           of initialization and batch order
    `warmup`          share of the steps over which the rate rises linearly; it then falls to 0 along a cosine
    `weight_decay`    on all parameters
    `clip`            largest norm of a gradient; a larger one is scaled down to it
    """

    name: ClassVar[str]
    steps: int = 60
    batch: int = 64
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    seeds: tuple[int, ...] = (0, 1)
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0

    def __post_init__(self) -> None:
        settle(self, "learning_rates", tuple(map(float, self.learning_rates)))
        settle(self, "seeds", tuple(self.seeds))
        arguments.whole("trainer.steps", self.steps, 1, MOST_STEPS)
        arguments.whole("trainer.batch", self.batch, 1, MOST_BATCH)
        for name, values in (("learning_rates", self.learning_rates), ("seeds", self.seeds)):
            check(name, len(values), len(values) <= MOST_TRIED, f"at most {MOST_TRIED}, which are trained together")
        is_rate = all(0 < rate < math.inf for rate in self.learning_rates)
        check(
            "learning_rates",
            self.learning_rates,
            _distinct(self.learning_rates) and is_rate,
            "different and finite, above 0",
        )
        check("seeds", self.seeds, _distinct(self.seeds) and min(self.seeds) >= 0, "different whole numbers from 0 on")
        for seed in self.seeds:
            arguments.seed("trainer.seeds", seed)
        check("warmup", self.warmup, 0 <= self.warmup <= 1, "in [0, 1]")
        check("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "at least 0")
        check("clip", self.clip, self.clip > 0, "greater than 0")

    @property
    def pairs(self) -> list[tuple[int, float]]:
        """Seed and learning rate of each run, in their order."""
        return list(itertools.product(self.seeds, self.learning_rates))

    def schedule(self, step: int) -> float:
        """Return the share of the peak learning rate at update `step` = 0 ... steps - 1."""
        rise = self.warmup * self.steps
        fall = max(0.0, step - rise) / (self.steps - rise) if self.steps > rise else 0.0
        return min(1.0, (step + 1) / rise if rise else 1.0) * (1 + math.cos(math.pi * fall)) / 2

    @abstractmethod
    def optimizer(self, row: Tensor) -> Optimizer:
        """Return the optimizer of one network, whose parameters are the vector `row`."""


def check(name: str, value: object, holds: bool, rule: str) -> None:
    """Raise InputError unless the option `name` holds."""
    if not holds:
        raise InputError(f"`trainer.{name}` must be {rule}, got {value}")


def _distinct(values: Sequence[float]) -> bool:
    return len(set(values)) == len(values) > 0
