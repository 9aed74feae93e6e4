"""Steady states of a stirred tank at given dilutions, by Newton's method from many starts at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nasjac.dynamics.kinetics import Numbers
from nasjac.dynamics.reactor import Reactor, checked_dilution
from nasjac.foundation.arguments import instance, items, shown, tensor
from nasjac.foundation.errors import InputError

#: starts in a box, and Newton steps from each; two roots are one where they are as near, in units of the box
STARTS, MOST_STEPS, SAME = 256, 60, 1e-7
#: by how much of its width a root may miss the box, and how far the last step may have moved it
EDGE, EXACT = 1e-9, 1e-12


@dataclass(frozen=True)
class Box:
    """Concentrations from `low` [S] to `high` [S], between which steady states are looked for."""

    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, reactor: Reactor, box: tuple[Numbers, Numbers]) -> Box:
        """Check the box of a reactor. InputError: not two rows of S finite concentrations, 0 <= low < high."""
        count = len(instance("reactor", reactor, Reactor, "a nasjac.dynamics.Reactor").reactions.species)
        ends = [tensor("box", end) for end in items("box", box, object, "two ends, low and high")]
        if len(ends) != 2:
            raise InputError(f"`box` must be two ends, low and high, got {len(ends)}")
        fits = all(end.shape == (count,) and bool(end.isfinite().all()) for end in ends)
        if not fits or not ((ends[0] >= 0) & (ends[0] < ends[1])).all():
            given = f"{shown(ends[0].tolist())} and {shown(ends[1].tolist())}"
            raise InputError(f"`box` must be {count} concentrations twice, 0 <= low < high, got {given}")
        return cls(*ends)

    @property
    def widths(self) -> Tensor:
        return self.high - self.low

    def scaled(self, x: Tensor) -> Tensor:
        """x [..., S] in units of the box, from 0 to 1."""
        return (x - self.low) / self.widths


def steady_states(reactor: Reactor, dilution: float, box: tuple[Numbers, Numbers]) -> Tensor:
    """Find the steady states of a tank inside a box of concentrations, by Newton's method from 256 starts (Sobol).

    This finds every state whose basin is not tiny, which is no proof that there are no others; `branches` adds those that
    hang together with them.

    Args:
        reactor: The tank, with S species.
        dilution: D of at least 0.
        box: The least and the largest concentrations, [S] each.

    Returns:
        The states [K, S], by their first concentration.

    Raises:
        InputError: There is no state in the box, or bad numbers.
    """
    dilution = checked_dilution(dilution)
    found = roots(reactor, dilution, Box.of(reactor, box))
    if not len(found):
        raise InputError(f"`box` must hold a steady state at dilution {dilution:g}, got none from {box[0]} to {box[1]}")
    return found


def roots(reactor: Reactor, dilution: float, box: Box) -> Tensor:
    """[K, S] as `steady_states`, where K may be 0."""
    sobol = torch.quasirandom.SobolEngine(len(box.low))  # type: ignore[no-untyped-call]
    unit = sobol.draw(STARTS, dtype=torch.float64)
    x = box.low + unit * box.widths
    change = torch.full_like(x, math.inf)
    for _ in range(MOST_STEPS):
        gap, matrix = reactor.change(dilution, x), reactor.jacobian(dilution, x)
        change, singular = torch.linalg.solve_ex(matrix, gap)
        going = (singular == 0) & (change.isfinite() & (x - change).isfinite()).all(-1)
        x, change = x[going] - change[going], change[going]
        if not len(x) or (change.abs() <= EXACT * box.widths).all():
            break
    inside = ((box.scaled(x) >= -EDGE) & (box.scaled(x) <= 1 + EDGE)).all(-1)
    exact = (change.abs() <= EXACT * box.widths).all(-1)
    return _different(x[inside & exact], box)


def _different(x: Tensor, box: Box) -> Tensor:
    kept: list[Tensor] = []
    for state in x[torch.argsort(x[:, 0])]:
        if all((box.scaled(state) - box.scaled(other)).abs().max() > SAME for other in kept):
            kept.append(state)
    return torch.stack(kept) if kept else x[:0]
