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
    """The counts of all three rules: ⌊ln τ / ln(1 + ε)⌋, ⌊2 ln τ / ln(1 + ε_rms²)⌋ and ⌊t* / ε_rms²⌋ with √x₊(t*) = τ.

    >>> rules(epsilon_spectral=0.05, epsilon_rms=0.05, tau=2.0)
    Rules(worst_case=14, rms=555, edge=92)
    """
    spectral, rms = number("epsilon_spectral", epsilon_spectral, 0.0), number("epsilon_rms", epsilon_rms, 0.0)
    square, log_tau = rms * rms, _log(tau)
    return Rules(
        _count(log_tau, math.log1p(spectral)), _count(2 * log_tau, math.log1p(square)), _count(edge_time(tau), square)
    )


def edge_time(tau: float) -> float:
    """t* with √x₊(t*) = τ: s + sinh s = 2 ln τ, by Newton's method, which falls to the root from s = ln τ on.

    >>> round(edge_time(2.0), 6)
    0.23137
    """
    s = before = log_tau = _log(tau)
    while True:
        s -= (s + math.sinh(s) - 2 * log_tau) / (1 + math.cosh(s))
        if not s < before:
            return 2 * math.sinh(s / 2) ** 2
        before = s


def measured_sum(spectral_norms: Iterable[float]) -> float:
    """Σ ln(1 + ‖J_F‖₂) over the new blocks: the worst case holds while it is at most ln τ."""
    return _log_product("spectral_norms", spectral_norms)


def expected_deviation(epsilon_rms: float, count: int) -> float:
    """√(E‖G(y) − y‖² / ‖y‖²) = √((1 + ε²)^m − 1) of m new blocks in a row, exact for relu branches of two matrices."""
    epsilon = number("epsilon_rms", epsilon_rms, 0.0)
    grown = count * math.log1p(epsilon * epsilon) if whole("count", count) else 0.0
    return math.sqrt(math.expm1(grown)) if grown < OVERFLOW else math.inf


def deviation_bound(ratios: Iterable[float]) -> float:
    """‖G(y) − y‖ / ‖y‖ ≤ ∏(1 + r) − 1, r the largest ‖F(y)‖ / ‖y‖ of each new block in a row."""
    grown = _log_product("ratios", ratios)
    return math.expm1(grown) if grown < OVERFLOW else math.inf


def _log_product(name: str, values: Iterable[float]) -> float:
    """log ∏(1 + x)."""
    given = items(name, values, object, "numbers of at least 0")
    return math.fsum(math.log1p(number(name, value, 0.0)) for value in given)


def _count(total: float, each: float) -> int | None:
    """None where each is nothing, or so little that no number holds the count."""
    return math.floor(total / each + ROUNDING) if each > 0 and total / each < math.inf else None


def _log(tau: float) -> float:
    if not number("budget.tau", tau) > 1:
        raise InputError(f"`budget.tau` must be a finite number above 1, got {tau!r}")
    return math.log(tau)
