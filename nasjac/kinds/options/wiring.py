"""Options that spaces of residual blocks share: skip density, pruning and the law of branch scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasjac.architecture.branch_scales import BRANCH_SCALES, SEARCHED_SCALES
from nasjac.architecture.pruning_criteria import CRITERIA, keep_set
from nasjac.architecture.skip_patterns import check_density, skip_pattern
from nasjac.architecture.space import Space, Trial
from nasjac.foundation import arguments
from nasjac.kinds.options.checks import check_names, check_range


@dataclass(frozen=True)
class WiredOptions(Space):
    """Options of a space of residual blocks; every range includes its ends, and one value fixes a choice.

    `wiring_seeds`  number of skip patterns of one density, at most 2^20
    `prune_ratio`   share of the residual branches that is pruned, by one of `prune_criteria`
    `branch_scales` laws for the factor on branches
    """

    #: the laws to choose from
    laws: ClassVar[tuple[str, ...]] = tuple(BRANCH_SCALES)

    skip_density_min: float = 0.0
    skip_density_max: float = 1.0
    wiring_seeds: int = 1024
    prune_ratio_min: float = 0.0
    prune_ratio_max: float = 0.5
    prune_criteria: tuple[str, ...] = tuple(CRITERIA)
    branch_scales: tuple[str, ...] = SEARCHED_SCALES

    def __post_init__(self) -> None:
        check_range(self, "skip_density", low=0.0, high=1.0)
        check_range(self, "prune_ratio", low=0.0, high=1.0)
        arguments.whole("space.wiring_seeds", self.wiring_seeds, 1, 2**20)
        check_names(self, {"prune_criteria": CRITERIA, "branch_scales": self.laws})


class Wiring(NamedTuple):
    """A trial's choices: skip density, wiring seed, pruning ratio, pruning criterion and law of branch scales."""

    density: float
    seed: int
    ratio: float
    criterion: str
    law: str

    def skips(self, depth: int) -> list[float]:
        """Return [depth] 1.0 where a block keeps its skip and 0.0 where it does not."""
        return [float(skip) for skip in skip_pattern(self.density, depth, self.seed)]

    def kept(self, depth: int, energies: Callable[[], NDArray[np.float64]]) -> list[bool]:
        """Return [depth] whether a branch stays; `energies` gives their energies [depth] to a criterion that asks."""
        return [bool(kept) for kept in keep_set(self.ratio, self.criterion, depth, energies, self.seed)]


def suggest_wiring(space: WiredOptions, trial: Trial) -> Wiring:
    """Return a trial's choices, asked for in the order of `Wiring`'s fields."""
    density = trial.suggest_float("skip_density", space.skip_density_min, space.skip_density_max)
    check_density(density)  # a trial whose choices are given may be outside the search's range
    return Wiring(
        density,
        trial.suggest_int("wiring_seed", 0, space.wiring_seeds - 1),
        trial.suggest_float("prune_ratio", space.prune_ratio_min, space.prune_ratio_max),
        trial.suggest_categorical("prune_criterion", space.prune_criteria),
        trial.suggest_categorical("branch_scale", space.branch_scales),
    )
