"""nasbench_macro: the 6,561 networks of NAS-Bench-Macro, as a table of trained networks (Su et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from nasjac.sampling.draws import Draws
from nasjac.tables.nasbench_macro.network import (
    BLOCKS,
    CHANNELS,
    CHOICES,
    DIGITS,
    HEAD,
    PIXELS,
    Macro,
    MacroNetwork,
    places,
)
from nasjac.tables.nasbench_macro.population import body, features, stem
from nasjac.tables.pullbacks import Pullbacks, drawn, initialize, pullbacks

CLASSES = 10


@dataclass(frozen=True)
class NasBenchMacro:
    """A CSV file with a column `arch`, eight digits of 0 (identity), 1 and 2 (inverted residuals), and `acc_mean` (or
    `target=COLUMN`): what training gave.
    """

    shape: ClassVar[tuple[int, int, int]] = (3, PIXELS, PIXELS)
    column: ClassVar[str] = "arch"
    targets: ClassVar[tuple[str, ...]] = ("acc_mean",)
    others: ClassVar[tuple[str, ...]] = ("acc_s0", "acc_s1", "acc_s2", "params", "flops")

    @property
    def name(self) -> str:
        return "nasbench_macro"

    def parse(self, text: str) -> Macro:
        return Macro(text)

    def facts(self, architecture: Macro) -> dict[str, float]:
        kept = [place for digit, place in zip(architecture.arch, places(CHANNELS), strict=True) if digit in CHOICES]
        return {
            "params": self.live_params(architecture),
            "flops": self.live_flops(architecture),
            "depth": len(kept),
            "width": CHANNELS,
            "skip_count": sum(place.keeps_shape for place in kept),
        }

    def live_params(self, architecture: Macro) -> int:
        """All: nothing in these networks is dead."""
        readout = CLASSES * (HEAD * CHANNELS + 1)
        return readout + sum(weights + 2 * outputs for weights, outputs, _ in _convolutions(architecture))

    def live_flops(self, architecture: Macro) -> int:
        adds = CLASSES * HEAD * CHANNELS + sum(weights * pixels**2 for weights, _, pixels in _convolutions(architecture))
        return 2 * adds

    def random(self, count: int, seed: int) -> list[Macro]:
        digits = np.random.default_rng(seed).integers(len(DIGITS), size=(count, BLOCKS))
        return [Macro("".join(DIGITS[digit] for digit in row)) for row in digits]

    def network(self, architecture: Macro, draws: Draws) -> nn.Module:
        return initialize(MacroNetwork(architecture), draws)

    def pullbacks(
        self, architectures: Sequence[Macro], images: Tensor, draws: Draws, channels: int, norms: bool
    ) -> Pullbacks:
        weights = drawn(draws)
        with torch.no_grad():
            h = stem(images, weights, channels)[:, None].repeat(1, len(architectures), 1, 1, 1)
        last = body(h.requires_grad_(), architectures, weights, channels)
        return pullbacks(h, last, features(last, weights, channels), draws, norms)


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
