"""The Jacobian of a norm itself: its energy, its singular values, when it contracts, and so what a post-norm block does.

Vectors x are [..., N], N units last; `eps` is added to the variance (layer norm) or mean square (rms norm). With
σ² = var + eps and x̂ = (x - mean) / σ the layer norm has J = (I - 11ᵀ/N - x̂x̂ᵀ/N) / σ; the rms norm has no mean, no 11ᵀ,
and r² = mean x² + eps for σ². Norms: Ba, Kiros & Hinton 2016 (arXiv:1607.06450); Zhang & Sennrich 2019 (arXiv:1910.07467).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasjac.foundation.errors import InputError

Array = NDArray[np.float64]


def layernorm_energy(x: ArrayLike, eps: float, gain: ArrayLike = 1.0) -> Array:
    """[...] ‖J‖_F² of the layer norm at x, times the gains (one, or one a unit); [(N-2) + (eps/σ²)²]/σ² without gains.

    >>> layernorm_energy([1, 2, 4, -3, 0.5], eps=0.01).round(9).tolist()
    0.571429262
    """
    return _energy(*_moments(x, eps, centred=True), eps, gain, killed=2)


def rmsnorm_energy(x: ArrayLike, eps: float, gain: ArrayLike = 1.0) -> Array:
    """[...] ‖J‖_F² of the rms norm at x, times the gains (one, or one a unit); [(N-1) + (eps/r²)²]/r² without gains.

    >>> rmsnorm_energy([1, 2, 4, -3, 0.5], eps=0.01).round(9).tolist()
    0.660066456
    """
    return _energy(*_moments(x, eps, centred=False), eps, gain, killed=1)


def layernorm_contracts(x: ArrayLike, eps: float, gain: float = 1.0) -> NDArray[np.bool_]:
    """[...] whether the layer norm lengthens no tangent at x (largest singular value at most 1): just when σ(x) >= |gain|.

    It multiplies the energy of all directions but two by gain²/σ², so it is the spread of what enters that decides: behind
    embeddings of standard deviation 0.02 the energy grows 2500-fold. A vector of gains: take the largest; that suffices.

    >>> layernorm_contracts([[0.0, 2.0, 4.0], [0.0, 0.2, 0.4]], eps=0.0).tolist()
    [True, False]
    """
    vector, square = _moments(x, eps, centred=True)
    if vector.shape[-1] < 3:  # with two units no direction is left at 1/σ
        raise InputError(f"`x` must have at least 3 units, got {vector.shape[-1]}")
    return np.asarray(np.sqrt(square[..., 0]) >= abs(gain))


def post_norm_factor(a: ArrayLike, c: ArrayLike, alpha: ArrayLike = 1.0) -> Array:
    """Energy factor of the block LN(alpha x + F(x)) on a stream of unit variance: (alpha² + a) / (alpha² + c); N → ∞.

    `a` is the branch's energy E‖J_F‖_F² / N, `c` the variance of its output. The norm contracts by 1 / (alpha² + c), the
    branch expands by alpha² + a, so the block contracts just when a < c. Positively homogeneous branches without bias
    (relu, linear) have a = c and are marginal; an odd activation has a >= c, by the Gaussian Poincaré inequality.

    >>> post_norm_factor(a=0.5, c=0.5).item()
    1.0
    """
    energy, variance, scale = (np.asarray(value, dtype=np.float64) for value in (a, c, alpha))
    for name, array in (("a", energy), ("c", variance)):
        if not ((array >= 0) & np.isfinite(array)).all():
            raise InputError(f"`{name}` must be finite and at least 0, got {array.tolist()}")
    if not ((scale > 0) & np.isfinite(scale)).all():
        raise InputError(f"`alpha` must be finite and above 0, got {scale.tolist()}")
    return np.asarray((scale**2 + energy) / (scale**2 + variance))


def _moments(x: ArrayLike, eps: float, centred: bool) -> tuple[Array, Array]:
    """x, less its mean where `centred`, and the mean of its squares + eps as [..., 1]."""
    vector = np.asarray(x, dtype=np.float64)
    if vector.ndim == 0 or vector.shape[-1] < 2:
        raise InputError(f"`x` must be [..., N] with at least 2 units, got shape {vector.shape}")
    if not eps >= 0:
        raise InputError(f"`eps` must be at least 0, got {eps}")
    if centred:
        vector = vector - vector.mean(axis=-1, keepdims=True)
    square = np.mean(vector**2, axis=-1, keepdims=True) + eps
    if not ((square > 0) & np.isfinite(square)).all():
        raise InputError(f"`x` must be finite, and vary where `eps` is 0, got mean squares {square[..., 0].tolist()}")
    return vector, square


def _energy(vector: Array, square: Array, eps: float, gain: ArrayLike, killed: int) -> Array:
    """Σ γ_i² (row i of J)², `killed` the number of directions that do not pass at 1/σ.

    With e = eps/σ² and ‖x̂‖² = N (1 - e), row i has (1 - [1/N] - (1 + e) x̂_i²/N) / σ². The gains' mean square takes the
    closed form (N - killed + e²) / σ², which keeps the digits of e²; what is left of them sums to 0 but for x̂.
    """
    n, e, squared = vector.shape[-1], eps / square[..., 0], np.asarray(gain, dtype=np.float64) ** 2
    if squared.shape not in ((), (n,)):
        raise InputError(f"`gain` must be one number or one a unit, {n}, got shape {squared.shape}")
    uneven = (1 + e) * ((vector**2 / square) @ (np.broadcast_to(squared, n) - squared.mean())) / n
    return np.asarray((squared.mean() * (n - killed + e**2) - uneven) / square[..., 0])
