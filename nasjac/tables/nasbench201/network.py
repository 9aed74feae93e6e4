"""Cells of NAS-Bench-201: what they are, which of their edges matter, and the network that stacks them.

Dong & Yang, "NAS-Bench-201: extending the scope of reproducible neural architecture search", ICLR 2020: four nodes, each
the sum of one operation on every earlier node. A stem, three stages of `repeats` equal cells at 1, 2 and 4 times
`channels`, a residual block of stride 2 between stages, then BatchNorm, ReLU, mean over pixels and a linear readout.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add

import torch
from torch import Tensor, nn

from nasjac.foundation.errors import InputError
from nasjac.tables.networks import StackedNetwork, Sum

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
#: source and target node of each edge, in the order of the string; node 0 is the cell's input, node 3 its output
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
STAGES, CHANNELS, REPEATS, PIXELS = 3, 16, 5, 32
FORM = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"


@dataclass(frozen=True)
class Cell201:
    """One cell: the operation of each of `EDGES`.

    >>> Cell201.from_arch("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|").live
    (False, False, False, True, False, False)
    """

    ops: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", tuple(self.ops))
        if len(self.ops) != len(EDGES):
            raise InputError(f"`ops` must be one operation for each of {len(EDGES)} edges, got {len(self.ops)}")
        for op in self.ops:
            if op not in OPS:
                raise InputError(f"`arch` must have operations among {', '.join(OPS)}, got {op!r}")

    @staticmethod
    def from_arch(text: str) -> Cell201:
        """The cell of a string `FORM`. InputError: another form, an operation that is not one of `OPS`."""
        nodes = [re.findall(r"([^|~]+)~(\d)\|", node) for node in text.split("+")]
        ops = tuple(op for node in nodes for op, _ in node)
        cell = Cell201(ops) if len(ops) == len(EDGES) else None
        if cell is None or cell.arch != text:
            raise InputError(f"`arch` must be of the form {FORM}, got {text!r}")
        return cell

    @property
    def arch(self) -> str:
        """The string of the published table."""
        words = [f"{op}~{source}|" for op, (source, _) in zip(self.ops, EDGES, strict=True)]
        return "+".join("|" + "".join(words[start:end]) for start, end in ((0, 1), (1, 3), (3, 6)))

    @cached_property
    def live(self) -> tuple[bool, ...]:
        """Of each edge, whether it lies on a path from the cell's input to its output: no other has a Jacobian."""
        reached, needed = {0}, {3}
        for op, (source, target) in zip(self.ops, EDGES, strict=True):  # sources ascend with targets
            if op != "none" and source in reached:
                reached.add(target)
        for op, (source, target) in reversed(list(zip(self.ops, EDGES, strict=True))):
            if op != "none" and target in needed:
                needed.add(source)
        ends = zip(self.ops, EDGES, strict=True)
        return tuple(op != "none" and source in reached and target in needed for op, (source, target) in ends)

    @cached_property
    def canonical(self) -> Cell201:
        """The same function of its input: edges that do not matter are none."""
        return Cell201(tuple(op if live else "none" for op, live in zip(self.ops, self.live, strict=True)))

    @cached_property
    def key(self) -> str:
        """Content key: 12 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical.to_json().encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """JSON of the string, keys sorted."""
        return json.dumps({"arch": self.arch, "kind": "cell201"}, sort_keys=True, separators=(",", ":"))


class ReluConvNorm(nn.Sequential):
    """ReLU, a convolution without bias, BatchNorm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        super().__init__(nn.ReLU(), conv, nn.BatchNorm2d(outputs))


class CellLayer(nn.Module):
    """One cell as a layer, dead operations included, as in the published networks."""

    def __init__(self, cell: Cell201, channels: int) -> None:
        super().__init__()
        self.ops = nn.ModuleDict({str(e): operation(op, channels) for e, op in enumerate(cell.ops) if op != "none"})

    def forward(self, x: Tensor) -> Tensor:
        return through_cell(
            x, lambda edge, node: self.ops[str(edge)](node) if str(edge) in self.ops else torch.zeros_like(node)
        )


def through_cell(x: Tensor, operate: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Return node 3 of a cell, whose node 0 is `x`, from what each edge, by its place in `EDGES`, makes of its source."""
    nodes = [x]
    for target in (1, 2, 3):
        arriving = [operate(edge, nodes[source]) for edge, (source, end) in enumerate(EDGES) if end == target]
        nodes.append(reduce(add, arriving))
    return nodes[3]


class Reduction(Sum):
    """The residual block between stages: half the rows and columns, twice the channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.skip = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(inputs, outputs, 1, bias=False))
        self.branch = nn.Sequential(ReluConvNorm(inputs, outputs, 3, 2), ReluConvNorm(outputs, outputs, 3))


def stem(channels: int) -> nn.Sequential:
    """The layers before h_0."""
    return nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))


def body(cell: Cell201, channels: int, repeats: int) -> Iterator[Reduction | CellLayer]:
    """The layers from h_0 to h_L."""
    for stage in range(STAGES):
        width = channels << stage
        if stage:
            yield Reduction(width // 2, width)
        yield from (CellLayer(cell, width) for _ in range(repeats))


def head(channels: int) -> nn.Sequential:
    """The layers from h_L to what the readout sees."""
    width = channels << STAGES - 1
    return nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Network201(StackedNetwork):
    """The network of a cell."""

    def __init__(self, cell: Cell201, channels: int = CHANNELS, repeats: int = REPEATS, outputs: int = 10) -> None:
        layers = nn.Sequential(*body(cell, channels, repeats))
        super().__init__(stem(channels), layers, head(channels), channels << STAGES - 1, outputs)


def operation(op: str, channels: int) -> nn.Module:
    """The module of an operation that is not none."""
    if op == "avg_pool_3x3":
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    return ReluConvNorm(channels, channels, KERNELS[op]) if op in KERNELS else nn.Identity()
