"""Weighted and stratified tau against their definitions, and the discounted gain of a ranking's head."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import rankdata

from nasjac.mathematics.rank_correlation import kendall_tau, spearman
from nasjac.mathematics.stratified_correlation import ndcg, near, weighted_rho, weighted_tau


def sample(n: int, seed: int = 0) -> np.ndarray:
    """Two related rankings with ties, and one value below all."""
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 12, n).astype(float)
    y = x + generator.integers(0, 9, n)
    x[0] = -math.inf
    return np.array([x, y])


@pytest.mark.parametrize("n", [5, 40, 700])
def test_without_strata_it_is_tau_and_its_weights_are_repetitions(n: int) -> None:
    x, y = sample(n)
    counts = np.random.default_rng(1).multinomial(n, np.full(n, 1 / n), size=3)
    rows = [np.repeat(np.arange(n), count) for count in counts]
    expected = [kendall_tau(x[drawn], y[drawn]) for drawn in (np.arange(n), *rows)]
    found = weighted_tau(x, y, np.concatenate([np.ones((1, n)), counts]))
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_stratum_counts_its_own_pairs_alone() -> None:
    """By the definition, pair by pair; groups that only differ from each other leave nothing."""
    x, y = sample(60, seed=2)
    size = np.random.default_rng(3).uniform(1, 2, 60)
    pairs = near(size, 0.1)
    sums = np.zeros(3)
    for i in range(60):
        for j in range(i):
            if abs(size[i] - size[j]) <= 0.1 * max(size[i], size[j]):
                a, b = (float(v[i] > v[j]) - float(v[i] < v[j]) for v in (x, y))
                sums += [a * b, a * a, b * b]
    assert weighted_tau(x, y, np.ones((1, 60)), pairs)[0] == pytest.approx(sums[0] / math.sqrt(sums[1] * sums[2]))
    groups = np.repeat([1.0, 2.0], 30)
    assert np.isnan(weighted_tau(groups, y, np.ones((1, 60)), near(groups, 0.0))[0])


@pytest.mark.parametrize("n", [5, 40, 700])
def test_rho_of_all_pairs_is_spearmans_and_its_weights_are_repetitions(n: int) -> None:
    x, y = sample(n)
    counts = np.random.default_rng(1).multinomial(n, np.full(n, 1 / n), size=3)
    rows = [np.repeat(np.arange(n), count) for count in counts]
    expected = [spearman(x[drawn], y[drawn]) for drawn in (np.arange(n), *rows)]
    found = weighted_rho(x, y, np.concatenate([np.ones((1, n)), counts]), np.ones((n, n), bool))
    assert found == pytest.approx(expected, abs=1e-5)


def test_rho_of_groups_is_that_of_ranks_within_each() -> None:
    """Pooled; nothing is left of what differs between groups alone."""
    x, y = sample(60, seed=2)
    groups = np.arange(60) % 3
    ranks = np.zeros((2, 60))
    for group in range(3):
        inside = groups == group
        ranks[:, inside] = [rankdata(values[inside]) - (inside.sum() + 1) / 2 for values in (x, y)]
    pairs, once = near(groups + 1.0, 0.0), np.ones((1, 60))
    assert weighted_rho(x, y, once, pairs)[0] == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert weighted_rho(x + 100 * groups, y, once, pairs)[0] == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert np.isnan(weighted_rho(groups, y, once, pairs)[0])


def test_ndcg() -> None:
    """1 for the best order, gain and discount by hand, none without differences."""
    target = np.array([3.0, 1.0, 2.0, 0.0])
    assert ndcg(target, target, 3) == pytest.approx(1) and ndcg(target + 7, target + 9, 3) == pytest.approx(1)
    assert ndcg([0, 1, 2, 3], target, 2) == pytest.approx((0 + 2 / math.log2(3)) / (3 + 2 / math.log2(3)))
    assert ndcg([1, 2], [5, 5], 1) is None
