"""Linear systems by minimal residuals, many at once, from products with their matrices alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: a residual that shrank less than by this factor is no good next direction
SHRINKS = 0.9


def minimal_residual(
    product: Callable[[Tensor], Tensor], right: Tensor, tolerance: Tensor | float, most: int
) -> tuple[Tensor, Tensor]:
    """Return x [G, n] with A_g x_g = `right`_g in each row, and the norms [G] of the residuals.

    `product` maps [G, n] to the A_g x_g. A row is left alone once its residual is at most `tolerance` (one, or [G]) times
    its right side; after `most` products, or n, all end as they are. The iterates are those of GMRES without restart (Saad
    & Schultz 1986), kept as residuals and not as a Hessenberg matrix. The next direction is the residual where it shrank,
    and the last image where it did not, which keeps the basis well conditioned (Jiránek & Rozložník 2010).
    """
    x, left, tiny = torch.zeros_like(right), right, torch.finfo(right.dtype).tiny
    bound = tolerance * _norm(right)
    direction, size = right, _norm(right)
    images = directions = right.new_zeros(len(right), 0, right.shape[1])  # [G, k, n]
    for _ in range(min(most, right.shape[1])):
        living = size > bound  # not so where it is not finite
        if not living.any():
            break
        direction = direction / _norm(direction).clamp_min(tiny)[:, None]
        image = product(direction)
        for _ in range(2):  # a single pass leaves rounding errors of what cancels
            along = torch.einsum("gkn,gn->gk", images, image)
            image = image - torch.einsum("gk,gkn->gn", along, images)
            direction = direction - torch.einsum("gk,gkn->gn", along, directions)
        length = _norm(image).clamp_min(tiny)[:, None]
        image, direction = image / length, direction / length
        images, directions = (
            torch.cat([kept, new[:, None]], dim=1) for kept, new in ((images, image), (directions, direction))
        )
        share = torch.where(living, (image * left).sum(1), 0.0)[:, None]
        x, left = x + share * direction, left - share * image
        before, size = size, _norm(left)
        direction = torch.where((size < SHRINKS * before)[:, None], left, image)
    return x, size


def _norm(vectors: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return norm
