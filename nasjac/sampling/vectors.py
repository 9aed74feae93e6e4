"""Norms of vectors, their differences between tokens, and their cosines.

Letters: V vectors of an input, T tokens (1 of an MLP), N width, I inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sizes(vectors: Tensor, carried: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return log energies per unit [..., V] of vectors [..., V, T, N], in float64, and factors [..., V] that make them 1.

    A zero vector has energy −inf and factor 1, and so does one that is not `carried`.
    """
    flat = vectors.flatten(-2)
    size = torch.linalg.vector_norm(flat, dim=-1).square_().div_(flat.shape[-1])
    rescaled = size > 0 if carried is None else (size > 0) & carried
    return size.to(torch.float64).log(), torch.where(rescaled, size.rsqrt(), torch.ones_like(size))


def differential(vectors: Tensor) -> Tensor:
    """Return the log share [..., V] of ‖v‖², v [..., V, T, N], that differs between tokens; [..., 0] for a single one."""
    if vectors.shape[-2] == 1:
        return vectors.new_zeros(*vectors.shape[:-3], 0, dtype=torch.float64)
    apart, whole = (
        torch.linalg.vector_norm(each.flatten(-2), dim=-1).to(torch.float64).log()
        for each in (vectors - vectors.mean(-2, keepdim=True), vectors)
    )
    share: Tensor = 2 * (apart - whole)
    return share


def cosines(vectors: Tensor) -> Tensor:
    """Return [..., I, I] the cosines between vectors [..., I, N]."""
    unit = vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    cosines: Tensor = (unit[..., :, None, :] * unit[..., None, :, :]).sum(-1)
    return cosines


def output_decorrelation(outputs: Tensor) -> Tensor:
    """Return [...] 1 − cosine between the outputs [..., I, N] of two inputs, mean over pairs, in float64."""
    wide = outputs.to(torch.float64)
    unit = wide / torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    apart: Tensor = (unit - unit.mean(-2, keepdim=True)).square().sum((-2, -1))
    apart /= unit.shape[-2] - 1
    return apart
