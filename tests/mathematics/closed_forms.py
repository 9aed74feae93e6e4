"""Closed forms of special cases, which the package has in general: oracles of the golden numbers and of other tests."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special
from scipy.optimize import brentq

from nasjac.mathematics.meanfield.moments import MOMENTS, VARIANCE_SLOPES
from nasjac.mathematics.meanfield.tokens import uniform_attention


class GatedMoments(NamedTuple):
    """Over the patterns of a chain's random gates, of E_W 𝒥; `mean_log` is None if it is −∞."""

    log_mean: float
    log_second_moment: float
    mean_log: float | None
    variance_log: float | None


def gated_chain(chi: float, depth: int, skip: float = 1.0, branch: float = 1.0, independent: bool = False) -> GatedMoments:
    """`depth` blocks of energy `chi`, identity gates Bernoulli(`skip`), branch gates Bernoulli(`branch`). Exact for relu.

    A dropped branch forces its skip, as in a Spec: the mean factor is p (s + chi) + 1 − p. With `independent` gates it is
    s + p chi, and a block may lose both paths: then 𝒥 = 0 has a probability and E log 𝒥 is −∞.
    """
    only_identity = skip * (1 - branch) if independent else 1 - branch
    outcomes = [(branch * skip, 1 + chi), (branch * (1 - skip), chi), (only_identity, 1.0)]
    log_mean, log_second = (depth * math.log(sum(p * x**power for p, x in outcomes)) for power in (1, 2))
    if sum(p for p, x in outcomes if x > 0) < 1 - 1e-15:
        return GatedMoments(log_mean, log_second, None, None)
    mean = sum(p * math.log(x) for p, x in outcomes if p)
    variance = sum(p * (math.log(x) - mean) ** 2 for p, x in outcomes if p)
    return GatedMoments(log_mean, log_second, depth * mean, depth * variance)


def gelu_critical_point() -> tuple[float, float, float]:
    """σ_w², σ_b² and K* of a plain gelu network W φ(h) where chi_K = σ_w² V'(K*) is 1 beside chi_J = σ_w² S(K*)."""

    def difference(k: float) -> float:
        at = np.array([k])
        return float((VARIANCE_SLOPES["gelu"](at) - MOMENTS["gelu"](at).derivative_second)[0])

    k = brentq(difference, 0.1, 100, xtol=1e-13)
    second, derivative_second = (float(moment[0]) for moment in MOMENTS["gelu"](np.array([k])))
    return 1 / derivative_second, k - second / derivative_second, k


def power_law(ratio: float, size: float, depth: int) -> float:
    """log 𝒥^{0,L} of pre-norm blocks with full skips: Γ(k+ζ+L) Γ(k) / (Γ(k+ζ) Γ(k+L)), k = `size` = K_0/c, ~ L^ζ.

    `ratio` is ζ = a/c: a block adds a/K to the energy's factor and c to K. Infinite width; any weights are critical.
    """
    return math.lgamma(size + ratio + depth) + math.lgamma(size) - math.lgamma(size + ratio) - math.lgamma(size + depth)


def vector_log_norm(width: int, depth: int) -> tuple[float, float]:
    """Mean and variance of log ‖J x‖² / ‖x‖² for one vector x through layers W relu(·), var W = 2 / width. Exact.

    A layer is χ²_B / N with B ~ Bin(N, ½) live units, given that it is alive (B ≥ 1): the gates of the vector x = h itself.
    """
    alive = np.arange(1, width + 1)
    weight = special.comb(width, alive)
    weight /= weight.sum()
    log = special.digamma(alive / 2) + math.log(4 / width)
    mean = float(weight @ log)
    return depth * mean, depth * float(weight @ (special.polygamma(1, alive / 2) + (log - mean) ** 2))


def linear_attention_norm(tokens: int, depth: int, gain: float, causal: bool = False) -> float:
    """log E‖J‖_F²/(nT) of `depth` residual layers X + A X W, A uniform, W of variance gain/fan-in; exact at every width.

    (1/T) sum_k C(depth, k) gain^k ‖A^k‖_F²: distinct paths are orthogonal, and a path through k layers mixes by A^k. It is
    not a product over layers: the token mean grows by 1 + gain each, whatever T.
    """
    weights = uniform_attention(tokens, causal)
    power, terms = np.eye(tokens), []
    for k in range(depth + 1):
        choices = math.lgamma(depth + 1) - math.lgamma(k + 1) - math.lgamma(depth - k + 1)
        terms.append(choices + k * math.log(gain) + math.log((power**2).sum() / tokens))
        power = power @ weights
    return float(np.logaddexp.reduce(terms))


def edge(time: float) -> float:
    """√x₊(t) = e^((s + sinh s)/2), cosh s = 1 + t: the largest singular value of near-identity blocks at t = Σ ε_rms²."""
    s = 2 * math.asinh(math.sqrt(time / 2))  # cosh s − 1 = 2 sinh²(s/2)
    return math.exp((s + math.sinh(s)) / 2)
