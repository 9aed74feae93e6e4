"""Probes are unbiased with the variances the formulas give; estimators agree with the whole Jacobian."""

from __future__ import annotations

import pytest
import torch

from tests.mathematics.probes import PROBES, by_cotangents, by_tangents, exact

# golden row 8: A = diag(1, 2, 3, 4) + 0.5 (ones − I)
MATRIX = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)) + 0.5 * (1 - torch.eye(4)).double()
VARIANCES = {"gaussian": 66.0, "rademacher": 6.0, "sphere": 10.6666666667, "coordinate": 20.0}


@pytest.mark.parametrize("kind", PROBES)
def test_probe_variance(kind: str) -> None:
    draw, variance = PROBES[kind]
    assert float(variance(MATRIX)) == pytest.approx(VARIANCES[kind], rel=1e-11)
    probes = draw(100_000, 4, torch.Generator().manual_seed(1))
    estimates = torch.einsum("pi,ij,pj->p", probes, MATRIX, probes)
    error = (estimates.var() / len(estimates)) ** 0.5
    assert abs(estimates.mean() - MATRIX.trace()) < 4 * error
    squares = (estimates - MATRIX.trace()).square()
    assert abs(squares.mean() - VARIANCES[kind]) < 4 * squares.std() / len(squares) ** 0.5 + 1e-9


def two_layers(x: torch.Tensor) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    first = torch.randn(7, 5, dtype=torch.float64, generator=generator)
    second = torch.randn(3, 7, dtype=torch.float64, generator=generator)
    hidden = torch.tanh(first @ x)
    return [x, hidden, second @ hidden]


def test_estimators_agree_with_the_whole_jacobian() -> None:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(5, dtype=torch.float64, generator=generator)
    truth = exact(two_layers, x)
    forward = by_tangents(two_layers, x, PROBES["sphere"][0](400, 5, generator))
    assert torch.all((forward.mean(0) - truth).abs() <= 4 * forward.std(0) / 20 + 1e-12)
    backward = by_cotangents(lambda x: two_layers(x)[-1], x, PROBES["sphere"][0](400, 3, generator))
    assert abs(backward.mean() - truth[-1]) <= 4 * backward.std() / 20


def test_identity_is_exact_under_spherical_probes() -> None:
    probes = PROBES["sphere"][0](3, 6, torch.Generator().manual_seed(0))
    assert torch.allclose(by_tangents(lambda x: [x], torch.zeros(6).double(), probes), torch.ones(3, 1).double())


def test_a_vector_of_ones_sees_nothing_behind_a_layernorm() -> None:
    x = torch.randn(16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def norm(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.layer_norm(x, (16,))

    ones = by_cotangents(norm, x, torch.ones(1, 16, dtype=torch.float64))
    sphere = by_cotangents(norm, x, PROBES["sphere"][0](200, 16, torch.Generator().manual_seed(4)))
    assert float(ones[0]) < 1e-20
    assert abs(sphere.mean() - exact(lambda x: [norm(x)], x)[0]) < 4 * sphere.std() / 200**0.5


@pytest.mark.parametrize(("norm", "energy"), [("layer_norm", 0.571429262499), ("rms_norm", 0.660066455948)])
def test_norm_jacobians(norm: str, energy: float) -> None:
    """Golden row 15: ‖J‖_F² at x = (1, 2, 4, −3, .5), ε = .01, from the closed spectrum too."""
    x = torch.tensor([1, 2, 4, -3, 0.5], dtype=torch.float64)
    function = getattr(torch.nn.functional, norm)
    assert float(exact(lambda x: [function(x, (5,), eps=0.01)], x)[0]) * 5 == pytest.approx(energy, rel=1e-11)
