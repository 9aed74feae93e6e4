"""BDF-2, the two-step backward differentiation formula, for stiff equations on given steps; and its Newton matrix.

This is a reference to look into, not a rival to scipy's solvers of higher order. `nasjac.dynamics.formula` has the formula,
`nasjac.dynamics.control.integrate` chooses the steps by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from nasjac.dynamics.formula import RATIO_LIMIT, Past, Start, coefficients
from nasjac.dynamics.newton import Diverged, Newton
from nasjac.dynamics.solution import Solution, Work
from nasjac.dynamics.system import System
from nasjac.foundation.arguments import array, instance, number, shown, tensor
from nasjac.foundation.errors import InputError


def march(
    system: System,
    initial: Tensor,
    times: Sequence[float] | Tensor,
    start: Tensor | None = None,
    newton: str = "full",
    accuracy: float = 1e-13,
) -> Solution:
    """Integrate a system by BDF-2 on steps that are chosen beforehand.

    Args:
        system: y' = f(t, y) in N unknowns.
        initial: The state [N] at the first time.
        times: [T] that increase, each step below 1 + √2 times the one before (`integrate` chooses steps by itself).
        start: An exact state [N] at times[1]; without it backward Euler makes that step.
        newton: `full` takes a new Jacobian in every iteration, `modified` keeps one while it serves.
        accuracy: Relative, to which Newton's method goes on.

    Returns:
        The states at the times, with dense output between them.

    Raises:
        InputError: Times or states that do not fit.
        ArithmeticError: A step has no solution (it is not halved here); with t, h and residual.

    >>> decay = System(lambda t, y: -y, lambda t, y: -torch.eye(1, dtype=torch.float64))
    >>> round(float(march(decay, torch.ones(1), [0.0, 0.1, 0.2]).states[-1]), 6)
    0.823864
    """
    t_T = _checked_times(times)
    accuracy = number("accuracy", accuracy, 0.0, 1.0, open_low=True)
    y, solver = checked_state(system, t_T[0], initial, "initial"), Newton(system, newton)
    states = [y]
    past: Start | Past = Start(t_T[0], y, system.function(t_T[0], y))
    for t in t_T[1:]:
        if start is not None and len(states) == 1:
            y = checked_state(system, t, start, "start")
        else:
            equation = past.equation(t)
            scale = _scale(past.y.abs() + equation.guess.abs(), accuracy)
            try:
                y = solver.solve(t, equation.guess, equation.right, equation.coefficient, scale)
            except Diverged as reason:
                raise no_solution(t, t - past.t, reason) from reason
        past = past.then(t, y)
        states.append(y)
    return Solution(torch.tensor(t_T, dtype=torch.float64), torch.stack(states), Work(len(t_T) - 1, **solver.work))


def _scale(sizes: Tensor, accuracy: float) -> Tensor:
    """A share of each component, and of the largest a thousandth of that: a component of 0 has no digits of its own."""
    tiny: float = torch.finfo(torch.float64).tiny  # for the state 0
    return accuracy * (sizes + 1e-3 * sizes.max()) + tiny


@dataclass(frozen=True)
class NewtonMatrix:
    """I − cJ, c = hβ: `matrix` [N, N], its complex `eigenvalues` [N] = 1 − cλ, and its `condition` number in the 2-norm.

    Singular: infinite, up to rounding.
    """

    matrix: Tensor
    eigenvalues: Tensor
    condition: float


def newton_matrix(system: System, t: float, y: Tensor, step: float, ratio: float = 1.0) -> NewtonMatrix:
    """Return the Newton matrix I − hβJ of a step, its eigenvalues and its condition number.

    Args:
        system: y' = f(t, y) in N unknowns.
        t: The time.
        y: The state [N] at which J is taken.
        step: h.
        ratio: That of h to the step before it, on which β depends.

    Raises:
        InputError: A state that does not fit, or a step or ratio that is not above 0.

    >>> decay = System(lambda t, y: -3 * y, lambda t, y: -3 * torch.eye(1, dtype=torch.float64))
    >>> round(newton_matrix(decay, 0.0, torch.ones(1), step=0.5).eigenvalues.real.item(), 12)
    2.0
    """
    t, step = number("t", t), number("step", step, 0.0, open_low=True)
    state = checked_state(system, t, y, "y")
    matrix = torch.eye(len(state), dtype=torch.float64) - step * coefficients(ratio).beta * system.jacobian(t, state)
    return NewtonMatrix(matrix, torch.linalg.eigvals(matrix), float(torch.linalg.cond(matrix)))


def no_solution(t: float, step: float, reason: Diverged) -> ArithmeticError:
    """The error of a step that has no solution."""
    text = f"no solution of the step to t = {t:.6g}, h = {step:.3g}: {reason}; residual {reason.residual:.3g}"
    return ArithmeticError(text)


def checked_state(system: System, t: float, state: Tensor, name: str) -> Tensor:
    """The state as float64 [N]. InputError: not a finite vector, or one that f does not fit."""
    y = tensor(name, state)
    if y.ndim != 1 or not len(y) or not y.isfinite().all():
        raise InputError(f"`{name}` must be a vector of finite numbers, got {shown(y.tolist())}")
    instance("system", system, System, "a nasjac.dynamics.System")
    shape, square = system.function(t, y).shape, system.jacobian(t, y).shape
    if shape != y.shape or square != (len(y), len(y)):
        raise InputError(
            f"`function` and `jacobian` must give [N] and [N, N], N = {len(y)}, got {[*shape]} and {[*square]}"
        )
    return y


def _checked_times(given: Sequence[float] | Tensor) -> list[float]:
    times = array("times", given).tolist()
    if not isinstance(times, list) or any(isinstance(time, list) for time in times):
        raise InputError(f"`times` must be numbers one after the other, got {shown(times)}")
    steps = [later - earlier for earlier, later in pairwise(times)]
    if not steps or not all(0 < step < math.inf for step in steps):
        raise InputError(f"`times` must hold two or more finite numbers that increase, got {shown(times)}")
    for before, step in pairwise(steps):
        if step / before >= RATIO_LIMIT:
            raise InputError(f"`times` must have steps below 1 + √2 times the one before, got {before:.6g} then {step:.6g}")
    return times
