"""Roots of functions of one variable: inside a bracket with a derivative, and the first one on a grid without."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: `newton` has a root when the function is as near to 0, or a step as short
ROUND_OFF, SHORTEST = 1e-13, 1e-15
MOST_STEPS = 200
#: `first_root` has one when the function is as near to 0, or the bracket as narrow
NEAR, NARROW = 1e-14, 1e-13


def newton(function: Callable[[float], tuple[float, float]], low: float, high: float) -> float:
    """Where a continuous `function`, x -> (value, derivative), is 0 between `low` and `high`, at which it has two signs.

    A step that leaves the bracket is replaced by bisection, so that a wrong derivative costs time and nothing else.

    >>> round(newton(lambda x: (x**3 - 2, 3 * x**2), 0.0, 2.0), 12)
    1.259921049895
    """
    rising = function(low)[0] < 0
    x = (low + high) / 2
    for _ in range(MOST_STEPS):
        value, slope = function(x)
        if abs(value) <= ROUND_OFF:
            return x
        low, high = (x, high) if (value < 0) == rising else (low, x)
        step = x - value / slope if slope else math.inf
        if abs(step - x) <= SHORTEST * max(1.0, abs(x)) or high - low <= SHORTEST * max(1.0, abs(x)):
            return x
        x = step if low < step < high else (low + high) / 2
    return x


def first_root(function: Callable[[Array], Array], grid: Array, values: Array) -> float | None:
    """Where a smooth function with these `values` on the grid first changes sign; None where it does not.

    Regula falsi with the Illinois rule (Dowell & Jarratt 1971): few evaluations, and the root stays bracketed.
    """
    zero = np.flatnonzero(np.abs(values) < NEAR)
    change = np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0)
    if len(zero) and not (len(change) and change[0] < zero[0]):
        return float(grid[zero[0]])
    if not len(change):
        return None
    low, high = (float(grid[change[0] + i]) for i in (0, 1))
    at_low, at_high = (float(values[change[0] + i]) for i in (0, 1))
    while abs(high - low) > NARROW * max(1.0, abs(high)):
        x = high - at_high * (high - low) / (at_high - at_low)
        value = float(function(np.array([x]))[0])
        if abs(value) < NEAR or x in (low, high):
            return x
        if (value < 0) == (at_high < 0):
            at_low /= 2
        else:
            low, at_low = high, at_high
        high, at_high = x, value
    return high
