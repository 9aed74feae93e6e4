"""Gram matrices of tokens that may collapse onto one another, and what attention, norms and factors do to them.

As tokens collapse their differences fall below the rounding errors of a Gram matrix's entries. So it is carried as a level
and two kinds of difference, G_tt' = level - (below_t + below_t')/2 - apart_tt', and no step subtracts what is nearly equal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nasjac.mathematics.meanfield.moments import Array


class Gram(NamedTuple):
    """level - (below_t + below_t')/2 - apart_tt', where token 0 has below = 0: the level is its own entry."""

    level: float
    below: Array
    apart: Array

    @property
    def diagonal(self) -> Array:
        """G_tt, [T]."""
        return self.level - self.below


class Factor(NamedTuple):
    """A symmetric matrix F that multiplies a Gram entry by entry: its diagonal [T] and deficit_tt' = F_tt - F_tt'."""

    diagonal: Array
    deficit: Array

    @property
    def matrix(self) -> Array:
        """F_tt', [T, T]."""
        return self.diagonal[:, None] - self.deficit


def polar(gram: Gram) -> tuple[Array, Array, Array]:
    """Token norms r_t [T], r_t - r_t' and r_t r_t' - G_tt' [T, T]."""
    root = np.sqrt(gram.diagonal)
    radial = (gram.below - gram.below[:, None]) / (root[:, None] + root)
    return root, radial, np.maximum(gram.apart - radial**2 / 2, 0.0)  # negative by rounding alone


def normed(gram: Gram) -> tuple[Gram, Factor]:
    """The Gram of the tokens divided by their norms, and the factor 1/(r_t r_t')."""
    root, radial, gap = polar(gram)
    unit = Gram(1.0, np.zeros_like(root), gap / (root[:, None] * root))
    return unit, Factor(root**-2, -radial / (root[:, None] ** 2 * root))


def separation(gram: Gram) -> float:
    """The mean of 1 - ρ over pairs of tokens."""
    apart = normed(gram)[0].apart
    return float(apart.sum() / (apart.size - len(apart)))


def times(factor: Factor, gram: Gram) -> Gram:
    """F ∘ G."""
    diagonal, deficit = factor
    lower = deficit * gram.diagonal[:, None]
    below = diagonal * gram.below + (deficit[0] - deficit[:, 0]) * gram.level  # F_00 - F_tt
    return Gram(float(diagonal[0] * gram.level), below, factor.matrix * gram.apart + (lower + lower.T) / 2)


def times_adjoint(factor: Factor, y: Array, z: Array) -> tuple[Array, Array]:
    """The transpose of `times` in (diagonal, apart)."""
    return factor.diagonal * y + (factor.deficit * z).sum(axis=-1), factor.matrix * z


def chain(one: Factor, other: Factor) -> Factor:
    """The product of two factors."""
    deficit = one.diagonal[:, None] * other.deficit + one.deficit * other.matrix
    return Factor(one.diagonal * other.diagonal, deficit)


def summed(one: Factor, other: Factor) -> Factor:
    """The sum of two factors."""
    return Factor(one.diagonal + other.diagonal, one.deficit + other.deficit)


def added(one: Gram, other: Gram) -> Gram:
    """The sum of two Grams."""
    return Gram(one.level + other.level, one.below + other.below, one.apart + other.apart)


def scaled(gram: Gram, by: float) -> Gram:
    """A Gram times a number."""
    return Gram(gram.level * by, gram.below * by, gram.apart * by)


def attend(weights: Array, gram: Gram) -> Gram:
    """A G Aᵀ. Rows of A sum to one, so that only A apart Aᵀ =: C mixes, and apart becomes C_tt' - (C_tt + C_t't')/2."""
    if _equal_rows(weights):
        zeros = np.zeros_like(gram.apart)
        return Gram(float(gram.level - gram.below.mean() - gram.apart.mean()), zeros[0], zeros)
    mixed = _symmetric(weights @ gram.apart @ weights.T)
    own = mixed.diagonal()
    below = weights @ gram.below + own
    return Gram(float(gram.level - below[0]), below - below[0], mixed - (own[:, None] + own) / 2)


def attend_adjoint(weights: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """The transpose of `attend` in (diagonal, apart)."""
    if _equal_rows(weights):
        return y @ weights, np.zeros_like(z) - y.sum(axis=-1)[:, None, None] / len(weights) ** 2
    own = z.sum(axis=-1) + y
    return y @ weights, _symmetric(weights.T @ (z - own[:, :, None] * np.eye(len(weights))) @ weights)


def _equal_rows(weights: Array) -> bool:
    """Whether attention makes all tokens equal: then their differences are zero, not what rounding leaves of them."""
    return bool(weights[0, -1] > 0)


def _symmetric(matrices: Array) -> Array:
    """Without the antisymmetric rounding, which under causal attention outgrows what it rounds."""
    return (matrices + np.swapaxes(matrices, -2, -1)) / 2
