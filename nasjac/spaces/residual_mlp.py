"""Residual MLPs: depth, width, skip density, pruning, norm placement, activation, branch and gains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from nasjac.activations import ACTIVATIONS
from nasjac.facts import branch_energies
from nasjac.placement import PLACEMENTS
from nasjac.pruning import CRITERIA, keep_set
from nasjac.scales import BRANCH_SCALES
from nasjac.spaces.block_types import STEPPED, check_block_types, suggest_block_type
from nasjac.spaces.checks import check_names, check_range, check_widths
from nasjac.spec import BRANCHES, NORMS, Block, Spec, check_choice
from nasjac.wiring import check_density, skip_pattern

if TYPE_CHECKING:
    from nasjac.spaces import Trial

SKIP_MODES = ("pattern", "ensemble")

#: most blocks of a population are equal, and then one object serves
_block = lru_cache(maxsize=4096)(lambda skip, scale: Block(skip=skip, scale=scale))


@dataclass(frozen=True)
class ResidualMlpSpace:
    """Options of the space; every range includes its ends, and one value fixes a choice.

    `skip_mode`    pattern: skip density and wiring seed draw one pattern; ensemble: each skip is kept with the density's
                   probability and the score is an expectation over patterns
    `prune_ratio`  share of the residual branches that goes, by one of `prune_criteria`
    `block_types`  explicit x + hF(x), leaky (1 - hD) x + hF(x), implicit by BDF-2 along F(x) - D x; a choice `block` where
                   there are several
    `step_min`, `step_max`  of h, on a log scale, where they differ
    `leak_min`, `leak_max`  of D, where they differ and some type has one
    """

    #: choices for one architecture where none are given: what a plain residual network has
    typical: ClassVar[dict[str, Any]] = {
        "depth": 32,
        "width": 64,
        "skip_density": 1.0,
        "prune_ratio": 0.0,
        "branch_scale": "one",
        "placement": "none",
        "activation": "relu",
        "branch": "two_matrix",
        "weight_gain": 1.0,
        **STEPPED.typical,
    }
    later: ClassVar[tuple[str, ...]] = STEPPED.options

    depth_min: int = 4
    depth_max: int = 64
    widths: tuple[int, ...] = (32, 64, 128)
    skip_mode: str = "pattern"
    skip_density_min: float = 0.0
    skip_density_max: float = 1.0
    wiring_seeds: int = 1024
    prune_ratio_min: float = 0.0
    prune_ratio_max: float = 0.5
    prune_criteria: tuple[str, ...] = tuple(CRITERIA)
    placements: tuple[str, ...] = tuple(PLACEMENTS)
    norms: tuple[str, ...] = NORMS
    activations: tuple[str, ...] = ("relu", "gelu", "tanh")
    branches: tuple[str, ...] = BRANCHES
    weight_gain_min: float = 0.7
    weight_gain_max: float = 1.8
    branch_scales: tuple[str, ...] = tuple(BRANCH_SCALES)
    block_types: tuple[str, ...] = ("explicit",)
    step_min: float = 1.0
    step_max: float = 1.0
    leak_min: float = 0.0
    leak_max: float = 0.5

    def __post_init__(self) -> None:
        check_range(self, "depth", low=1)
        check_range(self, "skip_density", low=0.0, high=1.0)
        check_range(self, "prune_ratio", low=0.0, high=1.0)
        check_range(self, "weight_gain", low=1e-6, high=1e6)
        check_widths(self.widths)
        check_choice("space.skip_mode", self.skip_mode, SKIP_MODES)
        if self.wiring_seeds < 1:
            raise ValueError(f"`space.wiring_seeds` must be at least 1, got {self.wiring_seeds}")
        # a linear network has perfect Jacobians and learns nothing
        sampled = [name for name in ACTIVATIONS if name != "linear"]
        names = {"placements": PLACEMENTS, "norms": NORMS, "activations": sampled, "branches": BRANCHES}
        check_names(self, {"prune_criteria": CRITERIA, **names, "branch_scales": BRANCH_SCALES})
        check_block_types(self)

    def __call__(self, trial: Trial) -> Spec:
        """One architecture from one trial; a flat function of its choices."""
        depth = trial.suggest_int("depth", self.depth_min, self.depth_max)
        width = trial.suggest_categorical("width", self.widths)
        density = trial.suggest_float("skip_density", self.skip_density_min, self.skip_density_max)
        check_density(density)  # a trial whose choices are given may be outside the search's range
        seed = trial.suggest_int("wiring_seed", 0, self.wiring_seeds - 1)
        ratio = trial.suggest_float("prune_ratio", self.prune_ratio_min, self.prune_ratio_max)
        criterion = trial.suggest_categorical("prune_criterion", self.prune_criteria)
        scale = BRANCH_SCALES[trial.suggest_categorical("branch_scale", self.branch_scales)]
        common = {
            "placement": trial.suggest_categorical("placement", self.placements),
            "norm": trial.suggest_categorical("norm", self.norms),
            "activation": trial.suggest_categorical("activation", self.activations),
            "branch": trial.suggest_categorical("branch", self.branches),
            "weight_gain": trial.suggest_float("weight_gain", self.weight_gain_min, self.weight_gain_max, log=True),
            **suggest_block_type(self, trial),
        }
        skips = skip_pattern(density, depth, seed) if self.skip_mode == "pattern" else [density] * depth
        blocks = tuple(_block(float(skip), scale(number, depth)) for number, skip in enumerate(skips))
        whole = Spec(width=width, blocks=blocks, **common)
        keep = keep_set(ratio, criterion, depth, lambda: branch_energies(whole), seed)
        return Spec(width=width, blocks=tuple(block for block, kept in zip(blocks, keep, strict=True) if kept), **common)
