"""Reactions whose steady states are known by hand: Brusselator, Gray–Scott, Van de Vusse. Arbitrary, consistent units."""

from __future__ import annotations

import torch

from nasjac.dynamics.kinetics import mass_action
from nasjac.dynamics.reactor import Reactor


def brusselator(feed: tuple[float, float], a: float = 1.0, b: float = 3.0) -> Reactor:
    """A → x, 2x + y → 3x, B + x → y, x → E with A and B held, in the species x, y (Prigogine & Lefever 1968).

    Closed, its steady state is (A, B/A). Fed with that, the state stays for every D, so dilution only shifts the
    eigenvalues and D_c = (B − 1 − A²)/2. Fed with (0, 0) it is washed out towards 0 as D grows: y = (A − x)/D − x, and at
    A = 1, B = 3 it is stable five times sooner than the shift foretells.
    """
    stoichiometry = [[1.0, 1.0, -1.0, -1.0], [0.0, -1.0, 1.0, 0.0]]
    orders = [[0.0, 2.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0]]
    return Reactor(mass_action(("x", "y"), stoichiometry, orders, (a, 1.0, b, 1.0)), _feed(*feed))


def gray_scott(removal: float = 0.04, feed: tuple[float, float] = (1.0, 0.0)) -> Reactor:
    """The autocatalator A + 2B → 3B of rate ab², B → C of rate k b with k = `removal` (Gray & Scott 1983, 1984).

    Fed with (1, 0) it has the washed-out state (1, 0) at every D, always stable, and for D between the folds
    ((1 − 8k) ∓ √(1 − 16k))/8 two reacting states, ab = D + k. So no dilution lets the reaction die, more of it makes it
    stable (Hopf, b² = k), and still more destroys it.
    """
    orders = [[1.0, 0.0], [2.0, 1.0]]
    return Reactor(mass_action(("a", "b"), [[-1.0, 0.0], [1.0, -1.0]], orders, (1.0, removal)), _feed(*feed))


def van_de_vusse(feed: float = 10.0, constants: tuple[float, float, float] = (50.0, 100.0, 10.0)) -> Reactor:
    """A → B → C, 2A → D in the species a, b; rates k1 a, k2 b, k3 a² of A or B that is lost (van de Vusse 1964).

    One steady state, a = (√((k1 + D)² + 4 k3 D a_in) − k1 − D)/(2 k3), b = k1 a/(k2 + D), with real negative eigenvalues at
    every D: there is nothing to stabilize; b has a greatest value in between. The usual constants are per hour, per hour
    and l/(mol h), the feed in mol/l.
    """
    orders = [[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]
    return Reactor(mass_action(("a", "b"), [[-1.0, 0.0, -1.0], [1.0, -1.0, 0.0]], orders, constants), _feed(feed, 0.0))


def _feed(*concentrations: float) -> torch.Tensor:
    return torch.tensor(concentrations, dtype=torch.float64)
