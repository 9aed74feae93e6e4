"""Branches of steady states over the dilution rate: where they fold back, and where they become stable.

A steady state x*(D) moves with D, and turns back at folds, so a branch is followed by its arc, not by D. Along it

    fold      D turns back: J has a zero eigenvalue, and two states meet and vanish
    hopf      a complex pair crosses the imaginary axis: an oscillation is born
    exchange  a real eigenvalue crosses it without a fold, as where two branches meet
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nasjac.dynamics.arc import Curve
from nasjac.dynamics.kinetics import Numbers
from nasjac.dynamics.reactor import Reactor
from nasjac.dynamics.steady import Box, roots
from nasjac.dynamics.trace import Event, followed, passes
from nasjac.foundation.arguments import array, items, shown, whole
from nasjac.foundation.errors import InputError

MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Branch:
    """`dilutions` [P], `states` [P, S] and spectral `abscissa` [P] of J along the arc, and the `events` on it.

    `closed`: an isola, which ends where it began.
    """

    dilutions: Tensor
    states: Tensor
    abscissa: Tensor
    events: tuple[Event, ...]
    closed: bool


def branches(
    reactor: Reactor, dilutions: tuple[float, float], box: tuple[Numbers, Numbers], seeds: int = 16
) -> list[Branch]:
    """Follow every branch of steady states between two dilutions.

    Steady states are sought at some dilutions, and each that lies on no branch yet is followed both ways to the edges of
    box and range or back to itself. A branch that exists between two neighbouring seeds only is missed.

    Args:
        reactor: The tank, with S species.
        dilutions: The least and the largest, above 0.
        box: The least and the largest concentrations, [S] each.
        seeds: At how many dilutions, log-spaced, steady states are sought.

    Returns:
        The branches with their folds, Hopf points and exchanges of stability.

    Raises:
        InputError: There is no steady state at any of the seeds, or bad numbers.
        ArithmeticError: A branch cannot be followed.
    """
    ends = array("dilutions", dilutions)
    if ends.shape != (2,) or not 0 < ends[0] < ends[1] < math.inf:
        raise InputError(f"`dilutions` must be two finite numbers above 0 that increase, got {shown(dilutions)}")
    low, high = ends.tolist()
    seeds = whole("seeds", seeds, 1, MOST_SEEDS)
    curve, found = Curve(reactor, Box.of(reactor, box), (low, high)), list[list[Tensor]]()
    done: list[Branch] = []
    for number in range(seeds):
        dilution = low * (high / low) ** ((number + 0.5) / seeds)
        for state in roots(reactor, dilution, curve.box):
            p = curve.point(dilution, state)
            if not any(passes(curve, points, p) for points in found):
                points, events, closed = followed(curve, p)
                found.append(points)
                done.append(_branch(curve, points, events, closed))
    if not done:
        span = f"between dilutions {low:g} and {high:g}"
        raise InputError(f"`box` must hold a steady state {span}, got none from {box[0]} to {box[1]}")
    return done


def critical_dilutions(found: list[Branch]) -> list[Event]:
    """All events at which a steady state becomes stable or unstable, by dilution: the roots of α(J_closed(x*(D))) = D."""
    known = items("found", found, Branch, "nasjac.dynamics.Branch")
    return sorted((e for branch in known for e in branch.events if e.changes_stability), key=lambda e: e.dilution)


def _branch(curve: Curve, points: list[Tensor], events: list[Event], closed: bool) -> Branch:
    dilutions = torch.tensor([curve.dilution(p) for p in points], dtype=torch.float64)
    abscissa = torch.tensor([curve.abscissa(p) for p in points], dtype=torch.float64)
    return Branch(dilutions, torch.stack([curve.state(p) for p in points]), abscissa, tuple(events), closed)
