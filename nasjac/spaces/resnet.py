"""Residual networks of images: blocks of each stage, width, skips, pruning, block, norm, order, activation and gains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from nasjac.activations import ACTIVATIONS
from nasjac.facts import branch_energies
from nasjac.images import IMAGE_NORMS, ORDERS
from nasjac.pruning import CRITERIA, keep_set
from nasjac.scales import BRANCH_SCALES
from nasjac.spaces.block_types import STEPPED, check_block_types, suggest_block_type
from nasjac.spaces.checks import check_names, check_range, check_stages, check_widths, image_shape, same_images
from nasjac.spec import KINDS, Block, Spec
from nasjac.wiring import check_density, skip_pattern

if TYPE_CHECKING:
    from nasjac.spaces import Trial


@dataclass(frozen=True)
class ResNetSpace:
    """Options of the space; every range includes its ends, and one value fixes a choice.

    `shape`        channels, rows and columns of the images (null: those of the dataset, 1 x 8 x 8 where there is none)
    `stages`       each after the first doubles the channels and halves rows and columns
    `depth_min`, `depth_max`  blocks of each stage, chosen stage by stage
    `widths`       channels of the first stage
    `prune_ratio`  share of the residual branches that goes, by one of `prune_criteria`
    `block_types`, `step_min`, `step_max`, `leak_min`, `leak_max`  as in residual_mlp
    """

    #: choices for one architecture where none are given: what a plain residual network has
    typical: ClassVar[dict[str, Any]] = {
        "width": 16,
        "skip_density": 1.0,
        "prune_ratio": 0.0,
        "branch_scale": "one",
        "op": "basic",
        "norm": "batchnorm",
        "order": "post",
        "activation": "relu",
        "weight_gain": 2**0.5,
        **{f"depth_{stage}": 2 for stage in range(1, 9)},
        **STEPPED.typical,
    }
    later: ClassVar[tuple[str, ...]] = STEPPED.options

    shape: tuple[int, ...] | None = None
    stages: int = 3
    depth_min: int = 1
    depth_max: int = 4
    widths: tuple[int, ...] = (8, 16)
    ops: tuple[str, ...] = KINDS["resnet"]
    norms: tuple[str, ...] = IMAGE_NORMS
    orders: tuple[str, ...] = ORDERS
    activations: tuple[str, ...] = ("relu", "gelu")
    skip_density_min: float = 0.0
    skip_density_max: float = 1.0
    wiring_seeds: int = 1024
    prune_ratio_min: float = 0.0
    prune_ratio_max: float = 0.5
    prune_criteria: tuple[str, ...] = tuple(CRITERIA)
    weight_gain_min: float = 0.7
    weight_gain_max: float = 2.0
    branch_scales: tuple[str, ...] = tuple(BRANCH_SCALES)
    block_types: tuple[str, ...] = ("explicit",)
    step_min: float = 1.0
    step_max: float = 1.0
    leak_min: float = 0.0
    leak_max: float = 0.5

    def __post_init__(self) -> None:
        check_stages(self)
        check_range(self, "skip_density", low=0.0, high=1.0)
        check_range(self, "prune_ratio", low=0.0, high=1.0)
        check_range(self, "weight_gain", low=1e-6, high=1e6)
        check_widths(self.widths)
        if self.wiring_seeds < 1:
            raise ValueError(f"`space.wiring_seeds` must be at least 1, got {self.wiring_seeds}")
        sampled = [name for name in ACTIVATIONS if name != "linear"]
        names = {"ops": KINDS["resnet"], "norms": IMAGE_NORMS, "orders": ORDERS, "activations": sampled}
        check_names(self, {"prune_criteria": CRITERIA, **names, "branch_scales": BRANCH_SCALES})
        check_block_types(self)
        if "bottleneck" in self.ops and any(width % 4 for width in self.widths):
            raise ValueError(f"`space.widths` must be multiples of 4 with bottleneck blocks, got {list(self.widths)}")

    def for_images(self, shape: tuple[int, ...]) -> ResNetSpace:
        """The space for a dataset's images of this shape. ValueError: `shape` says another one, or they are too small."""
        return replace(self, shape=same_images(self.shape, shape))

    def __call__(self, trial: Trial) -> Spec:
        """One architecture from one trial; a flat function of its choices."""
        depths = [trial.suggest_int(f"depth_{n + 1}", self.depth_min, self.depth_max) for n in range(self.stages)]
        width = trial.suggest_categorical("width", self.widths)
        density = trial.suggest_float("skip_density", self.skip_density_min, self.skip_density_max)
        check_density(density)  # a trial whose choices are given may be outside the search's range
        seed = trial.suggest_int("wiring_seed", 0, self.wiring_seeds - 1)
        ratio = trial.suggest_float("prune_ratio", self.prune_ratio_min, self.prune_ratio_max)
        criterion = trial.suggest_categorical("prune_criterion", self.prune_criteria)
        scale = BRANCH_SCALES[trial.suggest_categorical("branch_scale", self.branch_scales)]
        op = trial.suggest_categorical("op", self.ops)
        common = {
            "kind": "resnet",
            "shape": image_shape(self.shape),
            "norm": trial.suggest_categorical("norm", self.norms),
            "order": trial.suggest_categorical("order", self.orders),
            "activation": trial.suggest_categorical("activation", self.activations),
            "weight_gain": trial.suggest_float("weight_gain", self.weight_gain_min, self.weight_gain_max, log=True),
            **suggest_block_type(self, trial),
        }
        stages = [stage for stage, count in enumerate(depths) for _ in range(count)]
        depth = len(stages)
        skips = skip_pattern(density, depth, seed)
        blocks = tuple(
            Block(skip=float(skip), scale=scale(number, depth), op=op, stage=stage)
            for number, (skip, stage) in enumerate(zip(skips, stages, strict=True))
        )
        whole = Spec(width=width, blocks=blocks, **common)
        keep = keep_set(ratio, criterion, depth, lambda: branch_energies(whole), seed)
        left = tuple(replace(block, keep=bool(kept)) for block, kept in zip(blocks, keep, strict=True))
        return replace(whole, blocks=left).canonical
