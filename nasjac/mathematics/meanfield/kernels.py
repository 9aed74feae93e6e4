"""Gaussian cross moments of the activations: E phi(x)phi(y) and E phi'(x)phi'(y) for correlated x and y; elementwise.

x and y have zero means, variances q1 and q2 and covariance c. By Price's theorem the second moment is the c-derivative of
the first. Every law here is split as (value at c = √(q1 q2)) - (drop over the gap √(q1 q2) - c), the drop with all its
digits, because tokens that collapse onto one another differ by less than the rounding error of c.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from nasjac.foundation.errors import InputError
from nasjac.mathematics.meanfield.moments import MOMENTS, Array
from nasjac.mathematics.meanfield.pair_laws import LAWS, Kernel


def kernel(name: str, q1: ArrayLike, q2: ArrayLike, c: ArrayLike) -> Kernel:
    """Cross moments of the activation `name`; arrays that broadcast, variances in [1e-100, 1e100].

    A covariance beyond ±√(q1 q2) is taken as rounding and clipped. Errors are about 1e-15 of the value at
    c = √(q1 q2), tanh's too.

    >>> kernel("relu", 1.0, 1.0, 0.5).derivative_second.round(12)
    np.float64(0.333333333333)
    """
    if name not in LAWS:
        raise InputError(f"`activation` must be one of {', '.join(LAWS)}, got {name!r}")
    q1, q2, c = (np.asarray(value, dtype=np.float64) for value in np.broadcast_arrays(q1, q2, c))
    root = np.sqrt(q1 * q2)
    top, drop = LAWS[name](q1, q2, root - np.clip(c, -root, root))
    return Kernel(np.asarray(top.second - drop.second), np.asarray(top.derivative_second - drop.derivative_second))


def half_distance(name: str, q1: Array, q2: Array, gap: Array, radial: Array) -> Kernel:
    """½E(phi(x) - phi(y))² and ½E(phi'(x) - phi'(y))², with all their digits however near x is to y; arrays of one shape.

    `gap` is √(q1 q2) - c and `radial` √q1 - √q2, given by the caller since both may be below the rounding error of q.
    """
    drop = LAWS[name](q1, q2, gap).drop
    if name == "linear":
        return Kernel(drop.second + radial**2 / 2, drop.derivative_second)
    if name == "relu":
        return Kernel(drop.second + radial**2 / 4, drop.derivative_second)
    if not radial.any():
        return drop
    second, derivative = _radial_distance(name, q1, q2, radial)
    return Kernel(drop.second + second, drop.derivative_second + derivative)


def _radial_distance(name: str, q1: Array, q2: Array, radial: Array) -> Kernel:
    """`half_distance` at gap 0, where x = √q1 g and y = √q2 g.

    Near q1 = q2 the first is ½ radial² E g² phi'(x)², and E g² phi'² = S + dS/d log √q by Stein's lemma.
    """
    law, nothing, step = LAWS[name], np.zeros_like(q1), 1e-3
    one, other, both = (law(*q, nothing).top for q in ((q1, q1), (q2, q2), (q1, q2)))
    far = (one.second + other.second) / 2 - both.second
    q = np.sqrt(q1 * q2)
    s, above, below = (MOMENTS[name](q * math.exp(2 * shift)).derivative_second for shift in (0, step, -step))
    near = radial**2 / 2 * (s + (above - below) / (2 * step))
    second = np.where(np.abs(radial) < 1e-4 * np.sqrt(q), near, far)
    derivative = (one.derivative_second + other.derivative_second) / 2 - both.derivative_second
    return Kernel(second, np.where(radial == 0, 0.0, derivative))
