"""Stiff equations by BDF-2 with Newton's method, and stirred-tank reactors: Jacobians of dynamics, in float64.

system            y' = f(t, y) and its Jacobian
formula, newton   BDF-2 itself; the nonlinear equation of a step
bdf2, control     given steps, and I − hβJ; steps of its own choice
solution          what comes back, with dense output
problems          Robertson, van der Pol, HIRES, Prothero–Robinson, decay
kinetics, reactor  reactions; in a tank: J = J_closed − D I; integration
steady            steady states in a box
arc, trace, branches  as they move with D: folds, Hopf points, critical dilutions
reactions         Brusselator, Gray–Scott, Van de Vusse

A residual block shifts the eigenvalues of its branch by +1, dilution those of the reactions by −D. The second shift moves
the state too, at which the Jacobian is taken: `reactor` says what follows from that.
"""

from __future__ import annotations

from nasjac.dynamics.bdf2 import NewtonMatrix, march, newton_matrix
from nasjac.dynamics.branches import Branch, branches, critical_dilutions
from nasjac.dynamics.control import integrate
from nasjac.dynamics.formula import coefficients
from nasjac.dynamics.kinetics import Reactions, mass_action
from nasjac.dynamics.reactor import Reactor, numerical_abscissa, spectral_abscissa
from nasjac.dynamics.solution import Solution
from nasjac.dynamics.steady import steady_states
from nasjac.dynamics.system import System, automatic
from nasjac.dynamics.trace import Event

__all__ = [
    "Branch",
    "Event",
    "NewtonMatrix",
    "Reactions",
    "Reactor",
    "Solution",
    "System",
    "automatic",
    "branches",
    "coefficients",
    "critical_dilutions",
    "integrate",
    "march",
    "mass_action",
    "newton_matrix",
    "numerical_abscissa",
    "spectral_abscissa",
    "steady_states",
]
