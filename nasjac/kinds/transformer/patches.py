"""An image as a sequence of patches (Dosovitskiy et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def patches(images: Tensor, shape: Sequence[int], size: int) -> Tensor:
    """Return images [..., channels × rows × columns] as patches [..., T, channels × size × size], row by row."""
    channels, rows, columns = shape
    cut = images.reshape(*images.shape[:-1], channels, rows // size, size, columns // size, size)
    first = images.ndim - 1
    order = (*range(first), first + 1, first + 3, first, first + 2, first + 4)
    return cut.permute(order).flatten(first + 2).flatten(first, first + 1)
