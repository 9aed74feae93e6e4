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
from typing import NamedTuple

import numpy as np

from nasjac.foundation.errors import InputError
from nasjac.mathematics.meanfield.grams import (
    Factor,
    Gram,
    added,
    attend,
    attend_adjoint,
    chain,
    normed,
    polar,
    scaled,
    summed,
    times,
    times_adjoint,
)
from nasjac.mathematics.meanfield.grams import separation as mean_separation
from nasjac.mathematics.meanfield.kernels import KERNELS, half_distance
from nasjac.mathematics.meanfield.moments import MOMENTS, VARIANCE_SLOPES, Array

#: placement -> is there a norm on the branch's input, on the branch's output, on the sum
NORMS = {
    "none": (False, False, False),
    "pre": (True, False, False),
    "post": (False, False, True),
    "res_post": (False, True, False),
    "sandwich": (True, True, False),
}
COLLAPSED = 1e-290  # below it float64 is about to lose the digits of a difference, relative to the level
BOUNDED = ("erf", "tanh")


@dataclass(frozen=True)
class TokenStack:
    """Blocks x' = norm_sum(strength · x + scale · norm_branch(F(norm_input(x)))), F attention and then F an FFN.

    Gains are variances (of weights times fan-in), norms have no epsilon; LayerNorm and RMSNorm agree at infinite width.

    `tokens`, `depth`   T, at least 2, and the number of blocks
    `placement`         none, pre, post, res_post (norm on the branch) or sandwich (norms on both ends of it; peri-LN)
    `activation`        of the FFN; one of `nasjac.mathematics.meanfield.kernels.KERNELS`
    `causal`            token t attends to the first t tokens; otherwise each attends to all
    `attention_gain`    σ_a² = σ_v² σ_o²
    `inner_gain`, `outer_gain`   σ1², σ2² of the FFN. A branch of gain 0 is not there
    `correlation`       ρ of the initial tokens: Σ_0 = variance ((1 - ρ) 1 + ρ 11ᵀ), ρ in (-1/(T - 1), 1]
    `variance`          of the initial tokens
    `strength`          factor on the stream; DeepNorm (Wang et al. 2022) is post with strength α, attention_gain β⁴ and
                        inner_gain and outer_gain β², when all weights have unit variance before
    `scale`             factor on the branches, one or one a block; 1/√L, or 0 for ReZero
    `norm_gain`         gain of the norm on the branch's input, one or one a block; LN scaling (Sun et al. 2025): 1/√l
    """

    tokens: int
    depth: int
    placement: str = "pre"
    activation: str = "relu"
    causal: bool = False
    attention_gain: float = 1.0
    inner_gain: float = 1.0
    outer_gain: float = 1.0
    correlation: float = 0.0
    variance: float = 1.0
    strength: float = 1.0
    scale: float | tuple[float, ...] = 1.0
    norm_gain: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        self._check("tokens", self.tokens >= 2, "at least 2")
        self._check("depth", self.depth >= 0, "at least 0")
        self._check("placement", self.placement in NORMS, f"one of {', '.join(NORMS)}")
        self._check("activation", self.activation in KERNELS, f"one of {', '.join(KERNELS)}")
        on_input, on_branch, _ = NORMS[self.placement]
        for name in ("inner_gain", "variance", "strength"):
            self._check(name, 0 < getattr(self, name) < math.inf, "positive and finite")
        for name in ("attention_gain", "outer_gain"):
            value, rule = getattr(self, name), "positive" if on_branch else "at least 0"
            self._check(name, 0 <= value < math.inf and (value > 0 or not on_branch), f"{rule} and finite")
        low = -1 / (self.tokens - 1)
        self._check("correlation", low < self.correlation <= 1, f"above {low:.6g} and at most 1")
        for name, lowest in (("scale", "at least 0"), ("norm_gain", "positive")):
            value = np.asarray(getattr(self, name), dtype=np.float64)
            self._check(name, value.shape in ((), (self.depth,)), f"one number or one for each of the {self.depth} blocks")
            inside = (value >= 0) if name == "scale" else (value > 0)
            self._check(name, bool((inside & (value < math.inf)).all()), f"{lowest} and finite")
        plain = bool((np.asarray(self.norm_gain) == 1).all())
        self._check("norm_gain", on_input or plain, f"1 without a norm on the branch's input ({self.placement})")

    def _check(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise InputError(f"`{name}` must be {rule}, got {getattr(self, name)!r}")


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


class _Map(NamedTuple):
    """What a block does to M: e^log (straight ∘ M + after ∘ A(before ∘ M)Aᵀ)."""

    straight: Factor
    after: Factor
    before: Factor
    log: float


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
    maps, separation = _stream(stack, weights)
    total, differential = _forward(maps, weights)
    held = np.logical_and.accumulate((separation > COLLAPSED) | (separation[0] == 0))
    backward = _backward(maps, weights)
    if not held[-1]:
        backward[:-1, 1] = math.nan
    return TokenNorms(total, np.where(held, differential, math.nan), backward[:, 0], backward[:, 1], separation)


def _stream(stack: TokenStack, weights: Array) -> tuple[list[_Map], Array]:
    """The blocks' maps, and the mean 1 - ρ before each block and after the last."""
    off = 1 - np.eye(stack.tokens)
    gram, log = Gram(1.0, np.zeros(stack.tokens), (1 - stack.correlation) * off), math.log(stack.variance)
    scale, gain = (np.broadcast_to(np.asarray(v, dtype=np.float64), stack.depth) for v in (stack.scale, stack.norm_gain))
    maps, separation = [], [mean_separation(gram)]
    for block in range(stack.depth):
        logs = _log(scale[block] ** 2), _log(gain[block] ** 2)
        gram, log, attention = _sublayer(stack, gram, log, logs, weights)
        gram, log, ffn = _sublayer(stack, gram, log, logs, None)
        # the FFN's map is one factor, which goes into the attention's
        after = summed(ffn.straight, chain(ffn.after, ffn.before))
        straight, after = chain(after, attention.straight), chain(after, attention.after)
        maps.append(_Map(straight, after, attention.before, attention.log + ffn.log))
        separation.append(mean_separation(gram))
    return maps, np.array(separation)


def _sublayer(
    stack: TokenStack, stream: Gram, log: float, logs: tuple[float, float], weights: Array | None
) -> tuple[Gram, float, _Map]:
    """Σ = e^log stream after an attention sublayer, or without `weights` an FFN; and what that does to M."""
    on_input, on_branch, on_sum = NORMS[stack.placement]
    log_scale, log_gain = logs
    after = before = identity = Factor(np.ones(stack.tokens), np.zeros((stack.tokens, stack.tokens)))
    inner, inner_log, energy = stream, log, 0.0
    if on_input:
        inner, before = normed(stream)
        inner_log, energy = log_gain, log_gain - log
    if weights is not None:
        branch, branch_log, own = attend(weights, inner), inner_log, _log(stack.attention_gain)
    else:
        branch, branch_log, after = _feed(stack, inner, inner_log)
        own = _log(stack.outer_gain)
    branch_log, energy = branch_log + own, energy + own
    if on_branch:
        branch, factor = normed(branch)
        after, energy, branch_log = chain(factor, after), energy - branch_log, 0.0
    branch_log, energy, skip = branch_log + log_scale, energy + log_scale, 2 * math.log(stack.strength)
    top, size = max(log + skip, branch_log), max(skip, energy)
    stream = added(scaled(stream, math.exp(log + skip - top)), scaled(branch, math.exp(branch_log - top)))
    straight = Factor(math.exp(skip - size) * identity.diagonal, identity.deficit)
    after = Factor(*(math.exp(energy - size) * part for part in after))
    log, stream = top + math.log(stream.level), scaled(stream, 1 / stream.level)
    if on_sum:
        stream, factor = normed(stream)
        straight, after, size, log = chain(factor, straight), chain(factor, after), size - log, 0.0
    return stream, log, _Map(straight, after, before, size)


def _feed(stack: TokenStack, gram: Gram, log: float) -> tuple[Gram, float, Factor]:
    """Branch of an FFN with σ2² = 1 at Σ = e^log gram: its Gram, the log to add to that, and the factor on M.

    Variances beyond e^±200 are evaluated there: every activation follows its power laws by then, and what is left of
    E phi'phi' of a bounded one is nothing beside the stream.
    """
    name, shift = stack.activation, min(max(log, -200.0), 200.0)
    size = stack.inner_gain * math.exp(shift)
    root, radial, gap = polar(gram)
    q = size * root**2
    rows = np.repeat(q[:, None], len(q), axis=1)
    distance = half_distance(name, rows, rows.T, size * gap, math.sqrt(size) * radial)
    second, slope = MOMENTS[name](q)
    below = size * gram.below
    # where that is small, by the slope half way: V(q_0) - V(q_t) would lose digits
    fall = np.where(np.abs(below) < 1e-5 * q, below * VARIANCE_SLOPES[name](q + below / 2), second[0] - second)
    deficit = distance.derivative_second + (slope[:, None] - slope) / 2
    factor = Factor(stack.inner_gain * slope, stack.inner_gain * deficit)
    rest = min(log - shift, 0.0) if name in BOUNDED else log - shift
    return Gram(float(second[0]), fall, distance.second), rest, factor


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _forward(maps: list[_Map], weights: Array) -> tuple[Array, Array]:
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


def _backward(maps: list[_Map], weights: Array) -> Array:
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
