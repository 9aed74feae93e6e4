"""Log-percentiles: where a value stands in a reference population that is drawn once and never changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasjac.foundation.errors import InputError

LEAST = 8


class LogPercentile:
    """The logarithm of a value's percentile among `reference` values: of the share that lies below, a tie counted half.

    Linear between the values of the reference, and beyond its ends with the mean slope of the outer quarter of their range:
    a value has one log-percentile whatever it is compared with, the same for all where the reference has one value alone.
    −∞ stays −∞ but there.

    Args:
        reference: [R] values, of which some are finite; R at least 8.

    Raises:
        InputError: Fewer than 8 values, or none that is finite.

    >>> LogPercentile(range(1, 10))([5.0]).round(4).tolist()  # the median
    [-0.6931]
    """

    def __init__(self, reference: Sequence[float] | NDArray[np.float64]) -> None:
        values, counts = np.unique(np.asarray(reference, dtype=np.float64), return_counts=True)
        shares = (np.cumsum(counts) - counts / 2 + 0.5) / (counts.sum() + 1)
        finite = np.isfinite(values)
        self.values, self.logs = values[finite], np.log(shares[finite])
        if counts.sum() < LEAST or not len(self.values):
            rule = f"at least {LEAST} values, of which some are finite"
            raise InputError(f"`reference` must hold {rule}, got {counts.sum()}, {counts[finite].sum()} of them finite")

    def __call__(self, values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-percentiles [n] of `values` [n]."""
        asked = np.asarray(values, dtype=np.float64)
        low, high = self.values[0], self.values[-1]
        if low == high:
            return np.full(asked.shape, self.logs[0])
        inside = np.interp(asked, self.values, self.logs)
        inner_low, inner_high = low + (high - low) / 4, high - (high - low) / 4
        slopes = [
            (np.interp(b, self.values, self.logs) - np.interp(a, self.values, self.logs)) / (b - a)
            for a, b in ((low, inner_low), (inner_high, high))
        ]
        below, above = np.minimum(asked - low, 0), np.maximum(asked - high, 0)
        return np.asarray(inside + slopes[0] * below + slopes[1] * above)


def log_percentiles(reference: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-percentiles [K, n] of each row of `values` [K, n] among the same row of `reference` [K, R]."""
    return np.array([LogPercentile(known)(own) for known, own in zip(reference, values, strict=True)])
