"""Test problems for stiff solvers: right-hand sides, Jacobians, initial states and reference solutions.

The references of Robertson (t = 1e11), HIRES and van der Pol are those of the Test Set for IVP Solvers (Mazzia & Magherini
2008), which scipy's Radau reproduces to 1e-12; Robertson's at t = 40 is Radau's, and LSODA agrees to 1.5e-11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nasjac.dynamics.system import System
from nasjac.foundation.errors import InputError


@dataclass(frozen=True)
class Problem:
    """An initial-value problem: `initial` [N] at interval[0], `reference` [N] at interval[1].

    `floor` lies below the smallest component that matters, so that atol = rtol × floor asks for relative errors of all.
    """

    system: System
    initial: Tensor
    interval: tuple[float, float]
    reference: Tensor
    floor: float


def decay() -> Problem:
    """y' = −y, y(0) = 1, to t = 1."""
    system = System(lambda t, y: -y, lambda t, y: -torch.eye(1, dtype=torch.float64))
    return Problem(system, _vector(1.0), (0.0, 1.0), _vector(math.exp(-1)), 0.1)


def prothero_robinson(rate: float = -1e6) -> Problem:
    """y' = λ(y − φ(t)) + φ'(t), φ = sin(t + π/4), y(0) = φ(0), to t = 1: order reduction would show (Prothero & Robinson
    1974). BDF-2 has none: its error there is h² |φ'''| / (3|λ|)."""
    if not -math.inf < rate < 0:
        raise InputError(f"`rate` must be a finite number below 0, got {rate!r}")
    shift = math.pi / 4
    system = System(
        lambda t, y: rate * (y - math.sin(t + shift)) + math.cos(t + shift),
        lambda t, y: torch.full((1, 1), rate, dtype=torch.float64),
    )
    return Problem(system, _vector(math.sin(shift)), (0.0, 1.0), _vector(math.sin(1 + shift)), 0.1)


def robertson(end: float = 1e11) -> Problem:
    """Robertson's autocatalytic kinetics (1966), rates 0.04, 3e7 and 1e4; mass 1 is conserved. `end` is 40 or 1e11.

    The second component falls to 1e-13 of the third: an absolute tolerance far below it, or errors grow without bound.
    """
    references = {
        40.0: _vector(0.7158270687194, 9.185534764558e-06, 0.2841637457458),
        1e11: _vector(2.083340149701255e-08, 8.333360770334713e-14, 0.9999999791665050),
    }
    if end not in references:
        raise InputError(f"`end` must be one of {', '.join(f'{t:g}' for t in references)}, got {end!r}")

    def function(t: float, y: Tensor) -> Tensor:
        a, b, c = y.unbind()
        slow, fast, back = 0.04 * a, 3e7 * b * b, 1e4 * b * c
        return torch.stack((back - slow, slow - back - fast, fast))

    def jacobian(t: float, y: Tensor) -> Tensor:
        _, b, c = y.tolist()
        x, z, w = 1e4 * c, 1e4 * b, 6e7 * b
        return _matrix((-0.04, x, z), (0.04, -x - w, -z), (0.0, w, 0.0))

    return Problem(System(function, jacobian), _vector(1.0, 0.0, 0.0), (0.0, end), references[end], 1e-14)


def van_der_pol() -> Problem:
    """y'' = μ(1 − y²)y' − y with μ = 1000 from (2, 0) to t = 2000, van der Pol's relaxation oscillation (1926)."""

    def function(t: float, y: Tensor) -> Tensor:
        position, speed = y.unbind()
        return torch.stack((speed, 1000 * (1 - position**2) * speed - position))

    def jacobian(t: float, y: Tensor) -> Tensor:
        position, speed = y.tolist()
        return _matrix((0.0, 1.0), (-2000 * position * speed - 1, 1000 * (1 - position**2)))

    reference = _vector(1.706167732170469, -0.8928097010248125e-3)
    return Problem(System(function, jacobian), _vector(2.0, 0.0), (0.0, 2000.0), reference, 1e-4)


def hires() -> Problem:
    """HIRES, eight species of a plant's morphogenesis by light (Schäfer 1975), to t = 321.8122."""

    linear = torch.zeros(8, 8, dtype=torch.float64)
    for row, entries in enumerate(_HIRES):
        for column, value in entries.items():
            linear[row, column] = value
    supply = _vector(0.0007, *[0.0] * 7)
    binding = _vector(*[0.0] * 5, -1.0, 1.0, -1.0)  # what one reaction of the sixth and the eighth species gives

    def function(t: float, y: Tensor) -> Tensor:
        return linear @ y + supply + 280 * y[5] * y[7] * binding

    def jacobian(t: float, y: Tensor) -> Tensor:
        matrix = linear.clone()
        matrix[:, 5] += 280 * y[7] * binding
        matrix[:, 7] += 280 * y[5] * binding
        return matrix

    initial = _vector(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057)
    return Problem(System(function, jacobian), initial, (0.0, 321.8122), _vector(*_HIRES_END), 1e-5)


#: HIRES' linear part, by row: column -> entry; and its state at the end
_HIRES: tuple[dict[int, float], ...] = (
    {0: -1.71, 1: 0.43, 2: 8.32},
    {0: 1.71, 1: -8.75},
    {2: -10.03, 3: 0.43, 4: 0.035},
    {1: 8.32, 2: 1.71, 3: -1.12},
    {4: -1.745, 5: 0.43, 6: 0.43},
    {3: 0.69, 4: 1.71, 5: -0.43, 6: 0.69},
    {6: -1.81},
    {6: 1.81},
)
_HIRES_END = (
    0.7371312573325668e-3,
    0.1442485726316185e-3,
    0.5888729740967575e-4,
    0.1175651343283149e-2,
    0.2386356198831331e-2,
    0.6238968252742796e-2,
    0.2849998395185769e-2,
    0.2850001604814231e-2,
)


def _vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _matrix(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)
