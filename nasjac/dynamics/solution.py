"""What an integration returns: the states at its steps, the polynomial between them, the work it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasjac.foundation.arguments import shown, tensor
from nasjac.foundation.errors import InputError


@dataclass(frozen=True)
class Work:
    """Accepted `steps`; steps `rejected` for their local error and `halved` for Newton's sake; what Newton's method did."""

    steps: int
    rejected: int = 0
    halved: int = 0
    iterations: int = 0
    jacobians: int = 0
    factorizations: int = 0


@dataclass(frozen=True)
class Solution:
    """`times` [T] and `states` [T, N] of the accepted steps, float64."""

    times: Tensor
    states: Tensor
    work: Work

    def at(self, times: Sequence[float] | Tensor) -> Tensor:
        """[K, N] the states at any times of the interval: dense output, of order 2 like the formula.

        Between t_{n−1} and t_n it is the parabola through the last three states, whose slope at t_n is f_n by the formula
        itself; before t_1 it is the parabola of the second step. InputError: times outside.
        """
        t = tensor("times", times).reshape(-1)
        first, last = float(self.times[0]), float(self.times[-1])
        if not ((t >= first) & (t <= last)).all():
            raise InputError(f"`times` must lie in [{first:g}, {last:g}], got {shown(t.tolist())}")
        if len(self.times) == 2:  # one step of backward Euler, or a given point: a straight line
            share = ((t - first) / (last - first))[:, None]
            return (1 - share) * self.states[0] + share * self.states[1]
        n = torch.searchsorted(self.times, t).clamp(min=2)
        t0, t1, t2 = (self.times[n - back] for back in (2, 1, 0))
        y0, y1, y2 = (self.states[n - back] for back in (2, 1, 0))
        # Newton's form from the newer end
        first_KN = (y2 - y1) / (t2 - t1)[:, None]
        second_KN = (first_KN - (y1 - y0) / (t1 - t0)[:, None]) / (t2 - t0)[:, None]
        return y2 + (t - t2)[:, None] * (first_KN + (t - t1)[:, None] * second_KN)
