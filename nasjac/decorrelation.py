"""How different the Jacobians of different inputs are: from products of one probe with each."""

from __future__ import annotations

import torch
from torch import Tensor

#: keeps eigenvalues of equal Jacobians from zero, as published
FLOOR = 1e-5


def decorrelation(products: Tensor) -> Tensor:
    """[P] −Σ (log λ + 1/λ), λ the eigenvalues of the correlation matrix of `products` [P, B, D] over B, plus 1e-5.

    Largest, −B, where no two inputs' Jacobians are correlated. −∞ where that of some input is constant over D (zero, as in
    a dead network): it has no correlation with any. (Mellor, Turner, Storkey & Crowley, arXiv:2006.04647v1.)
    """
    centred = products.double() - products.double().mean(dim=2, keepdim=True)
    norms = centred.norm(dim=2, keepdim=True)
    dead = (norms == 0).flatten(1).any(dim=1)
    unit = centred / torch.where(norms == 0, torch.ones_like(norms), norms)
    values = torch.linalg.eigvalsh(unit @ unit.transpose(1, 2)).clamp(min=0) + FLOOR
    return torch.where(dead, -torch.inf, -(values.log() + 1 / values).sum(dim=1))
