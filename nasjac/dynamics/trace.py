"""Following one branch of steady states along its arc, step by step, with the events on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from scipy.optimize import brentq
from torch import Tensor

from nasjac.dynamics.arc import Curve
from nasjac.dynamics.steady import SAME

#: steps along the arc in scaled units: the first, the longest, the shortest; the cosine between tangents that is enough
FIRST, LONGEST, SHORTEST, STRAIGHT = 2e-3, 1e-2, 1e-8, 0.99
MOST_POINTS = 20_000


@dataclass(frozen=True)
class Event:
    """A `kind` of fold, hopf or exchange at a `dilution` and `state` [S]; `changes_stability` where α is 0 there.

    `eigenvalue`  the leading one, with an imaginary part of at least 0
    """

    kind: str
    dilution: float
    state: Tensor
    eigenvalue: complex
    changes_stability: bool


def followed(curve: Curve, start: Tensor) -> tuple[list[Tensor], list[Event], bool]:
    """The points [S + 1] and events of the branch through `start`, in order, and whether it is closed."""
    upwards = torch.zeros_like(start)
    upwards[-1] = 1.0
    first = curve.tangent(start, upwards)
    points, events, closed = _walk(curve, start, first)
    if closed:
        return points, events, True
    back, earlier, _ = _walk(curve, start, -first)
    return [*reversed(back[1:]), *points], [*reversed(earlier), *events], False


def _walk(curve: Curve, start: Tensor, tangent: Tensor) -> tuple[list[Tensor], list[Event], bool]:
    points, events, step, first = [start], list[Event](), FIRST, tangent
    while len(points) < MOST_POINTS:
        p = points[-1]
        q = curve.ahead(p, tangent, step)
        turned = None if q is None else curve.tangent(q, tangent)
        if q is None or turned is None or float(turned @ tangent) < STRAIGHT:
            step /= 2
            if step < SHORTEST:
                place = f"dilution {curve.dilution(p):.6g}, state {curve.state(p).tolist()}"
                raise ArithmeticError(f"the branch cannot be followed beyond {place}: steps below {SHORTEST:g}")
            continue
        outside = curve.margin(q) < 0
        if outside:
            q = _root(curve, p, tangent, q, curve.margin)
            turned = curve.tangent(q, tangent)
        events += _events(curve, p, tangent, q, turned)
        points.append(q)
        if outside:
            return points, events, False
        gap = start - q
        if len(points) > 4 and float(gap.norm()) <= step and float(gap @ turned) >= 0 and float(first @ turned) > 0:
            events += _events(curve, q, turned, start, first)
            return [*points, start], events, True
        tangent, step = turned, min(LONGEST, 1.3 * step)
    raise ArithmeticError(f"the branch from dilution {curve.dilution(start):.6g} has more than {MOST_POINTS} points")


def _events(curve: Curve, p: Tensor, tangent: Tensor, q: Tensor, turned: Tensor) -> Iterator[Event]:
    """Events between two points, found by Brent's method along the arc between them."""
    changes = (curve.abscissa(p) < 0) != (curve.abscissa(q) < 0)
    fold = (float(tangent[-1]) < 0) != (float(turned[-1]) < 0)
    crossing = _root(curve, p, tangent, q, curve.abscissa) if changes else None
    real = crossing is not None and not _leading(curve, crossing).imag
    if fold:
        turn = _root(curve, p, tangent, q, lambda point: float(curve.tangent(point, tangent)[-1]))
        yield _event(curve, "fold", turn, real)
    if crossing is not None and not (fold and real):
        yield _event(curve, "exchange" if real else "hopf", crossing, True)


def _root(curve: Curve, p: Tensor, tangent: Tensor, q: Tensor, value: Callable[[Tensor], float]) -> Tensor:
    """The point between two at which a value changes its sign, by Brent's method.

    Where branches cross, the equations of the point are singular; the chord's point stands in for it then.
    """
    step = float(tangent @ (q - p))

    def at(distance: float) -> Tensor:
        found = curve.ahead(p, tangent, distance)
        return p + distance / step * (q - p) if found is None else found

    return at(brentq(lambda distance: value(at(distance)), 0.0, step, xtol=1e-15))


def _event(curve: Curve, kind: str, p: Tensor, changes: bool) -> Event:
    return Event(kind, curve.dilution(p), curve.state(p), _leading(curve, p), changes)


def _leading(curve: Curve, p: Tensor) -> complex:
    values = torch.linalg.eigvals(curve.jacobian(p))
    leading = complex(values[values.real.argmax()])
    return complex(leading.real, abs(leading.imag))


def passes(curve: Curve, points: list[Tensor], p: Tensor) -> bool:
    """Whether the branch through `points` has p on it: corrected from the nearest point, it arrives there."""
    table = torch.stack(points)
    near = table[(table - p).norm(dim=1).argmin()]
    if float((near - p).norm()) > 2 * LONGEST:
        return False
    tangent = curve.tangent(near, p - near)
    found = curve.ahead(near, tangent, float(tangent @ (p - near)))
    return found is not None and float((found - p).abs().max()) <= math.sqrt(SAME)
