"""Paths against counting them one by one; their energies against sampled residual networks."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from nasjac.mathematics.gradient_paths import (
    count_paths,
    energy_shares,
    log_pruning_damage,
    path_lengths,
)

Array = NDArray[np.float64]
CHI = np.array([0.9, 0.5, 0.3, 0.7])
KEEP = np.array([True, False, True, True])


def test_golden_row() -> None:
    """Golden row 14: chi = (.9, .5, .3, .7, .2)."""
    chi = np.array([0.9, 0.5, 0.3, 0.7, 0.2])
    found = path_lengths(energy_shares(chi))
    assert np.prod(1 + chi) == pytest.approx(7.5581999999999985, rel=1e-12)
    assert found.effective_depth == pytest.approx(1.6162181471778998, rel=1e-12)
    assert found.variance == pytest.approx(1.0301479161068685, rel=1e-12)
    assert found.entropy == pytest.approx(2.996535422851103, rel=1e-12)
    assert found.probability[2] == pytest.approx(0.3360588499907386, rel=1e-12)


def test_against_all_paths() -> None:
    share = np.array([0.2, 0.7, 1.0, 0.0, 0.45])
    expected = np.zeros(6)
    entropy = 0.0
    for path in product([0, 1], repeat=5):
        probability = np.prod(np.where(path, share, 1 - share))
        expected[sum(path)] += probability
        entropy -= probability * math.log(probability) if probability else 0.0
    found = path_lengths(share)
    np.testing.assert_allclose(found.probability, expected, atol=1e-12)
    lengths = np.arange(6)
    assert found.effective_depth == pytest.approx(lengths @ expected)
    assert found.variance == pytest.approx(lengths**2 @ expected - (lengths @ expected) ** 2)
    assert found.entropy == pytest.approx(entropy)


def test_shares_are_those_of_energies_of_all_paths() -> None:
    """A path's energy is the product over blocks of chi or s; a pruned block has one way."""
    skip = np.array([1.0, 0.6, 0.0, 0.3])
    energies = np.zeros(5)
    for path in product(*([0, 1] if kept else [0] for kept in KEEP)):
        gains = np.where(path, CHI, np.where(KEEP, skip, 1.0))
        energies[sum(path)] += np.prod(gains)
    found = path_lengths(energy_shares(CHI, skip, KEEP)).probability
    np.testing.assert_allclose(found, energies / energies.sum(), atol=1e-12)


def test_no_blocks_have_one_path_of_no_length() -> None:
    found = path_lengths([])
    assert found.probability.tolist() == [1.0] and found.effective_depth == 0 and found.entropy == 0
    assert energy_shares([], keep=[]).size == 0


def test_an_empty_keep_set_is_the_identity() -> None:
    found = path_lengths(energy_shares(CHI, skip=0.0, keep=[False] * 4))
    assert found.probability[0] == 1 and found.effective_depth == 0
    assert math.exp(log_pruning_damage(CHI, [False] * 4)) == pytest.approx(1 - 1 / np.prod(1 + CHI), rel=1e-12)


def test_equal_shares_count_every_path_once() -> None:
    counts = path_lengths([0.5] * 20).probability * 2**20
    np.testing.assert_allclose(counts, [math.comb(20, length) for length in range(21)], rtol=1e-11)
    assert path_lengths([0.5] * 20).entropy == pytest.approx(20 * math.log(2), rel=1e-11)


def test_depth_ten_thousand() -> None:
    depth, chi = 10_000, 0.3
    found = path_lengths(energy_shares(np.full(depth, chi)))
    length = 2345  # log C(L, k) p^k (1 - p)^(L - k), from exact integers
    expected = math.log(math.comb(depth, length)) + length * math.log(chi) - depth * math.log1p(chi)
    assert math.log(found.probability[length]) == pytest.approx(expected, rel=1e-10)
    assert found.probability.sum() == pytest.approx(1, abs=1e-11)
    assert log_pruning_damage(np.full(depth, chi), np.arange(depth) > 0) == pytest.approx(math.log(chi / (1 + chi)))
    # 5000 blocks of s + chi = 1/2 go: ‖J‖² is 2^-5000 of ‖J_K‖²
    damage = log_pruning_damage(np.full(depth, chi), np.arange(depth) % 2 == 0, skip=0.2)
    assert damage == pytest.approx(5000 * math.log(2))


def test_counting_is_exact() -> None:
    assert count_paths([True] * 200, [True] * 200) == 2**200
    assert count_paths([True, False, True], [True, True, False]) == 2
    assert count_paths([], []) == 1


def test_pruning_with_all_identities_removes_the_paths_outside_the_keep_set() -> None:
    expected = (np.prod(1 + CHI) - np.prod(1 + CHI[KEEP])) / np.prod(1 + CHI)
    assert math.exp(log_pruning_damage(CHI, KEEP)) == pytest.approx(expected, rel=1e-12)
    assert log_pruning_damage(CHI, [True] * 4, skip=0.3) == -math.inf
    assert log_pruning_damage([1e-20, 1.0], [False, True]) == pytest.approx(math.log(1e-20))


class Jacobians(NamedTuple):
    """[S, N, N] each, at one input: of the network, of its paths through the keep set, of the pruned network by itself."""

    whole: Array
    staying: Array
    pruned: Array


def residual_networks(skip: float, samples: int = 60_000, units: int = 4, hidden: int = 5) -> Jacobians:
    """x ← g x + W2 relu(W1 x + b), g open with probability `skip`, E‖J_F‖² / N = CHI; in the pruned one KEEP alone."""
    rng = np.random.default_rng(3)
    states = [np.ones((samples, units)), np.ones((samples, units))]
    whole, staying, pruned = (np.broadcast_to(np.eye(units), (samples, units, units)) for _ in range(3))
    for chi, kept in zip(CHI, KEEP, strict=True):
        first = rng.standard_normal((samples, hidden, units)) / units**0.5
        second = rng.standard_normal((samples, units, hidden)) * (2 * chi / hidden) ** 0.5
        bias, gate = rng.standard_normal((samples, hidden)), (rng.random((samples, 1)) < skip).astype(float)
        branches = []
        for index, state in enumerate(states):
            inner = (first @ state[..., None])[..., 0] + bias
            branches.append(second @ ((inner > 0)[..., None] * first))
            if index == 0 or kept:
                states[index] = gate * state + (second @ np.maximum(inner, 0)[..., None])[..., 0]
        whole = gate[..., None] * whole + branches[0] @ whole
        if kept:
            staying, pruned = (gate[..., None] * j + b @ j for j, b in zip((staying, pruned), branches, strict=True))
    return Jacobians(whole, staying, pruned)


def mean_and_error(jacobians: Array) -> tuple[float, float]:
    energies = (jacobians**2).sum(axis=(1, 2)) / jacobians.shape[-1]
    return float(energies.mean()), float(energies.std() / len(energies) ** 0.5)


@pytest.mark.parametrize("skip", [1.0, 0.6])
def test_damage_of_sampled_networks(skip: float) -> None:
    """Exact at width 4; ten per cent more energy in every branch would be seen."""
    found = residual_networks(skip)
    for jacobian, gains in ((found.whole, skip + CHI), (found.staying, (skip + CHI)[KEEP])):
        mean, error = mean_and_error(jacobian)
        assert abs(mean - np.prod(gains)) < 4 * error
    mean, error = mean_and_error(found.whole - found.staying)
    expected, more = (math.exp(log_pruning_damage(chi, KEEP, skip)) * np.prod(skip + chi) for chi in (CHI, 1.1 * CHI))
    assert abs(mean - expected) < 4 * error < abs(mean - more)


def test_the_pruned_network_by_itself_is_further_away() -> None:
    """Behind the gap its relu masks are other ones: its energy is the same, what it has in common with J is less."""
    found = residual_networks(skip=1.0)
    own, error = mean_and_error(found.pruned)
    assert abs(own - np.prod(1 + CHI[KEEP])) < 4 * error
    distance, error = mean_and_error(found.whole - found.pruned)
    assert distance - 4 * error > math.exp(log_pruning_damage(CHI, KEEP)) * np.prod(1 + CHI)


def test_a_share_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="`share` must hold numbers"):
        path_lengths([0.5, 1.5])


@pytest.mark.parametrize(
    ("chi", "skip", "keep", "message"),
    [
        ([0.5, -1.0], 1.0, True, r"`chi` must hold finite numbers of at least 0, got \[0.5, -1.0\]"),
        ([0.5, math.nan], 1.0, True, "`chi` must hold finite"),
        ([0.5, 0.5], 1.5, True, "`skip` must hold numbers in .0, 1., got 1.5"),
        ([0.5, 0.5], [0.5], True, "`skip` must be one entry or one a block, 2, got shape .1,."),
        ([0.5, 0.5], 1.0, [True], "`keep` must be one entry or one a block, 2"),
        ([0.5, 0.5], 1.0, [0, 1], "`keep` must hold True or False, got .0, 1."),
        ([0.5, 0.0], 0.0, True, "`chi` must be above 0 where `skip` is 0"),
        (0.5, 1.0, True, "`chi` must have one number a block"),
    ],
)
def test_what_is_no_chain_of_blocks_is_refused(chi: Any, skip: Any, keep: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        energy_shares(chi, skip, keep)


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match="`branch` must have one entry a block, 2, got 1"):
        count_paths([True, True], [True])
    with pytest.raises(ValueError, match="`chi` must be above 0"):
        log_pruning_damage([0.0, 1.0], [False, True], skip=0.0)
