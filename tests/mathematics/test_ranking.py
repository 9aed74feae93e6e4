"""Rank statistics against scipy, against their symmetries, and intervals against their coverage."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from nasjac.mathematics.rank_correlation import TopK, bootstrap_interval, kendall_tau, noise_ceiling, spearman, top_k

STATISTICS = (kendall_tau, spearman)
samples = st.integers(3, 30).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 8).map(float), min_size=n, max_size=n)] * 2)
)


@given(samples)
def test_equal_to_scipy_with_ties(pair) -> None:
    x, y = pair
    assume(len(set(x)) > 1 and len(set(y)) > 1)
    assert kendall_tau(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


@given(samples)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_invariances(statistic, pair) -> None:
    x, y = np.array(pair)
    value = statistic(x, y)
    assert statistic(y, x) == value
    assert statistic(np.exp(x), y) == value
    assert statistic(x, -y) == (None if value is None else pytest.approx(-value, abs=1e-12))
    assert statistic(np.where(x == x.min(), -math.inf, x), y) == value


@pytest.mark.parametrize("statistic", STATISTICS)
def test_there_is_no_figure_without_three_points_or_without_differences(statistic) -> None:
    assert statistic([1, 2], [1, 2]) is None
    assert statistic([], []) is None
    assert statistic([1, 1, 1], [1, 2, 3]) is None
    assert statistic([1, 2, 3], [-math.inf] * 3) is None
    assert statistic([1, 2, 3], [1, 2, 3]) == pytest.approx(1)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_nan_and_unequal_lengths_are_refused(statistic) -> None:
    with pytest.raises(ValueError, match="`y` must hold no nan, got nan at index 1"):
        statistic([1, 2, 3], [1, math.nan, 3])
    with pytest.raises(ValueError, match="one length"):
        statistic([1, 2, 3], [1, 2])


def test_bootstrap_interval_covers_the_truth() -> None:
    """Of 200 samples of 40 Gaussian pairs with tau = 2/pi asin(rho), 95% intervals cover it 91% to 99% of the time.

    At a coverage of 0.95 the number covered has standard deviation 3.1; the bounds are 2.6 of these away. Percentile
    intervals of so small a sample cover a little less than 95%.
    """
    generator = np.random.default_rng(11)
    truth, covered = 2 / math.pi * math.asin(0.6), 0
    for _ in range(200):
        x, y = generator.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=40).T
        low, high = bootstrap_interval(kendall_tau, x, y, generator, resamples=120)
        covered += low <= truth <= high
    assert 182 <= covered <= 198


def test_bootstrap_interval_depends_on_the_generator_alone_and_may_not_exist() -> None:
    x, y = np.random.default_rng(0).random((2, 12))
    first, second = (bootstrap_interval(spearman, x, y, np.random.default_rng(5)) for _ in range(2))
    assert first == second and first[0] <= spearman(x, y) <= first[1]
    assert bootstrap_interval(kendall_tau, [1, 2], [1, 2], np.random.default_rng(0)) is None
    assert bootstrap_interval(kendall_tau, [1, 2, 3, 4], [1, 2, 3, 4], np.random.default_rng(0)) is None
    one_finished = [0.9] + [-math.inf] * 19  # a resample misses it with probability (1 - 1/20)^20 = 0.36
    assert bootstrap_interval(kendall_tau, np.arange(20), one_finished, np.random.default_rng(0)) is not None


def test_noise_ceiling_is_the_mean_agreement_of_replicates() -> None:
    values = np.array([[1, 1, 3], [2, 2, 2], [3, 3, 1]])
    assert noise_ceiling(values) == pytest.approx((1 - 1 - 1) / 3)
    assert noise_ceiling(values[:, :1]) is None
    assert noise_ceiling(values[:2]) is None
    assert noise_ceiling([[1, 5], [2, 5], [3, 5]]) is None


def test_top_k_counts_hits_and_regret() -> None:
    accuracy = [0.9, 0.5, 0.8, -math.inf, 0.7]
    assert top_k([5, 4, 3, 2, 1], accuracy, 2) == TopK(2, 1, 0.8, 0.0)
    assert top_k([1, 5, 2, 4, 3], accuracy, 2) == TopK(2, 0, 0.8, pytest.approx(0.4))
    assert top_k([1, 2, 3, 9, 4], accuracy, 1) == TopK(1, 0, 0.2, None)
    assert top_k([1, 2], [1, 2], 3) is None
