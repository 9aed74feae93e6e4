"""Options that the spaces of decoders and encoders share, and the architecture of a trial's choices among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from nasjac.architecture.block import Block
from nasjac.architecture.branch_scales import BRANCH_SCALES, SEARCHED_SCALES, deepnorm
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.size import Target
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
from nasjac.kinds.options.sized import SizedOptions
from nasjac.kinds.options.units import NORMS
from nasjac.kinds.options.width import Proposal
from nasjac.kinds.options.wiring import WiredOptions, suggest_wiring
from nasjac.kinds.transformer.closed_form import branch_energies
from nasjac.kinds.transformer.heads import number_of_heads
from nasjac.kinds.transformer.spec import FFNS, LOGIT_SCALES, POSITIONS, Transformer, gated_units

T = TypeVar("T", bound=Transformer)


@dataclass(frozen=True)
class TransformerOptions(SizedOptions, WiredOptions):
    """Options of a space of transformers, beside those of `SizedOptions` and `WiredOptions`.

    A layer is an attention branch and an FFN branch; each is a block with a skip of its own, and pruned by itself.

    `depth_min`, `depth_max`  layers
    `heads`         null: 1, 2 or 4; but where a large size is asked for as many as make heads of about `head_sizes` units
    `branch_scales` has deepnorm too, which divides branches by α, puts the norm on the sum and multiplies the weights'
                    gains by β (Wang et al. 2022)
    `ffns`          plain or gated FFNs; gated ones have 2/3 of the hidden units that a plain one of `ffn_ratio` has, which
                    are about as many weights; a choice `ffn` where there are several
    `kv_sharing`    how many heads' queries share keys and values, or else the largest divisor that this and the number of
                    heads have in common (where heads follow the width they are a multiple of it); a choice where there are
                    several
    `qk_norms`      whether queries and keys pass through a norm; a choice `qk_norm` where there are several
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
        "ffn": "plain",
        "kv_sharing": 1,
        "qk_norm": False,
    }

    later: ClassVar[tuple[str, ...]] = ("head_sizes", "ffns", "kv_sharing", "qk_norms")
    usual: ClassVar[dict[str, tuple[int, ...]]] = {"widths": (32, 64), "heads": (1, 2, 4)}
    shaping: ClassVar[tuple[str, ...]] = ("ffn_ratio",)

    placements: tuple[str, ...] = tuple(PLACEMENTS)
    norms: tuple[str, ...] = NORMS
    activations: tuple[str, ...] = ("relu", "gelu")
    weight_gain_min: float = 0.5
    weight_gain_max: float = 1.5
    query_gain_min: float = 0.5
    query_gain_max: float = 1.5
    ffn_ratios: tuple[int, ...] = (1, 2, 4)
    heads: tuple[int, ...] | None = None
    head_sizes: tuple[int, ...] = (32, 64, 128)
    positions: tuple[str, ...] = POSITIONS
    logit_scales: tuple[str, ...] = LOGIT_SCALES
    branch_scales: tuple[str, ...] = (*SEARCHED_SCALES, "deepnorm")
    ffns: tuple[str, ...] = ("plain",)
    kv_sharing: tuple[int, ...] = (1,)
    qk_norms: tuple[bool, ...] = (False,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depth(self)
        check_range(self, "weight_gain", low=1e-6, high=1e6)
        check_range(self, "query_gain", low=1e-6, high=1e6)
        check_widths(self.widths)
        for name in ("ffn_ratios", "head_sizes", "kv_sharing", *(() if self.heads is None else ("heads",))):
            check_sizes(self, name)
        even = 2 if "rotary" in self.positions else 1
        for width in self.widths or ():
            uneven = [heads for heads in self.heads or self.usual["heads"] if width % (even * heads)]
            if uneven:
                rule = f"multiples of {even} × heads" if even == 2 else "multiples of `space.heads`"
                raise InputError(f"`space.widths` must be {rule}, got {width} for {uneven[0]} heads")
        names = {"placements": PLACEMENTS, "norms": NORMS, "activations": SEARCHED_ACTIVATIONS, "positions": POSITIONS}
        check_names(self, {**names, "logit_scales": LOGIT_SCALES, "ffns": FFNS, "qk_norms": (False, True)})


def transformer(
    space: TransformerOptions, trial: Trial, target: Target | None, of: type[T], own: Mapping[str, Any]
) -> Proposal:
    """Return a trial's choices, which make objects of the class `of` with the further fields `own`."""
    asked = trial.suggest_int("depth", space.depth_min, space.depth_max)
    chosen_width = space.suggest_width(trial, target)
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
    }
    is_large = target is not None and target.is_large
    sharing: int = _among(trial, "kv_sharing", space.kv_sharing)
    heads_of, fixed_heads = number_of_heads(space.heads, space.usual["heads"], space.head_sizes, trial, is_large, sharing)
    common |= {
        "positions": trial.suggest_categorical("positions", space.positions),
        "logit_scale": trial.suggest_categorical("logit_scale", space.logit_scales),
        "ffn": _among(trial, "ffn", space.ffns),
        "qk_norm": _among(trial, "qk_norm", space.qk_norms),
    }
    even = 2 if common["positions"] == "rotary" else 1

    def build(width: int, depths: tuple[int, ...]) -> T:
        (layers,) = depths
        heads = heads_of(width)
        depth, fields = 2 * layers, {**common, "heads": heads, "kv_heads": heads // math.gcd(heads, sharing)}
        if fields["ffn"] == "gated":
            fields |= {"ffn_ratio": 1, "ffn_hidden": gated_units(width, fields["ffn_ratio"])}
        scales = [BRANCH_SCALES[law](number, depth) if law in BRANCH_SCALES else 1.0 for number in range(depth)]
        if law == "deepnorm":
            alpha, beta = deepnorm(layers)
            scales = [1 / alpha] * depth
            fields |= {"placement": "post", "weight_gain": beta * fields["weight_gain"]}
        ops = ["attention", "ffn"] * layers
        parts = zip(wiring.skips(depth), scales, ops, strict=True)
        blocks = tuple(Block(skip=skip, scale=scale, op=op) for skip, scale, op in parts)
        whole = of(width=width, blocks=blocks, **fields)
        keep = wiring.kept(depth, lambda: branch_energies(whole))
        return replace(whole, blocks=tuple(block for block, kept in zip(blocks, keep, strict=True) if kept))

    return Proposal(chosen_width, (asked,), even * fixed_heads, build)


def _among(trial: Trial, name: str, choices: tuple[Any, ...]) -> Any:
    """A trial's choice; it is not asked where there is none, so that a search draws what it drew before the option."""
    return trial.suggest_categorical(name, choices) if len(choices) > 1 else choices[0]
