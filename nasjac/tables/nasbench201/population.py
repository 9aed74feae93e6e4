"""Many cells of NAS-Bench-201 at once: weights shared, each operation evaluated once on the cells that use it.

What a cell's layers are is what its own `Network201` makes of the same weights, dead edges left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from nasjac.tables.nasbench201.network import EDGES, KERNELS, STAGES, Cell201
from nasjac.tables.pullbacks import Weights
from nasjac.tables.routed import Operation, convolve, each, normalize, routed


def stem(images: Tensor, weights: Weights, channels: int) -> Tensor:
    """h_0 [B, C, H, W], the same for every cell."""
    weight = weights("stem.0.weight", (channels, 3, 3, 3))
    return F.batch_norm(F.conv2d(images, weight, padding=1), None, None, training=True)


def body(h: Tensor, cells: Sequence[Cell201], weights: Weights, channels: int, repeats: int) -> Tensor:
    """h_L of `cells`, [B, P, 4 channels, H/4, W/4], from their h_0 [B, P, channels, H, W]."""
    labels = list(zip(*(cell.canonical.ops for cell in cells), strict=True))
    layer = 0
    for stage in range(STAGES):
        width = channels << stage
        if stage:
            h = _reduction(h, weights, f"body.{layer}", width)
            layer += 1
        for _ in range(repeats):
            h = _cell(h, labels, weights, f"body.{layer}", width)
            layer += 1
    return h


def features(h: Tensor) -> Tensor:
    """What the readout sees, [B, P, 4 channels], of h_L."""
    return F.relu(normalize(h)).mean((3, 4))


def _cell(x: Tensor, labels: Sequence[tuple[str, ...]], weights: Weights, name: str, width: int) -> Tensor:
    nodes = [x]
    for target in (1, 2, 3):
        node = torch.zeros_like(x)
        for edge, (source, end) in enumerate(EDGES):
            if end == target:
                for rows, out in routed(nodes[source], labels[edge], _operations(weights, f"{name}.ops.{edge}", width)):
                    node = node.index_add(1, rows, out)
        nodes.append(node)
    return nodes[3]


def _operations(weights: Weights, name: str, width: int) -> dict[str, Operation]:
    def block(kernel: int, x: Tensor) -> Tensor:
        return _relu_conv_norm(x, weights(f"{name}.1.weight", (width, width, kernel, kernel)))

    return {
        "skip_connect": lambda x: x,
        **{op: partial(block, kernel) for op, kernel in KERNELS.items()},
        "avg_pool_3x3": lambda x: each(x, lambda rows: F.avg_pool2d(rows, 3, 1, 1, count_include_pad=False)),
    }


def _relu_conv_norm(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    return normalize(convolve(F.relu(x), weight, stride))


def _reduction(x: Tensor, weights: Weights, name: str, width: int) -> Tensor:
    branch = _relu_conv_norm(x, weights(f"{name}.branch.0.1.weight", (width, width // 2, 3, 3)), 2)
    branch = _relu_conv_norm(branch, weights(f"{name}.branch.1.1.weight", (width, width, 3, 3)))
    halved = each(x, lambda rows: F.avg_pool2d(rows, 2, 2))
    return convolve(halved, weights(f"{name}.skip.1.weight", (width, width // 2, 1, 1))) + branch
