"""Attention alone: uniform weights, the exact norm of a linear attention stack, and softmax at Gaussian logits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nasjac.foundation.errors import InputError
from nasjac.mathematics.meanfield.moments import Array


def uniform_attention(tokens: int, causal: bool) -> Array:
    """Uniform attention weights A, [T, T]: softmax with zero queries or keys."""
    seen = np.tri(tokens) if causal else np.ones((tokens, tokens))
    return np.asarray(seen / seen.sum(axis=1, keepdims=True))


def linear_attention_norm(tokens: int, depth: int, gain: float, causal: bool = False) -> float:
    """log E‖J‖_F²/(nT) of `depth` residual layers X + A X W, A uniform, W of variance gain/fan-in; exact at every width.

    (1/T) sum_k C(depth, k) gain^k ‖A^k‖_F²: distinct paths are orthogonal, and a path through k layers mixes by A^k. It is
    not a product over layers: the token mean grows by 1 + gain each, whatever T.

    >>> round(math.exp(linear_attention_norm(tokens=4, depth=3, gain=0.8)), 12)
    2.208
    """
    for name, value, lowest in (("tokens", tokens, 1), ("depth", depth, 0), ("gain", gain, 0)):
        if not lowest <= value < math.inf:
            raise InputError(f"`{name}` must be at least {lowest} and finite, got {value}")
    weights = uniform_attention(tokens, causal)
    power, terms = np.eye(tokens), []
    for k in range(depth + 1 if gain else 1):
        choices = math.lgamma(depth + 1) - math.lgamma(k + 1) - math.lgamma(depth - k + 1)
        terms.append(choices + (k * math.log(gain) if k else 0.0) + math.log((power**2).sum() / tokens))
        power = power @ weights
    return float(np.logaddexp.reduce(terms))


def softmax_branch_energy(tokens: int, gain: float, logit_variance: float, correlation: float = 0.0) -> float:
    """Energy ‖J_F‖_F²/(nT) of a softmax attention branch at Gaussian logits, to leading order: gain (m + 2v (m − m²)).

    v is `logit_variance` = σ_q² σ_k² times 1 - `correlation` of the tokens; gain = σ_v² σ_o²; m = e^v / (T − 1 + e^v)
    stands for E Σ A² over the tokens seen. Any number of heads. Uniform attention is exact (v = 0, gain / T), and so is one
    weight that is all (m = 1, gain). For T ≫ e^v it is (gain/T) e^v (1 + 2v), which must not be used beyond.

    >>> round(softmax_branch_energy(tokens=8, gain=1.0, logit_variance=50.0), 9)
    1.0
    """
    for name, value, low, high in (
        ("tokens", tokens, 1, math.inf),
        ("gain", gain, 0, math.inf),
        ("logit_variance", logit_variance, 0, math.inf),
        ("correlation", correlation, -1, 1),
    ):
        if not low <= value <= high or value == math.inf:
            raise InputError(f"`{name}` must be finite and in [{low}, {high}], got {value}")
    _, moved = softmax_moments(np.array(tokens), logit_variance * (1 - correlation))
    return gain * float(moved)


def softmax_moments(seen: Array | NDArray[np.intp], v: float) -> tuple[Array, Array]:
    """Return m = E Σ A² over the `seen` tokens at logits of variance v, and the Jacobian's m + 2v (m − m²); [T] each."""
    m = 1 / (1 + (seen - 1) * math.exp(-v))
    return m, m + 2 * v * (m - m**2)
