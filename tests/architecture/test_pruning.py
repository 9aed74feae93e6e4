"""Every criterion prunes the asked-for share, more of it as the ratio grows, and in its own order."""

from __future__ import annotations

import numpy as np
import pytest

from nasjac.architecture.pruning_criteria import CRITERIA, keep_set

ENERGY = np.array([0.5, 0.1, 0.9, 0.1, 0.7, 0.3])


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_share_is_kept_and_sets_nest(criterion: str) -> None:
    previous = np.ones(6, dtype=bool)
    for pruned in range(7):
        keep = keep_set(pruned / 6, criterion, 6, lambda: ENERGY, seed=3)
        assert keep.sum() == 6 - pruned
        assert (previous | ~keep).all()
        previous = keep


def test_orders() -> None:
    def pruned(criterion: str) -> list[int]:
        return np.flatnonzero(~keep_set(0.5, criterion, 6, lambda: ENERGY, seed=0)).tolist()

    assert pruned("first") == [0, 1, 2]
    assert pruned("last") == [3, 4, 5]
    assert pruned("alternate") == [1, 3, 5]
    assert pruned("lowest_energy") == [1, 3, 5]
    assert len({tuple(np.flatnonzero(keep_set(0.5, "random", 6, lambda: ENERGY, seed))) for seed in range(20)}) > 5


def test_a_tie_goes_by_index() -> None:
    assert keep_set(1 / 6, "lowest_energy", 6, lambda: ENERGY, seed=0).tolist() == [True, False, True, True, True, True]


def test_bad_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"`prune_ratio` .* got 1.5"):
        keep_set(1.5, "first", 3, lambda: ENERGY, 0)
    with pytest.raises(ValueError, match=r"`prune_criterion` must be one of random, .* got 'best'"):
        keep_set(0.5, "best", 3, lambda: ENERGY, 0)
