"""Options that the spaces of decoders and encoders share, and the architecture of a trial's choices among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from nasjac.architecture.block import Block
from nasjac.architecture.branch_scales import BRANCH_SCALES, deepnorm
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.space import Trial
from nasjac.foundation.errors import InputError
from nasjac.kinds.options.checks import (
    SEARCHED_ACTIVATIONS,
    check_depth,
    check_names,
    check_range,
    check_sizes,
    check_widths,
)
from nasjac.kinds.options.units import NORMS
from nasjac.kinds.options.wiring import WiredOptions, suggest_wiring
from nasjac.kinds.transformer.closed_form import branch_energies
from nasjac.kinds.transformer.spec import LOGIT_SCALES, POSITIONS, Transformer

T = TypeVar("T", bound=Transformer)


@dataclass(frozen=True)
class TransformerOptions(WiredOptions):
    """Options of a space of transformers, beside those of `WiredOptions`.

    A layer is an attention branch and an FFN branch; each is a block with a skip of its own, and pruned by itself.

    `depth_min`, `depth_max`  layers
    `branch_scales` has deepnorm too, which divides branches by α, puts the norm on the sum and multiplies the weights'
                    gains by β (Wang et al. 2022)
    """

    laws: ClassVar[tuple[str, ...]] = (*BRANCH_SCALES, "deepnorm")
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
    branch_scales: tuple[str, ...] = laws

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depth(self)
        check_range(self, "weight_gain", low=1e-6, high=1e6)
        check_range(self, "query_gain", low=1e-6, high=1e6)
        check_widths(self.widths)
        for name in ("ffn_ratios", "heads"):
            check_sizes(self, name)
        even = 2 if "rotary" in self.positions else 1
        for width in self.widths:
            uneven = [heads for heads in self.heads if width % (even * heads)]
            if uneven:
                rule = f"multiples of {even} × heads" if even == 2 else "multiples of `space.heads`"
                raise InputError(f"`space.widths` must be {rule}, got {width} for {uneven[0]} heads")
        names = {"placements": PLACEMENTS, "norms": NORMS, "activations": SEARCHED_ACTIVATIONS, "positions": POSITIONS}
        check_names(self, {**names, "logit_scales": LOGIT_SCALES})


def transformer(space: TransformerOptions, trial: Trial, of: type[T], own: Mapping[str, Any]) -> T:
    """Return the architecture of a trial's choices, an object of the class `of` with the further fields `own`."""
    layers = trial.suggest_int("depth", space.depth_min, space.depth_max)
    width = trial.suggest_categorical("width", space.widths)
    wiring = suggest_wiring(space, trial)
    law = wiring.law
    common = {
        **own,
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
    ops = ["attention", "ffn"] * layers
    parts = zip(wiring.skips(depth), scales, ops, strict=True)
    blocks = tuple(Block(skip=skip, scale=scale, op=op) for skip, scale, op in parts)
    whole = of(width=width, blocks=blocks, **common)
    keep = wiring.kept(depth, lambda: branch_energies(whole))
    return replace(whole, blocks=tuple(block for block, kept in zip(blocks, keep, strict=True) if kept))
