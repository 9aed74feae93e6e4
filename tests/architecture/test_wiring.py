"""Skip patterns follow their density, nest, and depend on the seed alone."""

from __future__ import annotations

import numpy as np
import pytest

from nasjac.architecture.skip_patterns import skip_pattern


def test_density_is_the_mean() -> None:
    patterns = np.stack([skip_pattern(0.3, 20, seed) for seed in range(1000)])
    assert abs(patterns.mean() - 0.3) < 4 * (0.3 * 0.7 / patterns.size) ** 0.5
    assert (abs(patterns.mean(axis=0) - 0.3) < 4 * (0.3 * 0.7 / 1000) ** 0.5).all()


def test_patterns_of_one_seed_nest() -> None:
    for seed in range(20):
        previous = skip_pattern(0.0, 30, seed)
        assert not previous.any()
        for density in (0.2, 0.5, 0.9, 1.0):
            pattern = skip_pattern(density, 30, seed)
            assert (pattern | ~previous).all()
            previous = pattern
        assert previous.all()


@pytest.mark.parametrize("density", [-0.1, 1.1, float("nan")])
def test_a_density_outside_is_refused(density: float) -> None:
    with pytest.raises(ValueError, match=r"`skip_density` must be a number in \[0, 1\]"):
        skip_pattern(density, 3, 0)
