"""A curve of steady states in scaled coordinates, and steps along its arc (Keller 1977).

A point p [S + 1] holds the concentrations in units of the box and log D in units of its range, all in [0, 1] inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nasjac.dynamics.reactor import Reactor, spectral_abscissa
from nasjac.dynamics.steady import EDGE, Box

#: Newton steps of a correction, and the displacement after which it is done
MOST_STEPS, EXACT = 8, 1e-13


@dataclass(frozen=True)
class Curve:
    """The equation x'(p) = 0 of a `reactor`, in a `box` and between two `dilutions` above 0."""

    reactor: Reactor
    box: Box
    dilutions: tuple[float, float]

    def point(self, dilution: float, x: Tensor) -> Tensor:
        low, high = self.dilutions
        place = math.log(dilution / low) / math.log(high / low)
        return torch.cat((self.box.scaled(x), torch.tensor([place], dtype=torch.float64)))

    def dilution(self, p: Tensor) -> float:
        low, high = self.dilutions
        return low * math.exp(float(p[-1]) * math.log(high / low))

    def state(self, p: Tensor) -> Tensor:
        return self.box.low + p[:-1] * self.box.widths

    def jacobian(self, p: Tensor) -> Tensor:
        """J at p, of the concentrations themselves [S, S]."""
        return self.reactor.jacobian(self.dilution(p), self.state(p))

    def abscissa(self, p: Tensor) -> float:
        return spectral_abscissa(self.jacobian(p))

    def margin(self, p: Tensor) -> float:
        """How far inside box and range p lies, below 0 outside; a state on an edge of the box is inside."""
        inside = torch.minimum(p, 1 - p)
        return min(float(inside[:-1].min()) + EDGE, float(inside[-1]))

    def slopes(self, p: Tensor) -> Tensor:
        """∂x'/∂p [S, S + 1]."""
        low, high = self.dilutions
        dilution, x = self.dilution(p), self.state(p)
        by_x = self.reactor.jacobian(dilution, x) * self.box.widths
        by_dilution = (self.reactor.feed - x) * dilution * math.log(high / low)
        return torch.cat((by_x, by_dilution[:, None]), dim=1)

    def tangent(self, p: Tensor, along: Tensor) -> Tensor:
        """[S + 1] of length 1, in the direction of `along`."""
        found: Tensor = torch.linalg.svd(self.slopes(p)).Vh[-1]
        return found if float(found @ along) >= 0 else -found

    def ahead(self, p: Tensor, tangent: Tensor, distance: float) -> Tensor | None:
        """The point of the curve in the plane at that distance along the tangent; None: Newton's method finds none."""
        target: Tensor = p + distance * tangent
        q: Tensor = target
        for _ in range(MOST_STEPS):
            gap = torch.cat((self.reactor.change(self.dilution(q), self.state(q)), (tangent @ (q - target))[None]))
            matrix = torch.cat((self.slopes(q), tangent[None]))
            change, singular = torch.linalg.solve_ex(matrix, gap)
            if int(singular) or not bool(change.isfinite().all()) or float(change.abs().max()) > 1:
                return None
            q = q - change
            if float(change.abs().max()) <= EXACT:
                return q
        return None
