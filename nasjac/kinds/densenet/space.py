"""Densely connected networks of images: blocks of each stage, width, growth, norm, order, activation and gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from nasjac.architecture.block import Block
from nasjac.architecture.size import Target
from nasjac.architecture.space import Trial
from nasjac.kinds.convolutional.space import ConvolutionalOptions
from nasjac.kinds.densenet.spec import DenseNet
from nasjac.kinds.options.checks import check_shares, check_sizes
from nasjac.kinds.options.width import Proposal


@dataclass(frozen=True)
class DenseNetSpace(ConvolutionalOptions):
    """Options of the space, beside those of `ConvolutionalOptions`; one value fixes a choice.

    `stages`       each after the first begins with a transition, which halves channels, rows and columns
    `widths`       channels after the stem
    `growths`      channels that a block adds (null: 4 or 8, or `growth_shares` of the width where that is solved for)
    `growth_shares`  what a block adds, as a share of the width
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

    later: ClassVar[tuple[str, ...]] = ("growth_shares",)
    usual: ClassVar[dict[str, tuple[int, ...]]] = {"widths": (8, 16), "growths": (4, 8)}
    shaping: ClassVar[tuple[str, ...]] = ("growth_share",)

    depth_max: int = 6
    growths: tuple[int, ...] | None = None
    growth_shares: tuple[float, ...] = (0.25, 0.5, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.growths is not None:
            check_sizes(self, "growths")
        check_shares("growth_shares", self.growth_shares)

    def proposal(self, trial: Trial, target: Target | None) -> Proposal:
        """Return a trial's choices, the width among them unless there is a target."""
        asked = self.suggest_depths(trial)
        width = self.suggest_width(trial, target)
        growth_of = self._growth(trial, target)
        layers = self.suggest_layers(trial)

        def build(width: int, depths: tuple[int, ...]) -> DenseNet:
            blocks = tuple(Block(op="dense", stage=stage) for stage, count in enumerate(depths) for _ in range(count))
            return DenseNet(width=width, blocks=blocks, growth=growth_of(width), **layers)

        return Proposal(width, asked, 1, build)

    def _growth(self, trial: Trial, target: Target | None) -> Callable[[int], int]:
        """The channels that a block adds, of the width."""
        if self.growths is None and target is not None:
            share: float = trial.suggest_categorical("growth_share", self.growth_shares)
            return lambda width: max(1, round(share * width))
        growth: int = trial.suggest_categorical("growth", self.growths or self.usual["growths"])
        return lambda _: growth
