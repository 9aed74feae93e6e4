"""Networks of reactions: their stoichiometry, their rates, and the Jacobian of a closed vessel.

S species of concentrations x, R reactions with the rates v(x), N the stoichiometric matrix [S, R].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasjac.foundation.arguments import instance, items, shown, tensor
from nasjac.foundation.errors import InputError

Rates = Callable[[Tensor], Tensor]
Numbers = Sequence[float] | Tensor


@dataclass(frozen=True)
class Reactions:
    """A network of reactions among `species` (S names): any rate law, or by `mass_action`.

    `stoichiometry`  N [S, R], what one turn of each reaction gives of each species
    `rates`          x [..., S] -> v [..., R]
    `rate_jacobian`  x [..., S] -> ∂v/∂x [..., R, S]

    InputError: names, matrix and rates that do not fit together.
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


def _names(species: Sequence[str]) -> tuple[str, ...]:
    """One a species; a text has a letter for each."""
    return tuple(items("species", list(species) if isinstance(species, str) else species, str, "names"))


def _matrix(name: str, rows: Sequence[Numbers]) -> Tensor:
    found = tensor(name, rows)
    if found.ndim != 2:
        raise InputError(f"`{name}` must have rows of one length, got shape {tuple(found.shape)}")
    return found
