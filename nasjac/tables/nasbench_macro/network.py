"""Networks of NAS-Bench-Macro: eight blocks, each an identity or an inverted residual of one of two sizes.

Su et al., "Prioritized architecture sampling with Monto-Carlo tree search", CVPR 2021: a stem, stages of 2, 3 and 3 blocks
at 2, 4 and 8 times `channels`, the first of a stage with stride 2, a 1x1 convolution to 40 times `channels`, mean over
pixels, a linear readout.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from torch import nn

from nasjac.foundation.errors import InputError
from nasjac.tables.networks import StackedNetwork, Sum

STAGES = (2, 3, 3)
BLOCKS = sum(STAGES)
CHANNELS, HEAD, PIXELS = 32, 40, 32
#: digit -> kernel and expansion of its inverted residual; 0 is the identity
CHOICES = {"1": (3, 3), "2": (5, 6)}
DIGITS = ("0", *CHOICES)


@dataclass(frozen=True)
class Macro:
    """One network: a digit for each of its blocks."""

    arch: str

    def __post_init__(self) -> None:
        if len(self.arch) != BLOCKS or not set(self.arch) <= set(DIGITS):
            raise InputError(f"`arch` must be {BLOCKS} digits among {', '.join(DIGITS)}, got {self.arch!r}")

    @cached_property
    def key(self) -> str:
        """Content key: 12 hexadecimal digits of the SHA-256 of the JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """JSON of the digits, keys sorted."""
        return json.dumps({"arch": self.arch, "kind": "macro"}, sort_keys=True, separators=(",", ":"))


class Place(NamedTuple):
    """Where a block stands: its channels, its stride, rows and columns of its input."""

    inputs: int
    outputs: int
    stride: int
    pixels: int

    @property
    def keeps_shape(self) -> bool:
        """Whether the block can be the identity."""
        return self.stride == 1


def places(channels: int, pixels: int = PIXELS) -> list[Place]:
    """The places of the eight blocks."""
    found, width = [], channels
    for count in STAGES:
        found.append(Place(width, 2 * width, 2, pixels))
        width, pixels = 2 * width, pixels // 2
        found += [Place(width, width, 1, pixels)] * (count - 1)
    return found


class Block(Sum):
    """An inverted residual (Sandler et al. 2018), or what stands for the identity where the shape changes."""

    def __init__(self, digit: str, place: Place) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        if digit in CHOICES:
            kernel, expansion = CHOICES[digit]
            hidden = expansion * place.inputs
            self._append(place.inputs, hidden, 1)
            self.layers.append(nn.ReLU6())
            self._append(hidden, hidden, kernel, place.stride, hidden)
            self.layers.append(nn.ReLU6())
            self._append(hidden, place.outputs, 1)
            if place.keeps_shape:
                self.skip = nn.Identity()
        elif not place.keeps_shape:
            self._append(place.inputs, place.outputs, 1, place.stride)

    def _append(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.layers.extend([conv, nn.BatchNorm2d(outputs)])


def stem(channels: int) -> nn.Sequential:
    """The layers before h_0."""
    return nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU6())


def head(channels: int) -> nn.Sequential:
    """The layers from h_L to what the readout sees."""
    width = HEAD * channels
    conv = nn.Conv2d(places(channels)[-1].outputs, width, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class MacroNetwork(StackedNetwork):
    """The network of eight digits."""

    def __init__(self, macro: Macro, channels: int = CHANNELS, outputs: int = 10) -> None:
        layers = nn.Sequential(*map(Block, macro.arch, places(channels)))
        super().__init__(stem(channels), layers, head(channels), HEAD * channels, outputs)
