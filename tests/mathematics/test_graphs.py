"""Other graphs against enumerating their paths and against sampled networks; exact at any width."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nasjac.mathematics.meanfield.graphs import densenet, random_dag, zero_padded_conv

Array = NDArray[np.float64]


def off(found: Array, expected: float) -> float:
    """How many standard errors the mean of the samples lies away."""
    return float(abs(found.mean() - expected) / (found.std() / len(found) ** 0.5))


def test_golden_dag() -> None:
    """Golden row 12."""
    assert math.exp(random_dag(0.3, 0.4, 6).log_energy[-1]) == pytest.approx(5.942134504, rel=1e-12)
    growth = [random_dag(skip, 0.4, 1).growth for skip in (0.05, 0.1, 0.3, 1)]
    np.testing.assert_allclose(growth, [1.1116, 1.2343, 1.7782, 4.1079], atol=5e-5)


def dag_energies(skip: float, chi: float, depth: int) -> Array:
    """E‖J_j‖² / N of each node j, by every pattern of skips and every path from 0 to j.

    Paths that take the same branches add up; those that take different ones are orthogonal.
    """
    energies = np.zeros(depth + 1)
    edges = list(combinations(range(depth + 1), 2))
    for pattern in product([0, 1], repeat=len(edges)):
        weight = math.prod(skip if a else 1 - skip for a in pattern)
        ways: list[dict[tuple[int, ...], int]] = [{(): 1}]  # node -> branches taken -> number of paths
        for node in range(1, depth + 1):
            here = {(*branches, node): count for branches, count in ways[node - 1].items()}
            for (start, end), a in zip(edges, pattern, strict=True):
                for branches, count in ways[start].items() if a and end == node else ():
                    here[branches] = here.get(branches, 0) + count
            ways.append(here)
        energies += [weight * sum(chi ** len(b) * count**2 for b, count in here.items()) for here in ways]
    return energies


@pytest.mark.parametrize(("skip", "chi"), [(0.3, 0.4), (1.0, 0.7), (0.8, 0.0), (0.0, 0.6)])
def test_dag_against_all_paths_of_all_patterns(skip: float, chi: float) -> None:
    np.testing.assert_allclose(np.exp(random_dag(skip, chi, 4).log_energy), dag_energies(skip, chi, 4), rtol=1e-12)


@pytest.mark.parametrize("skip", [0.2, 1.0])
def test_expected_skip_paths(skip: float) -> None:
    """p_j = s Σ_{i<j} p_i."""
    expected = [1.0]
    for _ in range(7):
        expected.append(skip * sum(expected))
    np.testing.assert_allclose(np.exp(random_dag(skip, 0.5, 7).log_skip_paths), expected, rtol=1e-12)


@pytest.mark.parametrize(("skip", "chi"), [(0.05, 0.4), (1.0, 2.0), (0.3, 0.0), (0.0, 0.3)])
def test_dag_of_depth_ten_thousand_grows_by_its_growth(skip: float, chi: float) -> None:
    found = random_dag(skip, chi, 10_000)
    assert np.isfinite(found.log_energy).all()
    assert np.diff(found.log_energy)[-1] == pytest.approx(math.log(found.growth), abs=1e-9)


def test_without_skips_or_energy_nothing_arrives() -> None:
    found = random_dag(0.0, 0.0, 2)
    assert found.log_energy.tolist() == found.log_skip_paths.tolist() == [0.0, -math.inf, -math.inf]


def test_dag_against_sampled_networks() -> None:
    """relu in two-matrix branches at width 4; ten per cent more energy in the branches would be seen."""
    samples, units, hidden, skip, chi, depth = 60_000, 4, 5, 0.3, 0.8, 4
    rng = np.random.default_rng(0)
    states, jacobians = [np.ones((samples, units))], [np.broadcast_to(np.eye(units), (samples, units, units))]
    for _ in range(depth):
        first = rng.standard_normal((samples, hidden, units)) / units**0.5
        second = rng.standard_normal((samples, units, hidden)) * (2 * chi / hidden) ** 0.5
        inner = first @ states[-1][..., None]
        state, jacobian = (second @ np.maximum(inner, 0))[..., 0], second @ ((inner > 0) * (first @ jacobians[-1]))
        for old_state, old_jacobian in zip(states, jacobians, strict=True):
            gate = (rng.random(samples) < skip).astype(float)
            state = state + gate[:, None] * old_state
            jacobian = jacobian + gate[:, None, None] * old_jacobian
        states.append(state)
        jacobians.append(jacobian)
    found = (jacobians[-1] ** 2).sum(axis=(1, 2)) / units
    assert off(found, math.exp(random_dag(skip, chi, depth).log_energy[-1])) < 4
    assert off(found, math.exp(random_dag(skip, 1.1 * chi, depth).log_energy[-1])) > 4


def test_golden_densenet() -> None:
    """Golden row 19."""
    found = densenet(inputs=6, growth=3, depth=8, chi=0.6)
    assert math.exp(found.raw[-1]) == pytest.approx(2.751603712, rel=1e-12)
    assert math.exp(found.per_unit[-1]) == pytest.approx(0.5503207424, rel=1e-12)


def test_densenet_is_a_ratio_of_gammas() -> None:
    """Π (1 + g chi/(n0 + k g)) = Γ(n0/g + chi + L) Γ(n0/g) / (Γ(n0/g + chi) Γ(n0/g + L)), at depth 10,000 too."""
    start, chi, depth = 16 / 8, 1.7, 10_000
    expected = math.lgamma(start + chi + depth) + math.lgamma(start) - math.lgamma(start + chi) - math.lgamma(start + depth)
    found = densenet(inputs=16, growth=8, depth=depth, chi=chi)
    assert found.raw[-1] == pytest.approx(expected, rel=1e-9)
    assert (found.raw[-1] - found.raw[depth // 2]) / math.log(2) == pytest.approx(chi, abs=1e-3)


def test_densenet_energy_is_that_of_the_inputs_and_of_all_features() -> None:
    found = densenet(inputs=5, growth=2, depth=9, chi=0.7)
    np.testing.assert_allclose(5 + 2 * np.cumsum(np.exp(found.new_features)), 5 * np.exp(found.raw[1:]), rtol=1e-12)
    width = 5 + 2 * np.arange(10)
    np.testing.assert_allclose(np.exp(found.per_unit) * width, np.exp(found.raw) * 5, rtol=1e-12)
    assert densenet(5, 2, 3, chi=0.0).new_features.tolist() == [-math.inf] * 3


@pytest.mark.parametrize("relu_first", [False, True])
def test_densenet_against_sampled_networks(relu_first: bool) -> None:
    """Both orders, from sign-symmetric inputs; ten per cent more energy in the layers would be seen."""
    samples, inputs, growth, depth, chi = 40_000, 3, 2, 5, 0.9
    rng = np.random.default_rng(1)
    state, jacobian = rng.standard_normal((samples, inputs, 1)), np.broadcast_to(np.eye(inputs), (samples, inputs, inputs))
    new = np.zeros(samples)
    for _ in range(depth):
        width = state.shape[1]
        weights = rng.standard_normal((samples, growth, width)) * (2 * chi / width) ** 0.5
        if relu_first:
            added, slope = weights @ np.maximum(state, 0), weights @ ((state > 0) * jacobian)
        else:
            inner = weights @ state
            added, slope = np.maximum(inner, 0), (inner > 0) * (weights @ jacobian)
        state, jacobian = np.concatenate([state, added], axis=1), np.concatenate([jacobian, slope], axis=1)
        new = (slope**2).sum(axis=(1, 2)) / growth
    raw = (jacobian**2).sum(axis=(1, 2)) / inputs
    expected, more = densenet(inputs, growth, depth, chi), densenet(inputs, growth, depth, 1.1 * chi)
    assert off(raw, math.exp(expected.raw[-1])) < 4 < off(raw, math.exp(more.raw[-1]))
    assert off(new, math.exp(expected.new_features[-1])) < 4 < off(new, math.exp(more.new_features[-1]))


def test_golden_convolutions() -> None:
    """Golden row 20, and one He layer: ((3H - 2) / 3H)²."""
    assert math.exp(zero_padded_conv(5, 5, layers=3).log_energy[-1]) == pytest.approx(0.495198902606, rel=1e-11)
    for size in (1, 2, 5, 32):
        found = math.exp(zero_padded_conv(size, size, layers=1).log_energy[-1])
        assert found == pytest.approx(((3 * size - 2) / (3 * size)) ** 2, rel=1e-12)


def test_padding_loses_energy_at_the_border_alone() -> None:
    found = zero_padded_conv(9, 12, layers=2, chi=0.7, kernel=3)
    np.testing.assert_allclose(found.log_map[2:-2, 2:-2], 2 * math.log(0.7), rtol=1e-12)  # farther than 2 pixels in
    assert found.log_map[[0, -1]].max() < 2 * math.log(0.7)
    assert math.log(np.exp(found.log_map).mean()) == pytest.approx(found.log_energy[-1], rel=1e-12)
    pointwise = zero_padded_conv(9, 12, layers=4, chi=0.7, kernel=1).log_energy
    np.testing.assert_allclose(pointwise, np.arange(5) * math.log(0.7), rtol=1e-12)


def test_ten_thousand_layers_lose_by_the_largest_eigenvalue() -> None:
    """That of the band of three ones: 1 + 2 cos(π / (H + 1))."""
    rate = np.diff(zero_padded_conv(5, 7, layers=10_000).log_energy)[-1]
    expected = sum(math.log((1 + 2 * math.cos(math.pi / (size + 1))) / 3) for size in (5, 7))
    assert rate == pytest.approx(expected, abs=1e-10)


def test_convolutions_against_sampled_networks() -> None:
    """Layer by layer through grouped convolutions, a group a network; ten per cent more energy a layer would be seen."""
    samples, channels, height, width, layers, chi = 3000, 2, 4, 3, 3, 0.8
    generator = torch.Generator().manual_seed(0)
    units = channels * height * width
    state = torch.randn(1, channels, height, width, dtype=torch.float64, generator=generator).repeat(1, samples, 1, 1)
    tangents = torch.eye(units, dtype=torch.float64).reshape(units, channels, height, width).repeat(1, samples, 1, 1)
    for _ in range(layers):
        weight = torch.randn(samples * channels, channels, 3, 3, dtype=torch.float64, generator=generator)
        weight *= (2 * chi / (9 * channels)) ** 0.5
        inner = torch.nn.functional.conv2d(torch.cat([state, tangents]), weight, padding=1, groups=samples)
        state, tangents = inner[:1].relu(), inner[1:] * (inner[:1] > 0)
    by_pixel = tangents.square().sum(0).reshape(samples, channels, height, width).mean(1).numpy()
    expected, more = (zero_padded_conv(height, width, layers, factor * chi) for factor in (1, 1.1))
    energy = by_pixel.mean(axis=(1, 2))
    assert off(energy, math.exp(expected.log_energy[-1])) < 4 < off(energy, math.exp(more.log_energy[-1]))
    for row, column in ((0, 0), (1, 0), (2, 1)):
        assert off(by_pixel[:, row, column], math.exp(expected.log_map[row, column])) < 4


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"`skip` must be a number in \[0, 1\], got 1.5"):
        random_dag(1.5, 0.4, 3)
    with pytest.raises(ValueError, match="`chi` must be a finite number of at least 0, got -1"):
        random_dag(0.5, -1, 3)
    with pytest.raises(ValueError, match="`depth` must be a whole number of at least 0, got -1"):
        densenet(3, 2, -1, 1.0)
    with pytest.raises(ValueError, match="`growth` must be a whole number of at least 1, got 0"):
        densenet(3, 0, 1, 1.0)
    with pytest.raises(ValueError, match="`kernel` must be odd, got 2"):
        zero_padded_conv(3, 3, 1, kernel=2)
    with pytest.raises(ValueError, match="`chi` must be a finite number greater than 0, got 0"):
        zero_padded_conv(3, 3, 1, chi=0)
