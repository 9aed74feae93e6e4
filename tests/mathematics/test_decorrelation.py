"""Decorrelation: its largest value, its order, its invariances."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from nasjac.mathematics.decorrelation import FLOOR, jacobian_decorrelation


def products(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_by_numpy_and_its_bounds() -> None:
    """Two inputs of correlation c have eigenvalues 1 ± c; none is better than uncorrelated ones."""
    x = products(1, 2, 50)
    c = float(torch.corrcoef(x[0])[0, 1])
    values = [1 + c + FLOOR, 1 - c + FLOOR]
    assert float(jacobian_decorrelation(x)) == pytest.approx(-sum(math.log(v) + 1 / v for v in values))
    orthogonal = torch.linalg.qr(torch.cat([torch.ones(40, 1, dtype=x.dtype), products(40, 5)], dim=1))[0].T[None, 1:]
    assert float(jacobian_decorrelation(orthogonal)) == pytest.approx(-5, abs=1e-8)
    assert float(jacobian_decorrelation(products(1, 5, 40))) < -5


def test_size_and_sign_of_an_input_s_jacobian_do_not_matter() -> None:
    x = products(3, 6, 30)
    assert torch.allclose(
        jacobian_decorrelation(x), jacobian_decorrelation(x * torch.tensor([1, -2, 3, 1e-9, 1e9, -1.0])[:, None])
    )


def test_more_alike_is_lower_and_dead_lowest() -> None:
    own, shared = products(2, 6, 30), products(2, 1, 30)
    values = [jacobian_decorrelation(own + weight * shared) for weight in (0, 1, 10, 1e9)]
    assert all(bool((a > b).all()) for a, b in itertools.pairwise(values)) and values[-1].isfinite().all()
    dead = own.clone()
    dead[0, 2] = 0
    assert (
        jacobian_decorrelation(dead)[0] == -torch.inf and jacobian_decorrelation(dead)[1] == jacobian_decorrelation(own)[1]
    )
