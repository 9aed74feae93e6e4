"""The formula of BDF-2 on any steps, and the points that a step starts from.

With ω = h_n / h_{n−1} (Hairer, Nørsett & Wanner 1993, III.5):

    y_n − (1+ω)²/(1+2ω) y_{n−1} + ω²/(1+2ω) y_{n−2} = h_n β f(t_n, y_n),    β = (1+ω)/(1+2ω)

and the true solution leaves the residual −(1+ω)²/(6ω(1+2ω)) h_n³ y'''. The formula is A- and L-stable on equal steps, and
zero-stable for a constant ratio ω < 1 + √2, where the extraneous root ω²/(1+2ω) is below 1 (Grigorieff 1983).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from nasjac.foundation.arguments import number

#: constant ratios of successive steps below it are zero-stable
RATIO_LIMIT = 1 + math.sqrt(2)
#: ratios up to here have squares that floating point holds
WIDEST = 1e150


class Coefficients(NamedTuple):
    """y_n = `previous` y_{n−1} − `before` y_{n−2} + h `beta` f_n; `residual` h³ y''' is what the true solution leaves."""

    previous: float
    before: float
    beta: float
    residual: float


def coefficients(ratio: float = 1.0) -> Coefficients:
    """Of the ratio ω = h_n / h_{n−1}; `before` is the extraneous root too. ValueError: a ratio not above 0.

    >>> [round(value, 4) for value in coefficients(1.0)]
    [1.3333, 0.3333, 0.6667, -0.2222]
    """
    w = number("ratio", ratio, 0.0, WIDEST, open_low=True)
    d = 1 + 2 * w
    return Coefficients((1 + w) ** 2 / d, w**2 / d, (1 + w) / d, -((1 + w) ** 2) / (6 * w * d))


class Equation(NamedTuple):
    """A step's y − `coefficient` f(t, y) = `right`, from a `guess`; its local error is `share` (y − guess)."""

    right: Tensor
    coefficient: float
    guess: Tensor
    share: float
    order: int


@dataclass(frozen=True)
class Start:
    """One point with its slope, from which backward Euler goes on: it keeps order 2, with a larger constant."""

    t: float
    y: Tensor
    slope: Tensor

    def equation(self, t: float) -> Equation:
        """Set up the equation of a BDF-2 step from these points to the time `t`, with its guess and error estimate."""
        # Milne's device: backward Euler errs by h²y''/2, the guess (explicit Euler) by −h²y''/2
        h = t - self.t
        return Equation(self.y, h, self.y + h * self.slope, 0.5, 1)

    def then(self, t: float, y: Tensor) -> Past:
        first = (y - self.y) / (t - self.t)
        return Past(t, y, t - self.t, 0.0, first, (first - self.slope) / (t - self.t))


@dataclass(frozen=True)
class Past:
    """The last point, the two `steps` before it, and the divided differences y[n, n−1], y[n, n−1, n−2].

    Next to the start there is one step: t_0 counts twice, with its slope as the difference.
    """

    t: float
    y: Tensor
    step: float
    step_before: float
    first: Tensor
    second: Tensor

    def equation(self, t: float) -> Equation:
        """Set up the equation of a BDF-2 step from these points to the time `t`, with its guess and error estimate."""
        h, h1, h2 = t - self.t, self.step, self.step_before
        previous, before, beta, residual = coefficients(h / h1)
        y_before = self.y - h1 * self.first
        guess = self.y + h * (self.first + (h + h1) * self.second)
        # Milne's device: the formula errs by c h³y''', the guess by −k y''', so c h³y''' is c h³/(c h³ + k) of y − guess
        own, guessed = -residual * h**3, h * (h + h1) * (h + h1 + h2) / 6
        return Equation(previous * self.y - before * y_before, h * beta, guess, own / (own + guessed), 2)

    def then(self, t: float, y: Tensor) -> Past:
        h = t - self.t
        first = (y - self.y) / h
        return Past(t, y, h, self.step, first, (first - self.first) / (h + self.step))
