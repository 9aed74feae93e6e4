"""How many new residual blocks fit before a grown network may be unstable: three rules, each with its own smallness.

`epsilon_spectral` bounds ‖J_F‖₂ of every new block, `epsilon_rms` is √(E‖J_F‖_F² / N): of a square Gaussian branch the
first is about twice the second, and of one that is not isotropic far more. Neither stands for the other.

    worst case   (1 + ε)^m ≤ τ                     every singular value at most τ, whatever the blocks are
    rms          (1 + ε_rms²)^(m/2) ≤ τ            the root-mean-square gain, where branches are independent with zero mean
    edge         √x₊(t) ≤ τ at t = m ε_rms²        the largest singular value, N and m → ∞, branches rotationally invariant

x₊(t) is the upper edge of the *squared* singular values of a product of near-identity blocks, free multiplicative Brownian
motion (Tarnowski et al. 2019): (1 + t + √(t(t+2))) e^√(t(t+2)). With t = cosh s − 1 this is e^(s + sinh s).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from nasjac.foundation.arguments import items, number, whole
from nasjac.foundation.errors import InputError

#: a count that rounding has put just below a whole number is that number
ROUNDING = 1e-9
#: the exponential of it is beyond floating point
OVERFLOW = 709.0


class Rules(NamedTuple):
    """How many new blocks each rule allows; None: any number, for they are the identity."""

    worst_case: int | None
    rms: int | None
    edge: int | None


def rules(epsilon_spectral: float, epsilon_rms: float, tau: float) -> Rules:
    """The counts of all three rules.

    >>> rules(epsilon_spectral=0.05, epsilon_rms=0.05, tau=2.0)
    Rules(worst_case=14, rms=555, edge=92)
    """
    return Rules(worst_case_count(epsilon_spectral, tau), rms_count(epsilon_rms, tau), edge_count(epsilon_rms, tau))


def worst_case_count(epsilon_spectral: float, tau: float) -> int | None:
    """⌊ln τ / ln(1 + ε)⌋: so many blocks of ‖J_F‖₂ ≤ ε never multiply a vector by more than τ."""
    _check("epsilon_spectral", epsilon_spectral, tau)
    return _count(math.log(tau), math.log1p(epsilon_spectral))


def rms_count(epsilon_rms: float, tau: float) -> int | None:
    """⌊2 ln τ / ln(1 + ε²)⌋: so many blocks multiply a typical vector by at most τ."""
    _check("epsilon_rms", epsilon_rms, tau)
    return _count(2 * math.log(tau), math.log1p(epsilon_rms * epsilon_rms))


def edge_count(epsilon_rms: float, tau: float) -> int | None:
    """⌊t* / ε²⌋ with √x₊(t*) = τ: so many blocks have their largest singular value at τ, for N and m → ∞."""
    _check("epsilon_rms", epsilon_rms, tau)
    return _count(edge_time(tau), epsilon_rms * epsilon_rms)


def edge(time: float) -> float:
    """√x₊(t), the largest singular value of the product at t = Σ ε_rms².

    >>> round(edge(0.5), 4)
    2.8299
    """
    if number("time", time, 0.0) > 2 * OVERFLOW:  # sinh s is more than t
        return math.inf
    s = 2 * math.asinh(math.sqrt(time / 2))  # cosh s − 1 = 2 sinh²(s/2)
    return math.exp((s + math.sinh(s)) / 2)


def edge_time(tau: float) -> float:
    """t* with √x₊(t*) = τ: s + sinh s = 2 ln τ, by Newton's method, which falls to the root from s = ln τ on.

    >>> round(edge_time(2.0), 6)
    0.23137
    """
    _check("epsilon", 0.0, tau)
    s = before = math.log(tau)
    while True:
        s -= (s + math.sinh(s) - 2 * math.log(tau)) / (1 + math.cosh(s))
        if not s < before:
            return 2 * math.sinh(s / 2) ** 2
        before = s


def measured_sum(spectral_norms: Iterable[float]) -> float:
    """Σ ln(1 + ‖J_F‖₂) over the new blocks: the worst case holds while it is at most ln τ."""
    return math.fsum(math.log1p(norm) for norm in _sizes("spectral_norms", spectral_norms))


def expected_deviation(epsilon_rms: float, count: int) -> float:
    """√(E‖G(y) − y‖² / ‖y‖²) = √((1 + ε²)^m − 1) of m new blocks in a row, exact for relu branches of two matrices."""
    epsilon = number("epsilon_rms", epsilon_rms, 0.0)
    grown = count * math.log1p(epsilon * epsilon) if whole("count", count) else 0.0
    return math.sqrt(math.expm1(grown)) if grown < OVERFLOW else math.inf


def deviation_bound(ratios: Iterable[float]) -> float:
    """‖G(y) − y‖ / ‖y‖ ≤ ∏(1 + r) − 1, r the largest ‖F(y)‖ / ‖y‖ of each new block in a row."""
    grown = math.fsum(math.log1p(ratio) for ratio in _sizes("ratios", ratios))
    return math.expm1(grown) if grown < OVERFLOW else math.inf


def _sizes(name: str, values: Iterable[float]) -> list[float]:
    return [number(name, value, 0.0) for value in items(name, values, object, "numbers of at least 0")]


def _count(total: float, each: float) -> int | None:
    """None where each is nothing, or so little that no number holds the count."""
    return math.floor(total / each + ROUNDING) if each > 0 and total / each < math.inf else None


def _check(name: str, epsilon: float, tau: float) -> None:
    number(name, epsilon, 0.0)
    if not number("budget.tau", tau) > 1:
        raise InputError(f"`budget.tau` must be a finite number above 1, got {tau!r}")
