"""Numbers of things as people write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasjac import InputError
from nasjac.foundation.arguments import MOST, count
from nasjac.searching.objectives import Budget


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        *((7, 7), (np.int32(7), 7), (2e8, 200_000_000), ("2e8", 200_000_000), ("100000", 100_000), ("100k", 100_000)),
        *(("50M", 50_000_000), ("2.5m", 2_500_000), ("1B", 10**9), ("1.5 G", 1_500_000_000), (" 3K ", 3000)),
        *(("1e+3k", 1_000_000), ("0.0001M", 100), ("9223372036854775807", MOST)),  # which is no float
    ],
)
def test_a_count_is_read_exactly(written: Any, expected: int) -> None:
    found = count("n", written, 1)
    assert found == expected and type(found) is int
    assert Budget(params=written, max_flops=written) == Budget(params=expected, max_flops=expected)


@pytest.mark.parametrize(
    "written",
    [
        *("", "k", "M50", "50 million", "1.2345k", "-5k", "1e400", "0x10", "٣k", "5kk", "10000000000B"),
        *(0, -1, 0.5, True, [1], None, float("nan"), float("inf"), 2**63, 1e300),
    ],
)
def test_what_is_no_count_is_refused_in_a_sentence(written: Any) -> None:
    with pytest.raises(InputError, match="`n` must be a whole number of at least 1"):
        count("n", written, 1)
