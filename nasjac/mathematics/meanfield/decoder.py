"""Energies of a transformer's branches at initialization, sublayer by sublayer, tokens taken as uncorrelated.

With q the second moment per unit of what a branch sees, w² and u² the variances of weights (value, output, FFN) and of
queries and keys times fan-in, T tokens of which token t sees n_t:

    logits of variance v = u⁴ q² (1/√d scaling; /d with 1/d),   E Σ A² ≈ m_t = e^v / (n_t − 1 + e^v) over the n_t tokens
    attention   variance w⁴ q m,     Jacobian w⁴ (m + 2v (m − m²)),     means over tokens t of m_t and its square
    FFN         variance w² V(w² q), Jacobian w⁴ S(w² q)
    gated FFN   variance w⁴ q V(w² q), Jacobian w⁴ (w² q S(w² q) + V(w² q)), for phi(W1 x) and V x are independent

m_t is 1 for the first token and e^v / n_t for n_t ≫ e^v, where both are exact for N → ∞; 2v (m − m²) is what softmax moves,
nothing where one weight is all. Of attention's output a linear map explains the part with mean weights, a share e^(−v) of
the variance. A norm on queries and keys makes v = 1 (1/d with 1/d logits), and takes from what softmax moves the part along
each vector, 1 of d. Heads that share keys and values have the law of heads that do not, so that the energies are the same.
Of a gated FFN's output a linear map explains that with mean phi, a share (E phi)² / V.

Leading order: correlated tokens make attention's branch larger (`nasjac.mathematics.meanfield.tokens` has them, for uniform
weights).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasjac.mathematics.meanfield.moments import MEANS, MOMENTS, Array, nonlinearity

#: size of a stream whose squares, times gains, are floats
LARGEST = 1e100


@dataclass(frozen=True)
class Decoder:
    """Sublayers x' = norm_sum(g x + scale · norm_branch(F(norm_input(x)))); `attention` says what each F is.

    `skip`  the probability of g = 1; otherwise g is 0
    `weight_variance` w² and `query_variance` u², times fan-in; `logit_factor` 1, or 1/√d more for 1/d logits
    `normed_units`    d where queries and keys have a norm, None where they have none
    """

    attention: Sequence[bool]
    skip: Sequence[float]
    scale: Sequence[float]
    activation: str
    on_input: bool
    on_branch: bool
    on_sum: bool
    weight_variance: float
    query_variance: float
    logit_factor: float
    tokens: int
    causal: bool
    gated: bool = False
    normed_units: int | None = None


def sublayer_energies(stack: Decoder) -> tuple[Array, Array, Array]:
    """χ, the branch's expected ‖J_F‖_F² / (N T), its share of the sublayer's energy, and its nonlinearity; [L] each.

    Energies of identity and branch add up in expectation, since the branch's last matrix is independent with zero mean. An
    identity that is there with probability s has the energy E g² = s, and so has the stream behind it: shares are
    χ / (s + χ). A norm on the sum divides both by the mean square of what is there, and is averaged over both outcomes of
    g. Each sublayer is taken at the mean size of its stream.
    """
    size, rows = 1.0, []
    for attention, skip, scale in zip(stack.attention, stack.skip, stack.scale, strict=True):
        q = 1.0 if stack.on_input else size
        variance, energy, bend = _attention(stack, q) if attention else _ffn(stack, q)
        energy = energy / size if stack.on_input else energy
        if stack.on_branch:
            variance, energy = 1.0, energy / variance
        variance, energy = scale**2 * variance, scale**2 * energy
        rows.append((energy, _share(stack, energy, variance, skip, size), bend))
        size = 1.0 if stack.on_sum else skip * size + variance
        if stack.gated:  # without norms sizes square from layer to layer, soon beyond floats
            size = min(max(size, 1 / LARGEST), LARGEST)
    energies, shares, bends = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return energies, shares, bends


def _share(stack: Decoder, energy: float, variance: float, skip: float, size: float) -> float:
    """The branch's share of E‖J‖_F² of a sublayer over its gate, the stream and the branch's output of these sizes.

    In units of what a norm on the sum leaves of energies where the identity is there.
    """
    if not energy:
        return 0.0
    cut = (size + variance) / variance if stack.on_sum and skip < 1 else 1.0
    branch = energy * (skip + (1 - skip) * cut)
    return branch / (skip + branch)


def _attention(stack: Decoder, q: float) -> tuple[float, float, float]:
    square = stack.query_variance**2 * q**2 if stack.normed_units is None else 1.0
    v = min(square * stack.logit_factor**2, 700.0)  # e^v: beyond, each token sees one other
    seen = np.arange(1, stack.tokens + 1) if stack.causal else np.full(stack.tokens, stack.tokens)
    m, moved = softmax_moments(seen, v)
    if stack.normed_units is not None:
        moved = m + (1 - 1 / stack.normed_units) * (moved - m)
    gain = stack.weight_variance**2
    return gain * q * float(m.mean()), gain * float(moved.mean()), -math.expm1(-v)


def softmax_moments(seen: Array | NDArray[np.intp], v: float) -> tuple[Array, Array]:
    """Return m = E Σ A² over the `seen` tokens at logits of variance v, and the Jacobian's m + 2v (m − m²); [T] each.

    Correlated tokens have v times 1 − their correlation. Exact for uniform attention (v = 0) and where one weight is all.
    """
    m = 1 / (1 + (seen - 1) * math.exp(-v))
    return m, m + 2 * v * (m - m**2)


def _ffn(stack: Decoder, q: float) -> tuple[float, float, float]:
    inner = np.array([stack.weight_variance * q])
    second, slope = MOMENTS[stack.activation](inner)
    if stack.gated:
        return _gated(stack, float(inner[0]), float(second[0]), float(slope[0]))
    variance, energy = stack.weight_variance * float(second[0]), stack.weight_variance**2 * float(slope[0])
    return variance, energy, float(nonlinearity(stack.activation, inner)[0])


def _gated(stack: Decoder, inner: float, second: float, slope: float) -> tuple[float, float, float]:
    """A gated FFN at pre-activations of variance w² q, V and S there: variance, energy and nonlinearity of its output."""
    mean = float(MEANS[stack.activation](np.array([inner])).value[0])
    energy = stack.weight_variance**2 * (inner * slope + second)
    return stack.weight_variance * inner * second, energy, max(0.0, 1 - mean**2 / second)
