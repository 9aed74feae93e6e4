"""Paths against counting them one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from nasjac.paths import count_paths, path_lengths


def test_golden_row() -> None:
    """Golden row 14: chi = (.9, .5, .3, .7, .2)."""
    chi = np.array([0.9, 0.5, 0.3, 0.7, 0.2])
    found = path_lengths(chi / (1 + chi))
    assert np.prod(1 + chi) == pytest.approx(7.5581999999999985, rel=1e-12)
    assert found.effective_depth == pytest.approx(1.6162181471778998, rel=1e-12)
    assert found.variance == pytest.approx(1.0301479161068685, rel=1e-12)
    assert found.entropy == pytest.approx(2.996535422851103, rel=1e-12)
    assert found.probability[2] == pytest.approx(0.3360588499907386, rel=1e-12)


def test_against_all_paths() -> None:
    share = np.array([0.2, 0.7, 1.0, 0.0, 0.45])
    expected = np.zeros(6)
    for path in product([0, 1], repeat=5):
        expected[sum(path)] += np.prod(np.where(path, share, 1 - share))
    found = path_lengths(share)
    np.testing.assert_allclose(found.probability, expected, atol=1e-15)
    lengths = np.arange(6)
    assert found.effective_depth == pytest.approx(lengths @ expected)
    assert found.variance == pytest.approx(lengths**2 @ expected - (lengths @ expected) ** 2)


def test_no_blocks_have_one_path_of_no_length() -> None:
    found = path_lengths([])
    assert found.probability.tolist() == [1.0] and found.effective_depth == 0 and found.entropy == 0


def test_counting_is_exact() -> None:
    assert count_paths([True] * 200, [True] * 200) == 2**200
    assert count_paths([True, False, True], [True, True, False]) == 2
    assert count_paths([], []) == 1


def test_a_share_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="`share` must hold numbers"):
        path_lengths([0.5, 1.5])
