"""Laws for the factor on a residual branch, by the block's number and the depth."""

from __future__ import annotations

import math
from collections.abc import Callable

#: (block number from 0, depth) -> factor on the block's branch
BRANCH_SCALES: dict[str, Callable[[int, int], float]] = {
    "one": lambda block, depth: 1.0,
    "inverse_sqrt_depth": lambda block, depth: 1 / math.sqrt(depth),
    "inverse_sqrt_index": lambda block, depth: 1 / math.sqrt(block + 1),  # LayerNorm scaling, Sun et al. 2025
    "inverse_depth": lambda block, depth: 1 / depth,  # CompleteP, Dey et al. 2025
}
#: those that a space tries where its options name none, the ones of the first version: others would change its trials
SEARCHED_SCALES = ("one", "inverse_sqrt_depth", "inverse_sqrt_index")


def deepnorm(layers: int) -> tuple[float, float]:
    """Return α and β of DeepNorm for a decoder of `layers` layers, two branches each: LN(α x + F(x)), gains β.

    A norm on the sum does not depend on the size of its input, so that x + F(x) / α is the same network.

    Source: Wang et al. 2022.
    """
    return (2 * layers) ** 0.25, (8 * layers) ** -0.25
