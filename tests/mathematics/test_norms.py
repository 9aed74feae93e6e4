"""Norms against automatic differentiation; post-norm blocks against sampled networks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasjac.architecture.branch_scales import deepnorm
from nasjac.mathematics.meanfield.norms import (
    layernorm_contracts,
    layernorm_energy,
    post_norm_factor,
    rmsnorm_energy,
)

Array = NDArray[np.float64]
Energy = Callable[..., Array]
Norm = Callable[[Tensor, float], Tensor]


def layer_norm(x: Tensor, eps: float) -> Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=eps)


def rms_norm(x: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


NORMS: list[tuple[Norm, Energy]] = [(layer_norm, layernorm_energy), (rms_norm, rmsnorm_energy)]


def jacobian(norm: Norm, x: Array, eps: float) -> Array:
    matrix: Tensor = torch.func.jacrev(lambda x: norm(x, eps))(torch.from_numpy(x))
    return matrix.numpy()


def test_golden_row() -> None:
    """Golden row 15."""
    x = [1, 2, 4, -3, 0.5]
    assert float(layernorm_energy(x, 0.01)) == pytest.approx(0.5714292624986502, rel=1e-12)
    assert float(rmsnorm_energy(x, 0.01)) == pytest.approx(0.6600664559479508, rel=1e-12)


@pytest.mark.parametrize(("norm", "energy"), NORMS)
@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.3, 40.0])
@pytest.mark.parametrize("units", [2, 3, 17])
def test_against_autograd(norm: Norm, energy: Energy, eps: float, units: int) -> None:
    """Energies, with even and uneven gains."""
    rng = np.random.default_rng(units)
    x, gain = 1.7 * rng.standard_normal(units) + 0.8, rng.standard_normal(units)
    matrix = jacobian(norm, x, eps)
    for factor in (np.ones(()), np.full((), -0.6), gain):
        expected = ((factor * np.ones(units))[:, None] * matrix) ** 2
        np.testing.assert_allclose(energy(x, eps, factor), expected.sum(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("norm", "energy"), NORMS)
def test_many_vectors_at_once(norm: Norm, energy: Energy) -> None:
    x = np.random.default_rng(0).standard_normal((3, 2, 5))
    expected = [[(jacobian(norm, row, 0.1) ** 2).sum() for row in rows] for rows in x]
    np.testing.assert_allclose(energy(x, 0.1), expected, rtol=1e-12)
    assert energy(x, 0.1, np.arange(5))[2, 1] == pytest.approx(float(energy(x[2, 1], 0.1, np.arange(5))), rel=1e-12)


def test_a_constant_vector_is_only_centred_and_scaled() -> None:
    assert float(layernorm_energy([3.0, 3.0, 3.0], eps=0.25)) == pytest.approx(2 * 2**2)


def test_gaussian_inputs() -> None:
    """x ~ N(0, τ I): E‖J‖² / N is (N - 2) / (τ (N - 3)) for the layer norm, (N - 1) / (τ (N - 2)) for the rms norm."""
    units, variance = 8, 2.0
    x = variance**0.5 * np.random.default_rng(0).standard_normal((100_000, units))
    for energy, expected in ((layernorm_energy, 0.6), (rmsnorm_energy, 7 / 12)):
        found = energy(x, 0.0) / units
        assert abs(found.mean() - expected) < 4 * found.std() / len(found) ** 0.5 < 0.1 * expected


def test_layer_norm_expands_when_the_spread_is_below_its_gain() -> None:
    """And contracts when it is not: by the largest singular value, to either side of σ = gain."""
    x, eps = np.random.default_rng(1).standard_normal(12), 0.02
    sigma = math.sqrt(x.var() + eps)
    for gain, contracts in ((1.001 * sigma, False), (-1.001 * sigma, False), (0.999 * sigma, True), (-0.999 * sigma, True)):
        largest = np.linalg.norm(gain * jacobian(layer_norm, x, eps), 2)
        assert bool(layernorm_contracts(x, eps, gain)) == contracts == (largest <= 1)
    # an embedding of standard deviation 0.02: all directions but two gain the energy 1/σ²
    small = 0.02 * (x - x.mean()) / x.std()
    assert not layernorm_contracts(small, 0.0)
    assert float(layernorm_energy(small, 0.0)) == pytest.approx(10 * 2500, rel=1e-9)


def test_golden_post_norm() -> None:
    """Golden row 16: relu, gelu and tanh with sigma_1 = sigma_2 = 1, from S(1) and V(1)."""
    a, c = [0.5, 0.4558508656492872, 0.4644029024482659], [0.5, 0.4252214825702987, 0.3942944903978409]
    expected = [1.0, 1.021490963652716, 1.0502823560827674]
    np.testing.assert_allclose(post_norm_factor(a, c), expected, rtol=1e-9)


def post_norm_energies(alpha: float, gain: float, samples: int, units: int) -> Array:
    """[S] ‖J‖² / N of LN(alpha x + gain W2 tanh(W1 x)) at random inputs of unit variance."""
    rng = np.random.default_rng(5)
    found = np.empty(samples)
    for sample in range(samples):
        first, second = rng.standard_normal((2, units, units)) / units**0.5
        x = rng.standard_normal(units)
        x /= np.sqrt(np.mean(x**2))
        inner = np.tanh(first @ x)
        norm = jacobian(layer_norm, alpha * x + gain * second @ inner, 0.0)
        block = alpha * np.eye(units) + gain * second @ ((1 - inner**2)[:, None] * first)
        found[sample] = ((norm @ block) ** 2).sum() / units
    return found


@pytest.mark.parametrize(("alpha", "gain"), [(1.0, 1.8), (1.6, 1.8)])
def test_post_norm_blocks_against_sampled_networks(alpha: float, gain: float) -> None:
    """Up to the O(1/N) of infinite width; ten per cent more energy in the branch would be seen."""
    units = 192
    found = post_norm_energies(alpha, gain, samples=400, units=units)
    a, c = gain**2 * 0.4644029024482659, gain**2 * 0.3942944903978409
    expected, more = float(post_norm_factor(a, c, alpha)), float(post_norm_factor(1.1 * a, c, alpha))
    allowed = 4 * found.std() / len(found) ** 0.5 + 3 / units * expected
    assert abs(found.mean() - expected) < allowed < abs(found.mean() - more)


def test_deepnorm_keeps_deep_stacks_near_one() -> None:
    """S(β²) and V(β²) of tanh are at most 1 and β², so 2N sub-layers gain at most (1 + β⁴/α²)^2N, which tends to 1."""
    assert deepnorm(8) == (2.0, 64**-0.25)  # Wang et al. 2022
    for layers in (10, 1000):
        alpha, beta = deepnorm(layers)
        total = float(post_norm_factor(beta**4, 0.0, alpha)) ** (2 * layers)
        assert 1 < total < math.exp(1 / (2 * math.sqrt(2 * layers)))


@pytest.mark.parametrize("energy", [layernorm_energy, rmsnorm_energy])
def test_vectors_that_have_no_norm_are_refused(energy: Energy) -> None:
    with pytest.raises(ValueError, match="`eps` must be at least 0, got -1"):
        energy([1.0, 2.0], -1.0)
    with pytest.raises(ValueError, match="`x` must be finite, and vary where `eps` is 0"):
        energy([0.0, 0.0], 0.0)
    with pytest.raises(ValueError, match=r"`x` must be .* with at least 2 units, got shape .1,."):
        energy([1.0], 0.1)


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match=r"`gain` must be one number or one a unit, 2, got shape .3,."):
        layernorm_energy([1.0, 2.0], 0.1, [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="`x` must have at least 3 units, got 2"):
        layernorm_contracts([1.0, 2.0], 0.1)
    with pytest.raises(ValueError, match="`a` must be finite and at least 0, got -1"):
        post_norm_factor(-1.0, 1.0)
    with pytest.raises(ValueError, match="`alpha` must be finite and above 0, got 0"):
        post_norm_factor(1.0, 1.0, alpha=0.0)
