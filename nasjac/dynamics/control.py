"""BDF-2 with steps of its own choice: a local error of a given size, Newton's method willing."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

import torch
from torch import Tensor

from nasjac.dynamics.bdf2 import checked_state, no_solution
from nasjac.dynamics.formula import Past, Start
from nasjac.dynamics.newton import Diverged, Newton, root_mean_square
from nasjac.dynamics.solution import Solution, Work
from nasjac.dynamics.system import System
from nasjac.foundation.arguments import array, number, shown, tensor
from nasjac.foundation.errors import InputError

#: how far a step may grow, well below 1 + √2, and shrink; what is aimed at; a growth that is not worth a new LU
GROWTH, SHRINKAGE, AIM, KEEP = 2.0, 0.2, 0.9, 1.2
#: a step that is halved so often in a row is given up, and one that is so many roundings of t
MOST_HALVINGS, SMALLEST = 20, 16 * sys.float_info.epsilon


def integrate(
    system: System,
    initial: Tensor,
    interval: tuple[float, float],
    rtol: float = 1e-6,
    atol: float | Tensor = 1e-9,
    first_step: float | None = None,
    newton: str = "modified",
) -> Solution:
    """Integrate a system by BDF-2 with steps of its own choice.

    The local error of a step, by Milne's device, stays below atol + rtol |y| in the root mean square over the components.
    The end error follows tolerance^(2/3), and exceeds the tolerance by one to three decades, by a factor of 2,000 on van
    der Pol's equation with μ = 50 at 1e-8. A step that Newton's method does not solve is halved.

    Args:
        system: y' = f(t, y) in N unknowns.
        initial: The state [N] at the beginning.
        interval: The first and the last time.
        rtol: The relative tolerance, in (0, 1).
        atol: The absolute tolerance above 0, one number or [N].
        first_step: By default it is chosen by the slope and its change (Hairer, Nørsett & Wanner 1993, II.4).
        newton: `modified` keeps a Jacobian while it serves, `full` takes a new one in every iteration.

    Returns:
        The states at the steps; `Solution.at` gives them at any time between.

    Raises:
        InputError: Bad numbers.
        ArithmeticError: A step was halved 20 times in vain (with t, h and residual), or steps are down at the rounding of
            t, as where a solution ends.
    """
    t, end = _checked_interval(interval)
    y, solver = checked_state(system, t, initial, "initial"), Newton(system, newton)
    weights = _checked_weights(rtol, atol, len(y))
    start = Start(t, y, system.function(t, y))
    if first_step is None:
        h = _first_step(system, start, end, weights.of(y))
    else:
        h = number("first_step", first_step, 0.0, open_low=True)
    past: Start | Past = start
    times, states, rejected, halved, in_a_row = [t], [y], 0, 0, 0
    while t < end:
        later = _next_time(t, h, end)
        h = later - t
        if h <= SMALLEST * max(abs(t), abs(later)):
            raise ArithmeticError(f"no step from t = {t:.6g} is small enough: h = {h:.3g}, y = {past.y.tolist()}")
        try:
            new, error, order = _step(solver, past, later, weights)
        except Diverged as reason:
            halved, in_a_row = halved + 1, in_a_row + 1
            if in_a_row > MOST_HALVINGS:
                raise no_solution(later, h, reason) from reason
            h /= 2
            continue
        in_a_row, factor = 0, _factor(error, order)
        if error <= 1:
            past, t = past.then(later, new), later
            times.append(t)
            states.append(new)
        else:
            rejected += 1
        h *= 1 if 1 <= factor < KEEP else factor
    work = Work(len(times) - 1, rejected, halved, **solver.work)
    return Solution(torch.tensor(times, dtype=torch.float64), torch.stack(states), work)


class _Weights(NamedTuple):
    """The unit of errors, absolute + relative |y|."""

    relative: float
    absolute: Tensor

    def of(self, y: Tensor) -> Tensor:
        return self.absolute + self.relative * y.abs()


def _step(solver: Newton, past: Start | Past, later: float, weights: _Weights) -> tuple[Tensor, float, int]:
    """The state after a step, its local error in units of the tolerance, the order. Diverged: there is none."""
    equation, scale = past.equation(later), weights.of(past.y)
    y = solver.solve(later, equation.guess, equation.right, equation.coefficient, scale)
    error = equation.share * (y - equation.guess) / torch.maximum(scale, weights.of(y))
    return y, root_mean_square(error), equation.order


def _factor(error: float, order: int) -> float:
    """What makes the next step's local error, of order p + 1, the one that is aimed at; below 1 after a rejection."""
    best = AIM * math.pow(max(error, sys.float_info.min), -1 / (order + 1))
    return min(GROWTH if error <= 1 else AIM, max(SHRINKAGE, best))


def _next_time(t: float, h: float, end: float) -> float:
    """One step on; the last two share what is left, so that none is tiny."""
    left = end - t
    return end if h >= left else t + left / 2 if 2 * h > left else t + h


def _first_step(system: System, start: Start, end: float, scale: Tensor) -> float:
    """A step whose backward Euler error is some hundredth of the scale, by y'' from a trial step of explicit Euler."""
    size, slope = root_mean_square(start.y / scale), root_mean_square(start.slope / scale)
    trial = 0.01 * size / slope if size > 0 and slope > 0 else 1e-6 * (end - start.t)
    trial = min(trial, end - start.t)
    later = system.function(start.t + trial, start.y + trial * start.slope)
    change = root_mean_square((later - start.slope) / scale) / trial
    largest = max(slope, change)
    return min(100 * trial, math.sqrt(0.02 / largest) if largest > 0 else end - start.t, end - start.t)


def _checked_interval(interval: tuple[float, float]) -> tuple[float, float]:
    ends = array("interval", interval)
    if ends.shape != (2,) or not -math.inf < ends[0] < ends[1] < math.inf:
        raise InputError(f"`interval` must be two finite numbers that increase, got {shown(interval)}")
    return float(ends[0]), float(ends[1])


def _checked_weights(rtol: float, atol: float | Tensor, size: int) -> _Weights:
    absolute, relative = tensor("atol", atol), number("rtol", rtol)
    if not 0 < relative < 1:
        raise InputError(f"`rtol` must be in (0, 1), got {rtol!r}")
    if absolute.shape not in ((), (size,)) or not ((absolute > 0) & absolute.isfinite()).all():
        raise InputError(f"`atol` must be one finite number above 0, or {size} of them, got {shown(absolute.tolist())}")
    return _Weights(relative, absolute)
