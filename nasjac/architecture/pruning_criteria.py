"""The criteria by which residual branches are pruned without weights: one function a criterion.

Each returns [L] the blocks in the order in which they are pruned. `energy()` gives [L] the expected branch energy
χ_l = E‖J_F‖_F² / N of each block to the criteria that need it; only `random` uses `seed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nasjac.foundation.arguments import number, shown, whole
from nasjac.foundation.errors import InputError

#: most blocks that are ordered
MOST_BLOCKS = 10**8

Order = NDArray[np.intp]
Energy = Callable[[], NDArray[np.float64]]


def random(depth: int, energy: Energy, seed: int) -> Order:
    """Return a random order."""
    return np.random.default_rng(seed).permutation(depth)


def alternate(depth: int, energy: Energy, seed: int) -> Order:
    """Return every second block (1, 3, 5, ...), then every second of the rest, so that kept blocks stay evenly spread."""
    left, order = np.arange(depth), [np.arange(0)]
    while len(left) > 1:
        order.append(left[1::2])
        left = left[::2]
    return np.concatenate([*order, left])


def last(depth: int, energy: Energy, seed: int) -> Order:
    """Return the blocks from the output side."""
    return np.arange(depth)[::-1]


def first(depth: int, energy: Energy, seed: int) -> Order:
    """Return the blocks from the input side."""
    return np.arange(depth)


def lowest_energy(depth: int, energy: Energy, seed: int) -> Order:
    """Return the blocks by their expected branch energy, the lowest first, ties by index."""
    return np.argsort(energy(), kind="stable")


CRITERIA: dict[str, Callable[[int, Energy, int], Order]] = {
    "random": random,
    "alternate": alternate,
    "last": last,
    "first": first,
    "lowest_energy": lowest_energy,
}


def keep_set(ratio: float, criterion: str, depth: int, energy: Energy, seed: int) -> NDArray[np.bool_]:
    """Return [L] True where the branch stays, after floor(ratio * L) of the L = `depth` branches are pruned.

    >>> keep_set(0.5, "lowest_energy", 4, energy=lambda: np.array([3.0, 1.0, 2.0, 1.0]), seed=0).tolist()
    [True, False, True, False]
    """
    ratio, depth, seed = number("prune_ratio", ratio, 0.0, 1.0), whole("depth", depth, 0, MOST_BLOCKS), whole("seed", seed)
    if not isinstance(criterion, str) or criterion not in CRITERIA:
        raise InputError(f"`prune_criterion` must be one of {', '.join(CRITERIA)}, got {shown(criterion)}")
    keep = np.ones(depth, dtype=np.bool_)
    pruned = math.floor(ratio * depth + 1e-9)  # the guard: 0.29 * 100 is 28.999999999999996
    if pruned:
        keep[CRITERIA[criterion](depth, energy, seed)[:pruned]] = False
    return keep
