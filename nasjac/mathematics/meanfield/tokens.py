"""Transformers at initialization: the norms of the Jacobian from tokens to tokens, by the recursion for token Grams.

T tokens x_t of width n → ∞ with Gram matrix Σ_tt' = x_t·x_t'/n, and M_tt' = tr(J_t J_t'ᵀ)/n for the Jacobian J_t of token t
with respect to all tokens of the input, M = 1 there. Every block is an attention sublayer and then an FFN sublayer:

    attention, uniform weights A:   branch of Σ: σ_a² A Σ Aᵀ              branch of M: σ_a² A M Aᵀ
    FFN, W2 phi(W1 x):              branch of Σ: σ2² E phi phi(σ1² Σ)     branch of M: σ1² σ2² E phi'phi'(σ1² Σ) ∘ M
    norm:                           divides Σ and M by √(Σ_tt Σ_t't')

Uniform attention is softmax with zero queries or keys. Under rank collapse the tokens' differences decide which Jacobian
tells them apart, so Σ and M are carried as `nasjac.mathematics.meanfield.grams` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nasjac.mathematics.meanfield.grams import (
    Gram,
    added,
    attend,
    attend_adjoint,
    scaled,
    times,
    times_adjoint,
)
from nasjac.mathematics.meanfield.moments import Array
from nasjac.mathematics.meanfield.token_maps import Map, block_maps
from nasjac.mathematics.meanfield.token_stack import TokenStack

COLLAPSED = 1e-290  # below it float64 is about to lose the digits of a difference, relative to the level


@dataclass(frozen=True)
class TokenNorms:
    """Natural logs of expected squared Jacobian norms per token and unit, [depth + 1]: before each block and at the end.

    `forward_total`          log tr(M)/T from the stack's input to here
    `forward_differential`   log tr(PM)/T, P = 1 - 11ᵀ/T: what of it tells the tokens apart
    `backward_total`, `backward_differential`   the same from here to the stack's output
    `separation`             1 - ρ, the mean over pairs of tokens here, with all its digits

    A differential that float64 cannot hold is nan: where rank collapse has left less than 1e-290 of it, or of 1 - ρ.
    """

    forward_total: Array
    forward_differential: Array
    backward_total: Array
    backward_differential: Array
    separation: Array

    @property
    def correlation(self) -> Array:
        """The mean correlation of two tokens, [depth + 1]."""
        return 1 - self.separation


def uniform_attention(tokens: int, causal: bool) -> Array:
    """Uniform attention weights A, [T, T]: softmax with zero queries or keys."""
    seen = np.tri(tokens) if causal else np.ones((tokens, tokens))
    return np.asarray(seen / seen.sum(axis=1, keepdims=True))


def token_norms(stack: TokenStack) -> TokenNorms:
    """The stack's expected Jacobian norms and token correlations [n → ∞].

    A finite n usually adds about 1.5 · depth/n, relatively. Time and memory grow as depth · T², whatever the direction:
    backward is the adjoint of the same recursion.

    >>> token_norms(TokenStack(tokens=6, depth=4, correlation=0.3)).forward_total.round(4).tolist()[-1]
    1.1971
    """
    weights = uniform_attention(stack.tokens, stack.causal)
    maps, separation = block_maps(stack, weights)
    total, differential = _forward(maps, weights)
    held = np.logical_and.accumulate((separation > COLLAPSED) | (separation[0] == 0))
    backward = _backward(maps, weights)
    if not held[-1]:
        backward[:-1, 1] = math.nan
    return TokenNorms(total, np.where(held, differential, math.nan), backward[:, 0], backward[:, 1], separation)


def _forward(maps: list[Map], weights: Array) -> tuple[Array, Array]:
    """log tr(M)/T and log tr(PM)/T before each block and after the last; the second is the mean of M's `apart`."""
    tokens = len(weights)
    gram, log = Gram(1.0, np.zeros(tokens), 1 - np.eye(tokens)), 0.0
    rows = [(0.0, math.log1p(-1 / tokens))]
    for step in maps:
        branch = times(step.after, attend(weights, times(step.before, gram)))
        gram = added(times(step.straight, gram), branch)
        log, gram = log + step.log + math.log(gram.level), scaled(gram, 1 / gram.level)
        apart = float(gram.apart.mean())
        rows.append((log + math.log(gram.diagonal.mean()), log + math.log(apart) if apart > COLLAPSED else math.nan))
    total, differential = np.array(rows).T
    return total, differential


def _backward(maps: list[Map], weights: Array) -> Array:
    """[depth + 1, 2] what `_forward` ends with when M restarts at 1 before each block: by the transposed maps.

    A linear function of M is y·(diagonal of M) + Z·(apart of M), y [2, T] and symmetric Z [2, T, T]; it starts as
    1/T and 0 (total), 0 and 1/T² (differential).
    """
    tokens = len(weights)
    diagonal = np.arange(tokens)
    y = np.stack([np.full(tokens, 1 / tokens), np.zeros(tokens)])
    z = np.stack([np.zeros((tokens, tokens)), (1 - np.eye(tokens)) / tokens**2])
    rows, log = [np.array([0.0, math.log1p(-1 / tokens)])], np.zeros(2)
    for step in reversed(maps):
        branch = attend_adjoint(weights, *times_adjoint(step.after, y, z))
        branch_y, branch_z = times_adjoint(step.before, *branch)
        y, z = times_adjoint(step.straight, y, z)
        y, z = y + branch_y, z + branch_z
        z[:, diagonal, diagonal] = 0.0  # it meets the zeros of `apart`, and would add its rounding to the sums
        value = y.sum(axis=-1) + z.sum(axis=(-2, -1))  # at M = 1
        value = np.where(value > COLLAPSED, value, math.nan)
        log = log + step.log + np.log(value)
        y, z = y / value[:, None], z / value[:, None, None]
        rows.append(log)
    return np.array(rows[::-1])
