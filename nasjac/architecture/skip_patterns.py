"""Skip patterns, drawn by a skip density and a wiring seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasjac.foundation.errors import InputError


def skip_pattern(density: float, depth: int, seed: int) -> NDArray[np.bool_]:
    """Return [depth] whether a block keeps its identity path: each does independently with probability `density`.

    One seed gives nested patterns: a denser one contains every skip of a sparser one.

    >>> skip_pattern(1.0, 3, seed=0).tolist(), skip_pattern(0.0, 3, seed=0).tolist()
    ([True, True, True], [False, False, False])
    """
    check_density(density)
    return np.random.default_rng(seed).random(depth) < density


def check_density(density: float) -> None:
    """Raise InputError unless `density` is a probability."""
    if not 0 <= density <= 1:
        raise InputError(f"`skip_density` must be a number in [0, 1], got {density!r}")
