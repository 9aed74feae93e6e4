"""nasbench201: the 15,625 cells of NAS-Bench-201, as a table of trained networks (Dong & Yang, ICLR 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from nasjac.foundation.errors import InputError
from nasjac.sampling.draws import Draws
from nasjac.tables.nasbench201.network import (
    CHANNELS,
    EDGES,
    FORM,
    KERNELS,
    OPS,
    PIXELS,
    REPEATS,
    STAGES,
    Cell201,
    Network201,
    Reduction,
    body,
    head,
    operation,
    stem,
    through_cell,
)
from nasjac.tables.network_space import NetworkSpace
from nasjac.tables.networks import lifted, prepared, routed

#: characters of a cell as a string, at most
LONGEST = 200
#: parameters of the network without convolutions in its cells (ten classes), and of one such in all fifteen cells
BARE_PARAMS = 73_306
OP_PARAMS = {"nor_conv_3x3": 243_040, "nor_conv_1x1": 28_000}


@dataclass(frozen=True)
class NasBench201(NetworkSpace):
    """A CSV file with a column `arch_str`, such as |nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|,
    and `cifar10_test` (or `target=COLUMN`): what training gave. `cifar100_test` is reported beside it if there.
    """

    shape: ClassVar[tuple[int, int, int]] = (3, PIXELS, PIXELS)
    column: ClassVar[str] = "arch_str"
    targets: ClassVar[tuple[str, ...]] = ("cifar10_test", "cifar100_test", "imagenet16_test")
    others: ClassVar[tuple[str, ...]] = ("index", "params", "flops_m")

    name = "nasbench201"

    def parse(self, text: str) -> Cell201:
        """The cell of a string `FORM`. InputError: another form, an unknown operation."""
        if len(text) > LONGEST:  # taken apart in a time that grows with the square of its length
            raise InputError(f"`arch` must be of the form {FORM}, got {len(text)} characters")
        return Cell201.from_arch(text)

    def facts(self, architecture: Cell201) -> dict[str, float]:
        """Of the trained network; depth is convolutions on the path that has most of them."""
        return {
            "params": _params(architecture),
            "flops": _flops(architecture),
            "depth": REPEATS * STAGES * _longest(architecture),
            "width": CHANNELS,
            "skip_count": REPEATS * STAGES * architecture.ops.count("skip_connect"),
        }

    def live_flops(self, architecture: Cell201) -> int:
        """FLOPs without dead edges; 0 where no path is left."""
        return _flops(architecture.canonical) if any(architecture.live) else 0

    def random(self, count: int, seed: int) -> list[Cell201]:
        """Cells drawn uniformly, maybe some twice."""
        drawn_ops = np.random.default_rng(seed).integers(len(OPS), size=(count, len(EDGES)))
        return [Cell201(tuple(OPS[op] for op in ops)) for ops in drawn_ops]

    def build(self, architecture: Cell201) -> Network201:
        """The network of 15 cells for ten classes."""
        return Network201(architecture)

    def ends(self, channels: int) -> tuple[nn.Module, nn.Module]:
        """Stem and head."""
        return stem(channels), head(channels)

    def body(self, h: Tensor, architectures: Sequence[Cell201], draws: Draws, channels: int, repeats: int = 1) -> Tensor:
        """h_L of networks of one cell a stage, a fifth of the trained network's depth, dead edges left out."""
        labels = list(zip(*(cell.canonical.ops for cell in architectures), strict=True))
        for number, layer in enumerate(body(Cell201(("none",) * len(EDGES)), channels, repeats)):
            if isinstance(layer, Reduction):
                h = lifted(prepared(layer, f"body.{number}.", draws), h)
            else:
                h = through_cell(h, partial(self._operated, labels, f"body.{number}.ops.", draws))
        return h

    @staticmethod
    def _operated(labels: Sequence[Sequence[str]], prefix: str, draws: Draws, edge: int, node: Tensor) -> Tensor:
        modules = {op: operation(op, node.shape[2]) for op in OPS if op in labels[edge] and op != "none"}
        ready = {op: partial(lifted, prepared(module, f"{prefix}{edge}.", draws)) for op, module in modules.items()}
        return routed(node, labels[edge], ready)


def _params(cell: Cell201) -> int:
    return BARE_PARAMS + sum(OP_PARAMS.get(op, 0) for op in cell.ops)


def _flops(cell: Cell201) -> int:
    """Of one image, convolutions and readout alone."""
    taps = sum(KERNELS.get(op, 0) ** 2 for op in cell.ops)
    adds = 3 * 9 * CHANNELS * PIXELS**2 + (CHANNELS << (STAGES - 1)) * 10
    for stage in range(STAGES):
        width, pixels = CHANNELS << stage, (PIXELS >> stage) ** 2
        adds += REPEATS * taps * width**2 * pixels
        if stage:
            adds += (9 * width * width // 2 + 9 * width**2 + width * width // 2) * pixels
    return 2 * adds


def _longest(cell: Cell201) -> int:
    """Convolutions on the path that has most of them, from input to output; 0 where no path is."""
    reached = {0: 0}
    for op, (source, target) in zip(cell.canonical.ops, EDGES, strict=True):
        if op != "none" and source in reached:
            reached[target] = max(reached.get(target, 0), reached[source] + (op in KERNELS))
    return reached.get(3, 0)
