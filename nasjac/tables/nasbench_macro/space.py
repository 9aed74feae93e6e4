"""nasbench_macro: the 6,561 networks of NAS-Bench-Macro, as a table of trained networks (Su et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from nasjac.sampling.draws import Draws
from nasjac.tables.nasbench_macro.network import (
    BLOCKS,
    CHANNELS,
    CHOICES,
    DIGITS,
    HEAD,
    PIXELS,
    Block,
    Macro,
    MacroNetwork,
    head,
    places,
    stem,
)
from nasjac.tables.network_space import NetworkSpace
from nasjac.tables.networks import lifted, prepared, routed

CLASSES = 10


@dataclass(frozen=True)
class NasBenchMacro(NetworkSpace):
    """A CSV file with a column `arch`, eight digits of 0 (identity), 1 and 2 (inverted residuals), and `acc_mean` (or
    `target=COLUMN`): what training gave.
    """

    shape: ClassVar[tuple[int, int, int]] = (3, PIXELS, PIXELS)
    column: ClassVar[str] = "arch"
    targets: ClassVar[tuple[str, ...]] = ("acc_mean",)
    others: ClassVar[tuple[str, ...]] = ("acc_s0", "acc_s1", "acc_s2", "params", "flops")

    name = "nasbench_macro"

    def parse(self, text: str) -> Macro:
        """The network of eight digits. InputError: others."""
        return Macro(text)

    def facts(self, architecture: Macro) -> dict[str, float]:
        """Of the trained network; depth counts blocks that are not the identity."""
        kept = [place for digit, place in zip(architecture.arch, places(CHANNELS), strict=True) if digit in CHOICES]
        return {
            "params": CLASSES * (HEAD * CHANNELS + 1)
            + sum(weights + 2 * outputs for weights, outputs, _ in _convolutions(architecture)),
            "flops": self.live_flops(architecture),
            "depth": len(kept),
            "width": CHANNELS,
            "skip_count": sum(place.keeps_shape for place in kept),
        }

    def live_flops(self, architecture: Macro) -> int:
        """All: nothing in these networks is dead."""
        adds = CLASSES * HEAD * CHANNELS + sum(weights * pixels**2 for weights, _, pixels in _convolutions(architecture))
        return 2 * adds

    def random(self, count: int, seed: int) -> list[Macro]:
        """Networks drawn uniformly, maybe some twice."""
        digits = np.random.default_rng(seed).integers(len(DIGITS), size=(count, BLOCKS))
        return [Macro("".join(DIGITS[digit] for digit in row)) for row in digits]

    def build(self, architecture: Macro) -> MacroNetwork:
        """The network for ten classes."""
        return MacroNetwork(architecture)

    def ends(self, channels: int) -> tuple[nn.Module, nn.Module]:
        """Stem and head."""
        return stem(channels), head(channels)

    def body(self, h: Tensor, architectures: Sequence[Macro], draws: Draws, channels: int) -> Tensor:
        """h_L, block by block."""
        for number, place in enumerate(places(channels)):
            labels = [macro.arch[number] for macro in architectures]
            blocks = {digit: prepared(Block(digit, place), f"body.{number}.", draws) for digit in sorted({*labels})}
            h = routed(h, labels, {digit: partial(lifted, block) for digit, block in blocks.items()})
        return h


def _convolutions(macro: Macro) -> Iterator[tuple[int, int, int]]:
    """Weights, output channels, and rows and columns of the output, of each convolution."""
    yield 27 * CHANNELS, CHANNELS, PIXELS
    for digit, place in zip(macro.arch, places(CHANNELS), strict=True):
        after = place.pixels // place.stride
        if digit in CHOICES:
            kernel, expansion = CHOICES[digit]
            hidden = expansion * place.inputs
            yield place.inputs * hidden, hidden, place.pixels
            yield kernel**2 * hidden, hidden, after
            yield hidden * place.outputs, place.outputs, after
        elif not place.keeps_shape:
            yield place.inputs * place.outputs, place.outputs, after
    last = places(CHANNELS)[-1]
    yield last.outputs * HEAD * CHANNELS, HEAD * CHANNELS, last.pixels
