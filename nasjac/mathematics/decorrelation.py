"""How different the Jacobians of different inputs are: from products of one probe with each."""

from __future__ import annotations

import torch
from torch import Tensor

#: keeps eigenvalues of equal Jacobians from zero, as published
FLOOR = 1e-5


def jacobian_decorrelation(products: Tensor) -> Tensor:
    """Return −Σ (log λ + 1/λ) [P], λ the eigenvalues of the correlation matrix of `products` [P, B, D] over B, plus 1e-5.

    Largest, −B, where no two inputs' Jacobians are correlated. −∞ where that of some input is constant over D (zero, as in
    a dead network): it has no correlation with any. (Mellor, Turner, Storkey & Crowley, arXiv:2006.04647v1.)
    """
    return decorrelation_of(jacobian_correlations(products))


def jacobian_correlations(products: Tensor) -> Tensor:
    """Return correlations [P, B, B] over D of `products` [P, B, D]; nan where those of some input are constant over D."""
    centred = products.double() - products.double().mean(dim=2, keepdim=True)
    norms = centred.norm(dim=2, keepdim=True)
    unit: Tensor = centred / norms
    return unit @ unit.transpose(1, 2)


def decorrelation_of(correlations: Tensor) -> Tensor:
    """Return −Σ (log λ + 1/λ) [...] of correlation matrices [..., B, B]; −∞ where one is not finite."""
    dead = ~correlations.isfinite().flatten(-2).all(dim=-1)
    values = torch.linalg.eigvalsh(torch.where(dead[..., None, None], 0.0, correlations)).clamp(min=0) + FLOOR
    return torch.where(dead, -torch.inf, -(values.log() + 1 / values).sum(dim=-1))
