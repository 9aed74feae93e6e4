"""Residual networks of images: blocks of each stage, width, skips, pruning, block, norm, order, activation and gains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from nasjac.architecture.block import Block
from nasjac.architecture.branch_scales import BRANCH_SCALES
from nasjac.architecture.size import Target
from nasjac.architecture.space import Trial
from nasjac.foundation.errors import InputError
from nasjac.kinds.convolutional.space import ConvolutionalOptions
from nasjac.kinds.options.checks import check_names
from nasjac.kinds.options.stepping import TYPICAL_STEP, SteppedOptions, suggest_block_type
from nasjac.kinds.options.width import Proposal
from nasjac.kinds.options.wiring import suggest_wiring
from nasjac.kinds.resnet.closed_form import branch_energies
from nasjac.kinds.resnet.spec import ResNet


@dataclass(frozen=True)
class ResNetSpace(ConvolutionalOptions, SteppedOptions):
    """Options of the space, beside those of `ConvolutionalOptions` and `SteppedOptions`.

    `stages`       each after the first doubles the channels and halves rows and columns
    `widths`       channels of the first stage
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
        **TYPICAL_STEP,
    }

    usual: ClassVar[dict[str, tuple[int, ...]]] = {"widths": (8, 16)}
    shaping: ClassVar[tuple[str, ...]] = ("op",)

    depth_max: int = 4
    ops: tuple[str, ...] = ResNet.ops

    def __post_init__(self) -> None:
        ConvolutionalOptions.__post_init__(self)
        SteppedOptions.__post_init__(self)
        check_names(self, {"ops": ResNet.ops})
        widths = self.widths or self.usual["widths"]
        if "bottleneck" in self.ops and any(width % 4 for width in widths):
            raise InputError(f"`space.widths` must be multiples of 4 with bottleneck blocks, got {list(widths)}")

    def proposal(self, trial: Trial, target: Target | None) -> Proposal:
        """Return a trial's choices, the width among them unless there is a target."""
        asked = self.suggest_depths(trial)
        width = self.suggest_width(trial, target)
        wiring = suggest_wiring(self, trial)
        scale = BRANCH_SCALES[wiring.law]
        op = trial.suggest_categorical("op", self.ops)
        layers = self.suggest_layers(trial)
        stepping = suggest_block_type(self, trial)

        def build(width: int, depths: tuple[int, ...]) -> ResNet:
            stages = [stage for stage, count in enumerate(depths) for _ in range(count)]
            depth = len(stages)
            blocks = tuple(
                Block(skip=skip, scale=scale(number, depth), op=op, stage=stage)
                for number, (skip, stage) in enumerate(zip(wiring.skips(depth), stages, strict=True))
            )
            whole = ResNet(width=width, blocks=blocks, **layers, **stepping)
            keep = wiring.kept(depth, lambda: branch_energies(whole))
            left = tuple(replace(block, keep=kept) for block, kept in zip(blocks, keep, strict=True))
            return replace(whole, blocks=left).canonical

        return Proposal(width, asked, 4 if op == "bottleneck" else 1, build)
