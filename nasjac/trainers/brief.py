"""What the brief trainings share: the options, their checks, and the course of the learning rate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor
from torch.optim import Optimizer

from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.trainers.run import Trainer

#: updates of a brief training, samples of one, and rates or seeds that are tried
MOST_STEPS, MOST_BATCH, MOST_TRIED = 10_000_000, 2**16, 64


class Brief(Trainer, Protocol):
    """The options of a brief training, a frozen dataclass; all learning rates and seeds of an architecture train at once.

    `steps`           updates
    `batch`           samples of an update; the training split is gone through in random orders, one after the other
    `learning_rates`  peak rates to try, each from every seed
    `seeds`           of initialization and batch order
    `warmup`          share of the steps over which the rate rises linearly; it then falls to 0 along a cosine
    `weight_decay`    on all parameters
    `clip`            largest norm of a gradient; a larger one is scaled down to it
    """

    @property
    def steps(self) -> int: ...

    @property
    def batch(self) -> int: ...

    @property
    def warmup(self) -> float: ...

    @property
    def weight_decay(self) -> float: ...

    @property
    def clip(self) -> float: ...

    def optimizer(self, row: Tensor) -> Optimizer:
        """Of one network, whose parameters are the vector `row`."""
        ...


def pairs(options: Brief) -> list[tuple[int, float]]:
    """Seed and learning rate of each run, in their order."""
    return list(itertools.product(options.seeds, options.learning_rates))


def schedule(options: Brief, step: int) -> float:
    """Share of the peak learning rate at update `step` = 0 ... steps - 1."""
    rise = options.warmup * options.steps
    fall = max(0.0, step - rise) / (options.steps - rise) if options.steps > rise else 0.0
    return min(1.0, (step + 1) / rise if rise else 1.0) * (1 + math.cos(math.pi * fall)) / 2


def settle(options: Brief) -> None:
    """Lists become tuples, rates floats. ValueError names the option that is out of its range."""
    object.__setattr__(options, "learning_rates", tuple(map(float, options.learning_rates)))
    object.__setattr__(options, "seeds", tuple(options.seeds))
    rates, seeds = options.learning_rates, options.seeds
    arguments.whole("trainer.steps", options.steps, 1, MOST_STEPS)
    arguments.whole("trainer.batch", options.batch, 1, MOST_BATCH)
    for name, values in (("learning_rates", rates), ("seeds", seeds)):
        check(name, len(values), len(values) <= MOST_TRIED, f"at most {MOST_TRIED}, which are trained together")
    check(
        "learning_rates",
        rates,
        _distinct(rates) and all(0 < rate < math.inf for rate in rates),
        "different and finite, above 0",
    )
    check("seeds", seeds, _distinct(seeds) and min(seeds) >= 0, "different whole numbers from 0 on")
    for seed in seeds:
        arguments.seed("trainer.seeds", seed)
    check("warmup", options.warmup, 0 <= options.warmup <= 1, "in [0, 1]")
    check("weight_decay", options.weight_decay, 0 <= options.weight_decay < math.inf, "at least 0")
    check("clip", options.clip, options.clip > 0, "greater than 0")


def check(name: str, value: object, holds: bool, rule: str) -> None:
    """ValueError unless the option `name` holds."""
    if not holds:
        raise InputError(f"`trainer.{name}` must be {rule}, got {value}")


def _distinct(values: Sequence[float]) -> bool:
    return len(set(values)) == len(values) > 0
