"""Largest singular values of linear maps known by their products alone: Golub–Kahan–Lanczos bidiagonalization.

After k steps A V = U B and Aᵀ U = V Bᵀ + β v e_kᵀ with orthonormal V [n, k], U [m, k] and B upper bidiagonal. With the
largest singular triple (σ, p, q) of B the residual ‖Aᵀ U p − σ V q‖ is β |p_k|, and A has a singular value that near to
σ ≤ ‖A‖₂. A random start has a part along the top singular vector, so that it is the largest but for a vanishing probability
(Kuczyński & Woźniakowski 1992); the error of σ is then of the order of the residual squared over the gap.

Letters: B maps at once, n inputs and m outputs of each, k steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nasjac.foundation.arguments import instance, number, shown, whole
from nasjac.foundation.errors import InputError

#: vectors [B, n] to vectors [B, m], or back: row b by map b
Product = Callable[[Tensor], Tensor]
#: a vector whose norm is below this share of the largest norm so far is only rounding
NOTHING = {torch.float32: 1e-6, torch.float64: 1e-14}


class Spectral(NamedTuple):
    """‖A‖₂ of each map from below [B], its residual [B], and how many products with A (and with Aᵀ) were taken."""

    norm: Tensor
    residual: Tensor
    steps: int


def spectral_norms(
    product: Product, transposed: Product, start: Tensor, rel_error: float = 0.01, most: int | None = None
) -> Spectral:
    """Return the largest singular values of B maps, with every residual at most `rel_error` times the norm.

    Both bases are orthogonalized in full, twice. Memory: (n + m) k numbers a map.

    Args:
        product: Maps vectors [B, n] to A v [B, m].
        transposed: Maps vectors [B, m] to Aᵀ u [B, n].
        start: [B, n] random vectors.
        rel_error: The largest residual, as a share of the norm, in (0, 1).
        most: The largest number of steps; by default min(n, m + 1), after which B has all singular values.

    Raises:
        InputError: An argument is out of range or of another shape.
    """
    rel_error = number("rel_error", rel_error)
    if not 0 < rel_error < 1:
        raise InputError(f"`rel_error` must be a number in (0, 1), got {rel_error!r}")
    most = None if most is None else whole("most", most, 1)
    if instance("start", start, Tensor, "a tensor").ndim != 2 or not start.shape[1]:
        raise InputError(f"`start` must be vectors [maps, n], got shape {tuple(start.shape)}")
    if start.dtype not in NOTHING:
        raise InputError(f"`start` must be float32 or float64, got {start.dtype}")
    for name, given in (("product", product), ("transposed", transposed)):
        if not callable(given):
            raise InputError(f"`{name}` must be a function of vectors [maps, n], got {shown(given)}")
    right, _ = _unit(start, start.new_zeros(len(start)))
    image = product(right)
    if not isinstance(image, Tensor) or image.ndim != 2 or len(image) != len(start):
        raise InputError(f"`product` must give vectors [maps, m] for `start` {[*start.shape]}, got {shown(image)}")
    most = min(start.shape[1], image.shape[1] + 1, most or start.shape[1])
    left, alpha = _unit(image, image.new_zeros(len(image)))
    V, U, diagonal, beside = [right], [left], [alpha], list[Tensor]()
    while True:
        largest = torch.stack(diagonal).amax(0)
        right, beta = _unit(_orthogonal(transposed(U[-1]) - diagonal[-1][:, None] * V[-1], V), largest)
        norm, residual = _top(diagonal, beside, beta)
        if len(V) == most or bool((residual <= rel_error * norm).all()):
            return Spectral(norm, residual, len(V))
        left, alpha = _unit(_orthogonal(product(right) - beta[:, None] * U[-1], U), largest)
        V, U, diagonal, beside = [*V, right], [*U, left], [*diagonal, alpha], [*beside, beta]


def _top(diagonal: list[Tensor], beside: list[Tensor], beta: Tensor) -> tuple[Tensor, Tensor]:
    """The largest singular value of B and its residual, [B] each."""
    matrix = torch.diag_embed(torch.stack(diagonal, dim=1).double())
    if beside:
        matrix = matrix + torch.diag_embed(torch.stack(beside, dim=1).double(), offset=1)
    left, values, _ = torch.linalg.svd(matrix)
    return values[:, 0], beta.double() * left[:, -1, 0].abs()


def _orthogonal(vectors: Tensor, basis: list[Tensor]) -> Tensor:
    stacked = torch.stack(basis, dim=1)
    for _ in range(2):
        vectors = vectors - torch.einsum("bk,bkn->bn", torch.einsum("bkn,bn->bk", stacked, vectors), stacked)
    return vectors


def _unit(vectors: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors at norm 1 and their norms; a vector that is only rounding becomes zero, for the space is exhausted."""
    norm = torch.linalg.vector_norm(vectors, dim=1)
    norm = torch.where(norm > NOTHING[vectors.dtype] * largest, norm, 0.0)
    return torch.where(norm > 0, 1 / norm, 0.0)[:, None] * vectors, norm
