"""Golub–Kahan–Lanczos: against dense singular values, below the norm and no farther than its residual."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nasjac.mathematics.lanczos import Spectral, spectral_norms


def found(matrices: Tensor, rel_error: float = 0.01, seed: int = 0) -> Spectral:
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(len(matrices), matrices.shape[2], dtype=matrices.dtype, generator=generator)
    return spectral_norms(
        lambda v: torch.einsum("bmn,bn->bm", matrices, v),
        lambda u: torch.einsum("bmn,bm->bn", matrices, u),
        start,
        rel_error,
    )


@pytest.mark.parametrize(("rows", "columns"), [(30, 30), (30, 12), (12, 30), (1, 9), (9, 1)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_dense_matrices(rows: int, columns: int, dtype: torch.dtype) -> None:
    matrices = torch.randn(7, rows, columns, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    values = torch.linalg.svdvals(matrices.double())
    exact = values[:, 0]
    rounding = 1e-5 if dtype == torch.float32 else 1e-12
    for rel_error in (0.1, 0.01, 1e-4):
        got = found(matrices, rel_error)
        assert (got.norm <= exact * (1 + rounding)).all(), "a Ritz value is never above the norm"
        nearest = (values - got.norm[:, None]).abs().amin(1)
        assert (nearest <= got.residual + rounding * exact).all(), "a singular value is that near"
        assert (got.residual <= rel_error * got.norm + rounding).all()
        assert rel_error > 0.01 or (exact - got.norm <= rel_error * exact).all()


def test_products_of_a_deep_network_to_one_percent() -> None:
    """The hardest of THEORY.md's cases: singular values close together."""
    generator = torch.Generator().manual_seed(2)
    matrices = torch.eye(200, dtype=torch.float64).expand(4, -1, -1)
    for _ in range(10):
        noise = torch.randn(4, 200, 200, dtype=torch.float64, generator=generator) / 200**0.5
        matrices = matrices + 0.2 * noise @ matrices
    got, exact = found(matrices), torch.linalg.matrix_norm(matrices, 2)
    assert ((exact - got.norm) / exact).abs().max() < 0.01 and got.steps < 60


def test_rank_one_zero_and_the_identity_end_at_once() -> None:
    generator = torch.Generator().manual_seed(3)
    left, right = torch.randn(2, 20, dtype=torch.float64, generator=generator)
    matrices = torch.stack([torch.outer(left, right), torch.zeros(20, 20), 3 * torch.eye(20)]).double()
    got = found(matrices, 1e-6)
    assert got.norm.tolist() == pytest.approx([float(left.norm() * right.norm()), 0, 3], rel=1e-12)
    assert got.steps <= 2


def test_each_map_is_what_it_is_alone() -> None:
    """Rows go on until the last is precise enough; none is worse for it."""
    matrices = torch.randn(3, 25, 25, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    together = found(matrices)
    for number in range(3):
        start = torch.randn(3, 25, dtype=torch.float64, generator=torch.Generator().manual_seed(0))[number : number + 1]
        one = matrices[number]
        alone = spectral_norms(lambda v: v @ one.T, lambda u: u @ one, start, 0.01)  # noqa: B023
        assert float(together.norm[number]) >= float(alone.norm[0]) * (1 - 1e-12)


def test_bad_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"`rel_error` must be a number in \(0, 1\), got 0"):
        found(torch.eye(3)[None], 0)
    with pytest.raises(ValueError, match="`start` must be vectors"):
        spectral_norms(lambda v: v, lambda v: v, torch.zeros(3))
