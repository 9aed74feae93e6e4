"""What the spaces of transformers share: layers, width, branches that stay, skips, norms, heads, positions and gains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from nasjac.activations import ACTIVATIONS
from nasjac.facts import branch_energies
from nasjac.placement import PLACEMENTS
from nasjac.pruning import CRITERIA, keep_set
from nasjac.scales import BRANCH_SCALES, deepnorm
from nasjac.spaces.checks import check_names, check_range, check_widths
from nasjac.spec import LOGIT_SCALES, NORMS, POSITIONS, Block, Spec
from nasjac.wiring import check_density, skip_pattern

if TYPE_CHECKING:
    from nasjac.spaces import Trial

SCALES = (*BRANCH_SCALES, "deepnorm")


@dataclass(frozen=True)
class TransformerOptions:
    """Options of a space of transformers; every range includes its ends, and one value fixes a choice.

    A layer is an attention branch and an FFN branch; each is a block with a skip of its own, and pruned by itself.

    `depth_min`, `depth_max`  layers
    `prune_ratio`   share of the branches that goes, by one of `prune_criteria`
    `branch_scales` laws for the factor on branches; deepnorm divides them by α, puts the norm on the sum and multiplies the
                    weights' gains by β (Wang et al. 2022)
    """

    #: choices for one architecture where none are given: what a plain transformer has
    typical: ClassVar[dict[str, Any]] = {
        "depth": 6,
        "width": 64,
        "skip_density": 1.0,
        "prune_ratio": 0.0,
        "branch_scale": "one",
        "placement": "pre",
        "activation": "gelu",
        "weight_gain": 1.0,
        "query_gain": 1.0,
        "ffn_ratio": 4,
        "heads": 4,
        "positions": "learned",
        "logit_scale": "inverse_sqrt",
    }

    depth_min: int = 1
    depth_max: int = 12
    widths: tuple[int, ...] = (32, 64)
    skip_density_min: float = 0.0
    skip_density_max: float = 1.0
    wiring_seeds: int = 1024
    prune_ratio_min: float = 0.0
    prune_ratio_max: float = 0.5
    prune_criteria: tuple[str, ...] = tuple(CRITERIA)
    placements: tuple[str, ...] = tuple(PLACEMENTS)
    norms: tuple[str, ...] = NORMS
    activations: tuple[str, ...] = ("relu", "gelu")
    weight_gain_min: float = 0.5
    weight_gain_max: float = 1.5
    query_gain_min: float = 0.5
    query_gain_max: float = 1.5
    ffn_ratios: tuple[int, ...] = (1, 2, 4)
    heads: tuple[int, ...] = (1, 2, 4)
    positions: tuple[str, ...] = POSITIONS
    logit_scales: tuple[str, ...] = LOGIT_SCALES
    branch_scales: tuple[str, ...] = SCALES

    def __post_init__(self) -> None:
        check_range(self, "depth", low=1)
        check_range(self, "skip_density", low=0.0, high=1.0)
        check_range(self, "prune_ratio", low=0.0, high=1.0)
        check_range(self, "weight_gain", low=1e-6, high=1e6)
        check_range(self, "query_gain", low=1e-6, high=1e6)
        check_widths(self.widths)
        if self.wiring_seeds < 1:
            raise ValueError(f"`space.wiring_seeds` must be at least 1, got {self.wiring_seeds}")
        for name in ("ffn_ratios", "heads"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ValueError(f"`space.{name}` must be whole numbers of at least 1, got {list(getattr(self, name))}")
        even = 2 if "rotary" in self.positions else 1
        for width in self.widths:
            uneven = [heads for heads in self.heads if width % (even * heads)]
            if uneven:
                rule = f"multiples of {even} × heads" if even == 2 else "multiples of `space.heads`"
                raise ValueError(f"`space.widths` must be {rule}, got {width} for {uneven[0]} heads")
        sampled = [name for name in ACTIVATIONS if name != "linear"]
        names = {"placements": PLACEMENTS, "norms": NORMS, "activations": sampled, "positions": POSITIONS}
        check_names(self, {"prune_criteria": CRITERIA, **names, "logit_scales": LOGIT_SCALES, "branch_scales": SCALES})


def transformer(space: TransformerOptions, trial: Trial, kind: Mapping[str, Any]) -> Spec:
    """One architecture from one trial; a flat function of its choices. `kind` has the Spec's kind and what that takes."""
    layers = trial.suggest_int("depth", space.depth_min, space.depth_max)
    width = trial.suggest_categorical("width", space.widths)
    density = trial.suggest_float("skip_density", space.skip_density_min, space.skip_density_max)
    check_density(density)  # a trial whose choices are given may be outside the search's range
    seed = trial.suggest_int("wiring_seed", 0, space.wiring_seeds - 1)
    ratio = trial.suggest_float("prune_ratio", space.prune_ratio_min, space.prune_ratio_max)
    criterion = trial.suggest_categorical("prune_criterion", space.prune_criteria)
    law = trial.suggest_categorical("branch_scale", space.branch_scales)
    common = {
        **kind,
        "placement": trial.suggest_categorical("placement", space.placements),
        "norm": trial.suggest_categorical("norm", space.norms),
        "activation": trial.suggest_categorical("activation", space.activations),
        "weight_gain": trial.suggest_float("weight_gain", space.weight_gain_min, space.weight_gain_max, log=True),
        "query_gain": trial.suggest_float("query_gain", space.query_gain_min, space.query_gain_max, log=True),
        "ffn_ratio": trial.suggest_categorical("ffn_ratio", space.ffn_ratios),
        "heads": trial.suggest_categorical("heads", space.heads),
        "positions": trial.suggest_categorical("positions", space.positions),
        "logit_scale": trial.suggest_categorical("logit_scale", space.logit_scales),
    }
    depth = 2 * layers
    scales = [BRANCH_SCALES[law](number, depth) if law in BRANCH_SCALES else 1.0 for number in range(depth)]
    if law == "deepnorm":
        alpha, beta = deepnorm(layers)
        scales = [1 / alpha] * depth
        common |= {"placement": "post", "weight_gain": beta * common["weight_gain"]}
    skips = skip_pattern(density, depth, seed)
    ops = ["attention", "ffn"] * layers
    blocks = tuple(Block(skip=float(skip), scale=scale, op=op) for skip, scale, op in zip(skips, scales, ops, strict=True))
    whole = Spec(width=width, blocks=blocks, **common)
    keep = keep_set(ratio, criterion, depth, lambda: branch_energies(whole), seed)
    return replace(whole, blocks=tuple(block for block, kept in zip(blocks, keep, strict=True) if kept))
