"""Second moments over initializations: spread of log 𝒥, effective rank, and so E log 𝒥 beside log E 𝒥.

Letters: B architectures, L blocks, N width. T = tr J Jᵀ, p = E T² / N², q = E tr (J Jᵀ)² / N²; both obey a linear recursion
over blocks, with Gaussian weights. A branch B = W2 D W1 enters by its energy s and by the kurtosis ratio of the slopes,
e = E phi'⁴ / (E phi'²)² − 1 (0 for linear, 1 for relu).

Sources: Hanin & Nica 2020 and Li, Nica & Roy 2021 for log-normality of relu networks; the recursion is derived below.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nasjac.foundation.errors import InputError
from nasjac.mathematics.meanfield.chain import Trajectory, trajectory
from nasjac.mathematics.meanfield.columns import Columns, Mask, positive
from nasjac.mathematics.meanfield.moments import DERIVATIVE_FOURTHS, MOMENTS, Array


class Fluctuations(NamedTuple):
    """Of the norms over initializations, at finite width; natural logarithms.

    `forward`, `backward`  [B, L + 1] log E 𝒥² / (E 𝒥)² = ln(1 + cv²), from h_0 to h_l and from h_l to h_L: under the
                           log-normal law the variance of log 𝒥, and twice the gap between log E 𝒥 and E log 𝒥
    `log_effective_rank`   [B] log r / N of the whole, r = E T² / E tr (J Jᵀ)²
    `exact`                [B] whether the second moments hold at every finite width; elsewhere they are those of branches
                           whose slopes are independent of all else and whose norms divide by constants
    """

    forward: Array
    backward: Array
    log_effective_rank: Array
    exact: Mask


def fluctuations(
    columns: Columns, width: ArrayLike, stream_variance: ArrayLike = 1.0, hidden: ArrayLike | None = None
) -> Fluctuations:
    """Second moments of chains of `width` [B] units, whose two-matrix branches have `hidden` units (`width` unless given).

    Exact for chains whose mean is exact too (`Columns.exact`) as far as their gates are certain. Random gates are averaged
    block by block, each outcome in units of its own mean, so that the spread over gate patterns stays out of it.
    """
    units, inner = (
        positive(name, given, columns)
        for name, given in (("width", width), ("hidden", width if hidden is None else hidden))
    )
    if not (units >= 2).all():
        raise InputError(f"`width` must hold numbers of at least 2, got {float(units.min())!r}")
    maps = _maps(columns, trajectory(columns, stream_variance), units, inner)
    start = np.stack([np.ones_like(units), 1 / units])  # p and q of the identity
    state, log_scale, forward = start, np.zeros(len(columns)), [np.zeros(len(columns))]
    for block in maps:
        state = block[:, 0] * state[0] + block[:, 1] * state[1]
        log_scale, state = log_scale + np.log(state[0]), state / state[0]
        forward.append(log_scale)
    # the same products from the output side: rows (1, 0) M_L ... M_l on the identity's moments
    row, log_scale, backward = np.stack([np.ones_like(units), np.zeros_like(units)]), np.zeros(len(columns)), []
    for block in [*maps[::-1], None]:
        backward.append(log_scale + np.log((row * start).sum(axis=0)))
        if block is not None:
            row = row[0] * block[0] + row[1] * block[1]
            size = row.sum(axis=0)
            log_scale, row = log_scale + np.log(size), row / size
    log_effective_rank = -np.log(state[1] * units)
    exact = columns.exact & ~columns.random_gates
    return Fluctuations(np.stack(forward, axis=1), np.stack(backward[::-1], axis=1), log_effective_rank, exact)


def _maps(columns: Columns, along: Trajectory, width: Array, hidden: Array) -> Array:
    """[L, 2, 2, B] the blocks' maps of (p, q), in units of the square of the block's mean factor."""
    excess = columns.by_activation(
        lambda name, q: DERIVATIVE_FOURTHS[name](q) / MOMENTS[name](q).derivative_second ** 2 - 1, along.q
    )
    keep, skip, identity = columns.keep.T, columns.skip.T, columns.strength.T**2
    unit = np.broadcast_to(np.eye(2)[None, :, :, None], (len(keep), 2, 2, len(width)))
    joined = _block_map(identity, along.energy, excess, columns.two_matrix, width, hidden)
    cut = _block_map(0 * identity, np.where(along.energy > 0, along.energy, 1.0), excess, columns.two_matrix, width, hidden)
    weights = (1 - keep, keep * skip, keep * (1 - skip))
    return np.asarray(sum(w[:, None, None] * m for w, m in zip(weights, (unit, joined, cut), strict=True)))


def _block_map(m: Array, s: Array, e: Array, two: Mask, n: Array, hidden: Array) -> Array:
    """[L, 2, 2, B] of x' = μ x + B x with m = μ², E tr (B M Bᵀ) = s tr M, divided by (m + s)².

    M' = m M + μ (B M + M Bᵀ) + B M Bᵀ. Odd powers of B vanish (W2 is symmetric), which leaves, with p for E (tr M)²/n²,
    p' = m² p + 2 m s p + 4 m E(tr B M)² + E(tr B M Bᵀ)² and
    q' = m² q + 2 m [E tr BMBM + E tr B M² Bᵀ + E tr M B M Bᵀ] + E tr (B M Bᵀ)², where
      E(tr B M)² = s q / n,  E tr BMBM = s q / n,  E tr B M² Bᵀ = s q,  E tr M B M Bᵀ = s p / n.
    B M Bᵀ = W2 A W2ᵀ with A = D W1 M W1ᵀ D (or D M D): E(tr A)² and E tr A² are a1 and a2 below, in units of A's scale;
    slopes have E d_i² d_j² = 1 + e δ_ij in units of theirs, which weighs the diagonal, E Σ A_ii²: (p + 2 q) / hidden after
    a Gaussian W1, (p + 2 q) / (n + 2) for a bare M that is invariant under rotations.
    """
    diagonal = np.where(two, 1 / hidden, 1 / (n + 2)) * e
    inner = np.where(two, 1 / hidden, 0.0)
    a1 = np.stack([1 + diagonal, 2 * (inner + diagonal)])  # coefficients of p and q
    a2 = np.stack([inner + diagonal, 1 + inner + 2 * diagonal])
    p = [m**2 + 2 * m * s, 4 * m * s / n] + s**2 * (a1 + 2 / n * a2)
    q = [2 * m * s / n, m**2 + 2 * m * s * (1 + 1 / n)] + s**2 * ((1 + 1 / n) * a2 + a1 / n)
    return np.asarray(np.stack([p, q]).transpose(2, 0, 1, 3) / ((m + s) ** 2)[:, None, None])
