"""Moments against quadrature; block energies against sampled networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nasjac.activations import ACTIVATIONS
from nasjac.facts import columns
from nasjac.meanfield import MOMENTS, block_energies, nonlinearity
from nasjac.networks.draws import Draws
from nasjac.networks.population import sample
from nasjac.placement import PLACEMENTS
from nasjac.spec import Block, Spec


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize("q", [0.01, 0.3, 1.0, 4.0])
def test_moments(name: str, q: float) -> None:
    """Against Gauss-Legendre quadrature on each side of the kink."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    half = 6 * (nodes + 1)  # (0, 12)
    x = np.concatenate([-half[::-1], half])
    weight = np.concatenate([weights[::-1], weights]) * 6 * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    function, derivative = ACTIVATIONS[name]
    value, slope = (f(torch.from_numpy(np.sqrt(q) * x)).numpy() for f in (function, derivative))
    expected = [weight @ value**2, weight @ slope**2, weight @ value, weight @ slope]
    found = [float(column[0]) for column in MOMENTS[name](np.array([q]))]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_golden_moments() -> None:
    """Golden row 1."""
    one = np.ones(1)
    gelu, tanh = MOMENTS["gelu"](one), MOMENTS["tanh"](one)
    found = [gelu.second[0], gelu.derivative_second[0], tanh.second[0], tanh.derivative_second[0]]
    expected = [0.4252214825702987, 0.4558508656492872, 0.3942944903978409, 0.4644029024482659]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("name", MOMENTS)
def test_nonlinearity_is_the_residual_of_the_best_linear_fit(name: str) -> None:
    g = np.random.default_rng(0).standard_normal(200_000) * 1.3
    y = ACTIVATIONS[name].function(torch.from_numpy(g)).numpy()
    residual = y - np.polyval(np.polyfit(g, y, 1), g)
    q = np.array([1.69])
    assert nonlinearity(q, MOMENTS[name](q))[0] == pytest.approx(residual.var() / y.var(), abs=0.004)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("branch", ["two_matrix", "one_matrix"])
def test_energies_predict_the_sampled_jacobian(placement: str, activation: str, branch: str) -> None:
    """Block by block without a norm on the sum, E 𝒥 is the product of s + chi, up to the O(L/N) of infinite width.

    A change of chi by 10% in each block must be seen.
    """
    if placement == "post":
        return
    blocks = (Block(), Block(skip=0), Block(scale=0.7), Block())
    spec = Spec(256, blocks, placement=placement, activation=activation, branch=branch, weight_gain=1.2)
    inputs = torch.randn(300, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inputs = 8 * torch.nn.functional.normalize(inputs, dim=-1)  # so that the stream starts at unit variance
    [found] = sample([spec], inputs, Draws(0, range(48), torch.float32, torch.device("cpu")))
    energy = np.exp(found.forward[..., -1]).mean(axis=(1, 2))
    predicted = block_energies(columns([spec])).branch[0]
    skip = np.array([block.skip for block in blocks])
    expected = float(np.prod(skip + predicted))
    error = energy.std(ddof=1) / len(energy) ** 0.5
    allowed = 4 * error + 1.5 * 4 / 256 * expected
    assert abs(energy.mean() - expected) < allowed
    assert abs(energy.mean() - float(np.prod(skip + 1.3 * predicted))) > allowed
