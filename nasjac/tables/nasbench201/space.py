"""nasbench201: the 15,625 cells of NAS-Bench-201, as a table of trained networks (Dong & Yang, ICLR 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
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
)
from nasjac.tables.nasbench201.population import body, features, stem
from nasjac.tables.pullbacks import Pullbacks, drawn, initialize, pullbacks

#: characters of a cell as a string, at most
LONGEST = 200
#: parameters of the network without convolutions in its cells (ten classes), and of one such in all fifteen cells
BARE_PARAMS = 73_306
OP_PARAMS = {"nor_conv_3x3": 243_040, "nor_conv_1x1": 28_000}


@dataclass(frozen=True)
class NasBench201:
    """A CSV file with a column `arch_str`, such as |nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|,
    and `cifar10_test` (or `target=COLUMN`): what training gave. `cifar100_test` is reported beside it if there.
    """

    shape: ClassVar[tuple[int, int, int]] = (3, PIXELS, PIXELS)
    column: ClassVar[str] = "arch_str"
    targets: ClassVar[tuple[str, ...]] = ("cifar10_test", "cifar100_test", "imagenet16_test")
    others: ClassVar[tuple[str, ...]] = ("index", "params", "flops_m")

    @property
    def name(self) -> str:
        return "nasbench201"

    def parse(self, text: str) -> Cell201:
        if len(text) > LONGEST:  # taken apart in a time that grows with the square of its length
            raise InputError(f"`arch` must be of the form {FORM}, got {len(text)} characters")
        return Cell201.from_arch(text)

    def facts(self, architecture: Cell201) -> dict[str, float]:
        return {
            "params": _params(architecture),
            "flops": _flops(architecture),
            "depth": REPEATS * STAGES * _longest(architecture),
            "width": CHANNELS,
            "skip_count": REPEATS * STAGES * architecture.ops.count("skip_connect"),
        }

    def live_params(self, architecture: Cell201) -> int:
        return _params(architecture.canonical) if any(architecture.live) else 0

    def live_flops(self, architecture: Cell201) -> int:
        return _flops(architecture.canonical) if any(architecture.live) else 0

    def random(self, count: int, seed: int) -> list[Cell201]:
        drawn_ops = np.random.default_rng(seed).integers(len(OPS), size=(count, len(EDGES)))
        return [Cell201(tuple(OPS[op] for op in ops)) for ops in drawn_ops]

    def network(self, architecture: Cell201, draws: Draws) -> nn.Module:
        return initialize(Network201(architecture), draws)

    def pullbacks(
        self, architectures: Sequence[Cell201], images: Tensor, draws: Draws, channels: int, norms: bool
    ) -> Pullbacks:
        """One cell a stage: a fifth of the network's depth."""
        weights = drawn(draws)
        with torch.no_grad():
            h = stem(images, weights, channels)[:, None].repeat(1, len(architectures), 1, 1, 1)
        last = body(h.requires_grad_(), architectures, weights, channels, repeats=1)
        return pullbacks(h, last, features(last), draws, norms)


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
