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

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasjac.dynamics.control import integrate
from nasjac.dynamics.solution import Solution
from nasjac.dynamics.system import System
from nasjac.foundation.arguments import instance, items, number, shown, tensor
from nasjac.foundation.errors import InputError

Rates = Callable[[Tensor], Tensor]
Numbers = Sequence[float] | Tensor


@dataclass(frozen=True)
class Reactions:
    """A network of reactions among `species` (S names): any rate law, or by `mass_action`.

    `stoichiometry`  N [S, R], what one turn of each reaction gives of each species
    `rates`          x [..., S] -> v [..., R]
    `rate_jacobian`  x [..., S] -> ∂v/∂x [..., R, S]

    ValueError: names, matrix and rates that do not fit together.
    """

    species: tuple[str, ...]
    stoichiometry: Tensor
    rates: Rates
    rate_jacobian: Rates

    def __post_init__(self) -> None:
        instance("stoichiometry", self.stoichiometry, Tensor, "a tensor")
        object.__setattr__(self, "species", _names(self.species))
        for name in ("rates", "rate_jacobian"):
            if not callable(getattr(self, name)):
                raise InputError(f"`{name}` must be a function of x, got {shown(getattr(self, name))}")
        shape, count = tuple(self.stoichiometry.shape), len(self.species)
        if len(shape) != 2 or shape[0] != count or not self.stoichiometry.isfinite().all():
            raise InputError(f"`stoichiometry` must have one row of finite numbers a species, {count}, got shape {shape}")
        ones = torch.ones(count, dtype=torch.float64)
        found, square = tuple(self.rates(ones).shape), tuple(self.rate_jacobian(ones).shape)
        if found != shape[1:] or square != shape[::-1]:
            wanted = f"{shape[1:]} and {shape[::-1]}, as `stoichiometry` has {shape[1]} reactions"
            raise InputError(f"`rates` and `rate_jacobian` must give shapes {wanted}, got {found} and {square}")

    def jacobian(self, x: Tensor) -> Tensor:
        """J_closed = N ∂v/∂x [..., S, S], that of the closed vessel, at x [..., S]."""
        return self.stoichiometry @ self.rate_jacobian(x)


def mass_action(
    species: Sequence[str], stoichiometry: Sequence[Numbers], orders: Sequence[Numbers], constants: Numbers
) -> Reactions:
    """Rates v_r = k_r Π_s x_s^e_sr, with `orders` e [S, R] of at least 0 and `constants` k [R] of at least 0.

    >>> decay = mass_action(["a"], [[-1.0]], [[2.0]], [3.0])
    >>> decay.rates(torch.tensor([2.0])).tolist(), decay.jacobian(torch.tensor([2.0])).tolist()
    ([12.0], [[-12.0]])
    """
    e_SR, n_SR = (_matrix(name, rows) for name, rows in (("orders", orders), ("stoichiometry", stoichiometry)))
    k_R = tensor("constants", constants)
    if e_SR.shape != n_SR.shape or k_R.shape != n_SR.shape[1:]:
        shapes = f"{tuple(e_SR.shape)} and {tuple(k_R.shape)}"
        raise InputError(
            f"`orders` and `constants` must be [S, R] and [R], as `stoichiometry` {[*n_SR.shape]}, got {shapes}"
        )
    for name, values in (("orders", e_SR), ("constants", k_R)):
        if not ((values >= 0) & values.isfinite()).all():
            raise InputError(f"`{name}` must hold finite numbers of at least 0, got {shown(values.tolist())}")
    names, count = _names(species), len(e_SR)
    less_SR = torch.where(e_SR > 0, e_SR - 1, 0)  # of e x^(e−1), which is 0 where e is, for x = 0 too

    def powers(x: Tensor) -> Tensor:
        return x[..., :, None] ** e_SR

    def rates(x: Tensor) -> Tensor:
        return k_R * powers(x).prod(dim=-2)

    def jacobian(x: Tensor) -> Tensor:
        slopes = e_SR * x[..., :, None] ** less_SR  # ∂/∂x_s puts this in the place of the factor s
        factors = powers(x)[..., None, :, :].repeat(*[1] * (x.ndim - 1), count, 1, 1)
        one = torch.arange(count)
        factors[..., one, one, :] = slopes
        return (k_R * factors.prod(dim=-2)).transpose(-1, -2)

    return Reactions(names, n_SR, rates, jacobian)


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
        """The equations at one D, to integrate. ValueError: D below 0."""
        dilution = checked_dilution(dilution)
        return System(lambda t, x: self.change(dilution, x), lambda t, x: self.jacobian(dilution, x))

    def trajectory(
        self, dilution: float, initial: Tensor, interval: tuple[float, float], rtol: float = 1e-6, atol: float = 1e-9
    ) -> Solution:
        """The concentrations over `interval`, from `initial` [S], by BDF-2. ValueError: negative concentrations."""
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
    """x as float64 [S]. ValueError: concentrations below 0, or not one a species."""
    state, count = tensor(name, x), len(reactor.reactions.species)
    if state.shape != (count,) or not ((state >= 0) & state.isfinite()).all():
        raise InputError(f"`{name}` must hold {count} finite concentrations of at least 0, got {shown(state.tolist())}")
    return state


def _names(species: Sequence[str]) -> tuple[str, ...]:
    """One a species; a text has a letter for each."""
    return tuple(items("species", list(species) if isinstance(species, str) else species, str, "names"))


def _matrix(name: str, rows: Sequence[Numbers]) -> Tensor:
    found = tensor(name, rows)
    if found.ndim != 2:
        raise InputError(f"`{name}` must have rows of one length, got shape {tuple(found.shape)}")
    return found
