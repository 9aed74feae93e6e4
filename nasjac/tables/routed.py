"""Operations on a population of image networks at once, each on the rows that use it; BatchNorm sees one network at a time.

Letters: B images, P networks (r of them where an operation is used by some), C channels, H rows and W columns of pixels.
Layers are [B, P, C, H, W]: images before networks, so that the channels of all networks are one BatchNorm's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Operation = Callable[[Tensor], Tensor]


def normalize(x: Tensor) -> Tensor:
    """BatchNorm in training mode without gain and bias, over the images and pixels of each network."""
    return F.batch_norm(x.flatten(1, 2), None, None, training=True).reshape(x.shape)


def convolve(x: Tensor, weight: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    """The same convolution of all networks, zeros around the image."""
    return each(x, lambda rows: F.conv2d(rows, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups))


def each(x: Tensor, operation: Operation) -> Tensor:
    """An operation [n, C, H, W] -> [n, C', H', W'] on every image of every network."""
    out = operation(x.flatten(0, 1))
    return out.reshape(*x.shape[:2], *out.shape[1:])


def routed(x: Tensor, labels: Sequence[str], operations: Mapping[str, Operation]) -> list[tuple[Tensor, Tensor]]:
    """(rows [r], output [B, r, C', H', W']) of each operation that some label names, applied once to all of its rows.

    A label without an operation stands for zero.
    """
    found = []
    for label, operation in operations.items():
        rows = [row for row, own in enumerate(labels) if own == label]
        if rows:
            index = torch.tensor(rows, device=x.device)
            found.append((index, operation(x if len(rows) == len(labels) else x.index_select(1, index))))
    return found
