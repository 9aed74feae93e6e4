"""Newton's method for the equation of an implicit step, y − c f(t, y) = r, with c = hβ: full, or with a kept LU.

Plain torch in float64: an LU and a solve of a small system take about 25 µs, a whole step some 0.3 ms.
"""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor

from nasjac.dynamics.system import System
from nasjac.foundation.arguments import shown
from nasjac.foundation.errors import InputError

METHODS = ("modified", "full")
#: iterations of one solve; the share of the tolerance that the last displacement may leave (Hairer & Wanner 1996, IV.8)
MOST_ITERATIONS, LEFT = 10, 0.01
#: coefficients as near to one another share an LU: steps that are equal up to the rounding of t
SAME = 1e-6


class Diverged(ArithmeticError):
    """Newton's method found no solution; `residual` is the largest |y − c f − r| where it gave up."""

    def __init__(self, reason: str, residual: float) -> None:
        super().__init__(reason)
        self.residual = residual


class Newton:
    """Solves one step after the other, and keeps what can be used again.

    `full` takes a new Jacobian in every iteration. `modified` keeps one, and its LU as long as c stays: it converges with
    the factor ρ((I − cJ*)⁻¹ c(J − J*)), so where it diverges or would be too slow with a Jacobian J* of an earlier step, it
    begins again with that of the guess. `work` counts.
    """

    def __init__(self, system: System, method: str) -> None:
        if not isinstance(method, str) or method not in METHODS:
            raise InputError(f"`newton` must be one of {', '.join(METHODS)}, got {shown(method)}")
        self.system, self.method = system, method
        self.work: Counter[str] = Counter()
        self._jacobian: Tensor | None = None
        self._lu: tuple[float, Tensor, Tensor] | None = None

    def solve(self, t: float, guess: Tensor, right: Tensor, coefficient: float, scale: Tensor) -> Tensor:
        """y [N] with y − c f(t, y) = `right`, to a small share of `scale` [N] in the root mean square. Diverged: none."""
        if self.method == "modified" and self._jacobian is not None:
            try:
                return self._iterated(t, guess, right, coefficient, scale)
            except Diverged:
                self._jacobian = None
        self._renew(t, guess)
        return self._iterated(t, guess, right, coefficient, scale)

    def _iterated(self, t: float, y: Tensor, right: Tensor, c: float, scale: Tensor) -> Tensor:
        before = math.inf
        for number in range(MOST_ITERATIONS):
            if number and self.method == "full":
                self._renew(t, y)
            gap = right - y + c * self.system.function(t, y)
            change = self._solved(gap, c)
            y = y + change
            size = root_mean_square(change / scale)
            self.work["iterations"] += 1
            rate = size / before
            if not math.isfinite(size) or rate >= 1:
                raise Diverged(f"displacements grow, {before:.3g} to {size:.3g} of the tolerance", _largest(gap))
            # what is left after this displacement: rate / (1 − rate) of it, for a geometric series
            if size * (rate / (1 - rate) if number else 10) <= LEFT:
                return y
            left = MOST_ITERATIONS - 1 - number
            if number and self.method == "modified" and size * rate**left * rate / (1 - rate) > LEFT:
                break
            before = size
        raise Diverged(f"displacements shrink too slowly, {size:.3g} of the tolerance by factors {rate:.3g}", _largest(gap))

    def _renew(self, t: float, y: Tensor) -> None:
        self._jacobian, self._lu = self.system.jacobian(t, y), None
        self.work["jacobians"] += 1

    def _solved(self, gap: Tensor, c: float) -> Tensor:
        """(I − cJ)⁻¹ gap."""
        if self._lu is None or abs(c / self._lu[0] - 1) > SAME:
            assert self._jacobian is not None
            matrix = torch.eye(len(gap), dtype=torch.float64) - c * self._jacobian
            factors, pivots, zero = torch.linalg.lu_factor_ex(matrix)
            if int(zero):
                self._lu = None
                raise Diverged(f"the Newton matrix I − hβJ is singular, pivot {int(zero)} is 0", _largest(gap))
            self._lu = (c, factors, pivots)
            self.work["factorizations"] += 1
        solved: Tensor = torch.linalg.lu_solve(self._lu[1], self._lu[2], gap[:, None])[:, 0]
        return solved


def root_mean_square(values: Tensor) -> float:
    """√(Σ v² / N)."""
    return float(torch.linalg.vector_norm(values)) / math.sqrt(len(values))


def _largest(values: Tensor) -> float:
    return float(values.abs().max())
