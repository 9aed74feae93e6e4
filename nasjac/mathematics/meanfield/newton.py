"""A root inside a bracket by Newton's method, safeguarded by bisection."""

from __future__ import annotations

import math
from collections.abc import Callable

#: a root is found when the function is as near to 0, or a step as short
ROUND_OFF, SHORTEST = 1e-13, 1e-15
MOST_STEPS = 200


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
