"""Reactions in a stirred tank: what flows in, reacts and flows out, and the Jacobian of that.

S species of concentrations x, R reactions with the rates v(x), N the stoichiometric matrix [S, R], D the dilution rate
(flow over volume, one over time), x_in the feed (Aris 1965; Feinberg 2019):

    x' = N v(x) − D (x − x_in),    J_closed = N ∂v/∂x,    J = J_closed − D I

At a *frozen* state dilution shifts every eigenvalue by −D, and there it is a universal stabilizer: any D > α(J_closed) is
enough, α the largest real part. But the steady state moves with D. What holds is α(J_closed(x*(D))) < D, which may have
several roots, and dilution can destroy the reacting state altogether (Gray & Scott 1983). It stabilizes whatever the state
only for D > sup_x μ₂(J_closed(x)), where the tank contracts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nasjac.dynamics.control import integrate
from nasjac.dynamics.kinetics import Reactions
from nasjac.dynamics.solution import Solution
from nasjac.dynamics.system import System
from nasjac.foundation.arguments import instance, number, shown, tensor
from nasjac.foundation.errors import InputError


@dataclass(frozen=True)
class Reactor:
    """A stirred tank with `reactions` and the `feed` x_in [S], concentrations of at least 0.

    Every method takes the `dilution` D >= 0 and x [..., S].
    """

    reactions: Reactions
    feed: Tensor

    def __post_init__(self) -> None:
        count = len(instance("reactions", self.reactions, Reactions, "nasjac.dynamics.Reactions").species)
        instance("feed", self.feed, Tensor, "a tensor")
        if self.feed.dtype != torch.float64:
            raise InputError(f"`feed` must be float64, got {self.feed.dtype}")
        if self.feed.shape != (count,) or not ((self.feed >= 0) & self.feed.isfinite()).all():
            given = shown(self.feed.tolist())
            raise InputError(f"`feed` must hold {count} finite concentrations of at least 0, got {given}")

    def change(self, dilution: float, x: Tensor) -> Tensor:
        """x' [..., S]."""
        v = self.reactions.rates(x)
        return (v[..., None, :] * self.reactions.stoichiometry).sum(-1) - dilution * (x - self.feed)

    def jacobian(self, dilution: float, x: Tensor) -> Tensor:
        """J = J_closed(x) − D I [..., S, S]: every eigenvalue of J_closed shifted by −D, at *this* x."""
        return self.reactions.jacobian(x) - dilution * torch.eye(x.shape[-1], dtype=torch.float64)

    def system(self, dilution: float) -> System:
        """The equations at one D, to integrate. InputError: D below 0."""
        dilution = checked_dilution(dilution)
        return System(lambda t, x: self.change(dilution, x), lambda t, x: self.jacobian(dilution, x))

    def trajectory(
        self, dilution: float, initial: Tensor, interval: tuple[float, float], rtol: float = 1e-6, atol: float = 1e-9
    ) -> Solution:
        """The concentrations over `interval`, from `initial` [S], by BDF-2. InputError: negative concentrations."""
        return integrate(self.system(dilution), checked_state(self, initial, "initial"), interval, rtol, atol)


def spectral_abscissa(jacobian: Tensor) -> float:
    """α, the largest real part of the eigenvalues [S, S]: the rate at which a disturbance ends up growing."""
    return float(torch.linalg.eigvals(_square(jacobian)).real.max())


def numerical_abscissa(jacobian: Tensor) -> float:
    """μ₂, the largest eigenvalue of (J + Jᵀ)/2: the fastest growth at once; at least α, more where J is not normal."""
    matrix = _square(jacobian)
    return float(torch.linalg.eigvalsh((matrix + matrix.mT) / 2).max())


def _square(jacobian: Tensor) -> Tensor:
    matrix = tensor("jacobian", jacobian)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix) or not matrix.isfinite().all():
        raise InputError(f"`jacobian` must be a square matrix of finite numbers, got shape {tuple(matrix.shape)}")
    return matrix


def checked_dilution(dilution: float) -> float:
    """D. InputError: it is not a finite number of at least 0."""
    return number("dilution", dilution, 0.0)


def checked_state(reactor: Reactor, x: Tensor, name: str) -> Tensor:
    """x as float64 [S]. InputError: concentrations below 0, or not one a species."""
    state, count = tensor(name, x), len(reactor.reactions.species)
    if state.shape != (count,) or not ((state >= 0) & state.isfinite()).all():
        raise InputError(f"`{name}` must hold {count} finite concentrations of at least 0, got {shown(state.tolist())}")
    return state
