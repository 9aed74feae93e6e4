"""Facts of architectures as scores: params, flops, depth, depth_log_width, skip_count, plain_blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nasjac.architecture.fields import check_choice
from nasjac.tables.scores.base import Done, Scored, TableScore, one_by_one
from nasjac.tables.space import Material, TableSpace

Facts = Mapping[str, float]

#: the trivial baselines that stand beside every score
FACTS: dict[str, Callable[[Facts], float]] = {
    "params": lambda facts: facts["params"],
    "flops": lambda facts: facts["flops"],
    "depth": lambda facts: facts["depth"],
    "depth_log_width": lambda facts: facts["depth"] * math.log(facts["width"]),
    "skip_count": lambda facts: facts["skip_count"],
    #: minus the number of blocks without a skip: few are better
    "plain_blocks": lambda facts: facts["skip_count"] - facts["depth"],
}


@dataclass(frozen=True)
class Fact(TableScore):
    """One of `FACTS`, larger is better."""

    which: str = "params"

    def __post_init__(self) -> None:
        check_choice("score.which", self.which, FACTS)

    needs: ClassVar[Material] = Material.FACTS

    @property
    def name(self) -> str:
        """The fact."""
        return self.which

    def measure(
        self, space: TableSpace, architectures: Sequence[Any], inputs: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        """Score architectures by the fact."""
        return one_by_one(lambda item: FACTS[self.which](space.facts(item)), architectures, done)
