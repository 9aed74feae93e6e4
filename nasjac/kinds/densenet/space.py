"""Densely connected networks of images: blocks of each stage, width, growth, norm, order, activation and gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nasjac.architecture.block import Block
from nasjac.architecture.space import Trial
from nasjac.kinds.convolutional.spec import IMAGE_NORMS, ORDERS
from nasjac.kinds.densenet.spec import DenseNet
from nasjac.kinds.options.checks import SEARCHED_ACTIVATIONS, check_names, check_range, check_sizes, check_widths
from nasjac.kinds.options.images import ImageOptions, check_stages


@dataclass(frozen=True)
class DenseNetSpace(ImageOptions):
    """Options of the space, beside those of `ImageOptions`; every range includes its ends, and one value fixes a choice.

    `stages`       each after the first begins with a transition, which halves channels, rows and columns
    `depth_min`, `depth_max`  blocks of each stage, chosen stage by stage
    `widths`       channels after the stem
    `growths`      channels that a block adds
    """

    #: choices for one architecture where none are given: what a plain DenseNet has
    typical: ClassVar[dict[str, Any]] = {
        "width": 16,
        "growth": 8,
        "norm": "batchnorm",
        "order": "pre",
        "activation": "relu",
        "weight_gain": 2**0.5,
        **{f"depth_{stage}": 3 for stage in range(1, 9)},
    }

    stages: int = 3
    depth_min: int = 1
    depth_max: int = 6
    widths: tuple[int, ...] = (8, 16)
    growths: tuple[int, ...] = (4, 8)
    norms: tuple[str, ...] = IMAGE_NORMS
    orders: tuple[str, ...] = ORDERS
    activations: tuple[str, ...] = ("relu", "gelu")
    weight_gain_min: float = 0.7
    weight_gain_max: float = 2.0

    def __post_init__(self) -> None:
        check_stages(self)
        check_range(self, "weight_gain", low=1e-6, high=1e6)
        check_widths(self.widths)
        check_sizes(self, "growths")
        check_names(self, {"norms": IMAGE_NORMS, "orders": ORDERS, "activations": SEARCHED_ACTIVATIONS})

    def __call__(self, trial: Trial) -> DenseNet:
        """Return the architecture of a trial's choices."""
        depths = [trial.suggest_int(f"depth_{n + 1}", self.depth_min, self.depth_max) for n in range(self.stages)]
        return DenseNet(
            shape=self.image,
            width=trial.suggest_categorical("width", self.widths),
            blocks=tuple(Block(op="dense", stage=stage) for stage, count in enumerate(depths) for _ in range(count)),
            growth=trial.suggest_categorical("growth", self.growths),
            norm=trial.suggest_categorical("norm", self.norms),
            order=trial.suggest_categorical("order", self.orders),
            activation=trial.suggest_categorical("activation", self.activations),
            weight_gain=trial.suggest_float("weight_gain", self.weight_gain_min, self.weight_gain_max, log=True),
        )
