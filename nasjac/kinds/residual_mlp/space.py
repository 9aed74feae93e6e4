"""Residual MLPs: depth, width, skip density, pruning, norm placement, activation, branch and gains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from nasjac.architecture.block import Block
from nasjac.architecture.branch_scales import BRANCH_SCALES
from nasjac.architecture.fields import check_choice
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.size import Target
from nasjac.architecture.space import Trial
from nasjac.kinds.options.checks import SEARCHED_ACTIVATIONS, check_depth, check_names, check_range, check_widths
from nasjac.kinds.options.sized import SizedOptions
from nasjac.kinds.options.stepping import TYPICAL_STEP, SteppedOptions, suggest_block_type
from nasjac.kinds.options.units import NORMS
from nasjac.kinds.options.width import Proposal
from nasjac.kinds.options.wiring import suggest_wiring
from nasjac.kinds.residual_mlp.closed_form import branch_energies
from nasjac.kinds.residual_mlp.spec import BRANCHES, ResidualMLP

SKIP_MODES = ("pattern", "ensemble")

#: most blocks of a population are equal, and then one object serves
_block = lru_cache(maxsize=4096)(lambda skip, scale: Block(skip=skip, scale=scale))


@dataclass(frozen=True)
class ResidualMlpSpace(SizedOptions, SteppedOptions):
    """Options of the space, beside those of `SizedOptions` and `SteppedOptions`.

    `skip_mode`  pattern: skip density and wiring seed draw one pattern; ensemble: each skip is kept with the density's
                 probability and the score is an expectation over patterns
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
        **TYPICAL_STEP,
    }

    usual: ClassVar[dict[str, tuple[int, ...]]] = {"widths": (32, 64, 128)}
    shaping: ClassVar[tuple[str, ...]] = ("branch",)

    depth_min: int = 4
    depth_max: int = 64
    skip_mode: str = "pattern"
    placements: tuple[str, ...] = tuple(PLACEMENTS)
    norms: tuple[str, ...] = NORMS
    activations: tuple[str, ...] = ("relu", "gelu", "tanh")
    branches: tuple[str, ...] = BRANCHES
    weight_gain_min: float = 0.7
    weight_gain_max: float = 1.8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depth(self)
        check_range(self, "weight_gain", low=1e-6, high=1e6)
        check_widths(self.widths)
        check_choice("space.skip_mode", self.skip_mode, SKIP_MODES)
        names = {"placements": PLACEMENTS, "norms": NORMS, "activations": SEARCHED_ACTIVATIONS, "branches": BRANCHES}
        check_names(self, names)

    def proposal(self, trial: Trial, target: Target | None) -> Proposal:
        """Return a trial's choices, the width among them unless there is a target."""
        asked = trial.suggest_int("depth", self.depth_min, self.depth_max)
        width = self.suggest_width(trial, target)
        wiring = suggest_wiring(self, trial)
        scale = BRANCH_SCALES[wiring.law]
        common = {
            "placement": trial.suggest_categorical("placement", self.placements),
            "norm": trial.suggest_categorical("norm", self.norms),
            "activation": trial.suggest_categorical("activation", self.activations),
            "branch": trial.suggest_categorical("branch", self.branches),
            "weight_gain": trial.suggest_float("weight_gain", self.weight_gain_min, self.weight_gain_max, log=True),
            **suggest_block_type(self, trial),
        }

        def build(width: int, depths: tuple[int, ...]) -> ResidualMLP:
            (depth,) = depths
            skips = wiring.skips(depth) if self.skip_mode == "pattern" else [wiring.density] * depth
            blocks = tuple(_block(skip, scale(number, depth)) for number, skip in enumerate(skips))
            whole = ResidualMLP(width=width, blocks=blocks, **common)
            keep = wiring.kept(depth, lambda: branch_energies(whole))
            kept = tuple(block for block, is_kept in zip(blocks, keep, strict=True) if is_kept)
            return ResidualMLP(width=width, blocks=kept, **common)

        return Proposal(width, (asked,), 1, build)
