"""What each block of a transformer does to the Gram matrix Σ of its tokens, and to M (`tokens` has both recursions)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nasjac.mathematics.meanfield.grams import Factor, Gram, added, attend, chain, normed, polar, scaled, separation, summed
from nasjac.mathematics.meanfield.kernels import half_distance
from nasjac.mathematics.meanfield.moments import MOMENTS, VARIANCE_SLOPES, Array
from nasjac.mathematics.meanfield.token_stack import TokenStack

BOUNDED = ("erf", "tanh")


class Map(NamedTuple):
    """What a block does to M: e^log (straight ∘ M + after ∘ A(before ∘ M)Aᵀ)."""

    straight: Factor
    after: Factor
    before: Factor
    log: float


def block_maps(stack: TokenStack, weights: Array) -> tuple[list[Map], Array]:
    """The blocks' maps, and the mean 1 - ρ before each block and after the last."""
    off = 1 - np.eye(stack.tokens)
    gram, log = Gram(1.0, np.zeros(stack.tokens), (1 - stack.correlation) * off), math.log(stack.variance)
    scale, gain = (np.broadcast_to(np.asarray(v, dtype=np.float64), stack.depth) for v in (stack.scale, stack.norm_gain))
    maps, apart = [], [separation(gram)]
    for block in range(stack.depth):
        logs = _log(scale[block] ** 2), _log(gain[block] ** 2)
        gram, log, attention = _sublayer(stack, gram, log, logs, weights)
        gram, log, ffn = _sublayer(stack, gram, log, logs, None)
        # the FFN's map is one factor, which goes into the attention's
        after = summed(ffn.straight, chain(ffn.after, ffn.before))
        straight, after = chain(after, attention.straight), chain(after, attention.after)
        maps.append(Map(straight, after, attention.before, attention.log + ffn.log))
        apart.append(separation(gram))
    return maps, np.array(apart)


def _sublayer(
    stack: TokenStack, stream: Gram, log: float, logs: tuple[float, float], weights: Array | None
) -> tuple[Gram, float, Map]:
    """Σ = e^log stream after an attention sublayer, or without `weights` an FFN; and what that does to M."""
    on_input, on_branch, on_sum = stack.norms
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
    return stream, log, Map(straight, after, before, size)


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
