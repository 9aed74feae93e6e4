"""The oracles of probes: squared partial-Jacobian norms of any function with taps, exact and estimated, and variances.

`taps` maps x [N_0] to a list of tensors h_0 ... h_L (any shapes); energies are per unit, ‖∂h_l/∂x‖_F² / numel(h_l).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from nasjac.mathematics.probes import sphere

Taps = Callable[[Tensor], Sequence[Tensor]]


def exact(taps: Taps, x: Tensor) -> Tensor:
    """[L+1] energies from the whole Jacobians; costs as many backward passes as the taps have elements."""
    jacobians: tuple[Tensor, ...] = torch.func.jacrev(lambda x: tuple(taps(x)))(x)
    return torch.stack([j.square().sum() * x.numel() / j.numel() for j in jacobians])


def by_tangents(taps: Taps, x: Tensor, probes: Tensor) -> Tensor:
    """[P, L+1] one estimate a probe: ‖J u‖² / numel(h_l), for probes u [P, *x.shape] with E u uᵀ = I."""

    def energies(probe: Tensor) -> Tensor:
        tangents = torch.func.jvp(lambda x: tuple(taps(x)), (x,), (probe,))[1]
        return torch.stack([tangent.square().mean() for tangent in tangents])

    return torch.stack([energies(probe) for probe in probes])


def by_cotangents(function: Callable[[Tensor], Tensor], x: Tensor, probes: Tensor) -> Tensor:
    """[P] one estimate a probe of a single tap: ‖Jᵀ v‖² / numel(h), for probes v [P, *h.shape] with E v vᵀ = I."""
    output, pull_back = torch.func.vjp(function, x)[:2]
    return torch.stack([pull_back(probe)[0].square().sum() / output.numel() for probe in probes])


def gaussian(count: int, size: int, generator: Generator) -> Tensor:
    """[count, size] standard normal probes, float64."""
    return torch.randn(count, size, dtype=torch.float64, generator=generator)


def rademacher(count: int, size: int, generator: Generator) -> Tensor:
    """[count, size] random signs (Hutchinson 1990)."""
    return torch.randint(2, (count, size), generator=generator).to(torch.float64) * 2 - 1


def coordinate(count: int, size: int, generator: Generator) -> Tensor:
    """[count, size] one coordinate each, times √size."""
    chosen = torch.randint(size, (count,), generator=generator)
    return math.sqrt(size) * torch.nn.functional.one_hot(chosen, size).to(torch.float64)


#: probe kinds v with E v vᵀ = I, and the variance of one estimate vᵀ A v of the trace of a symmetric A [m, m]
PROBES: dict[str, tuple[Callable[[int, int, Generator], Tensor], Callable[[Tensor], Tensor]]] = {
    "gaussian": (gaussian, lambda a: 2 * a.square().sum()),
    "rademacher": (rademacher, lambda a: 2 * (a.square().sum() - a.diagonal().square().sum())),
    "sphere": (sphere, lambda a: 2 / (len(a) + 2) * (len(a) * a.square().sum() - a.trace() ** 2)),
    "coordinate": (coordinate, lambda a: len(a) * a.diagonal().square().sum() - a.trace() ** 2),
}
