"""Where the norm sits in a residual block: one formula and a table.

    x' = norm_sum( skip * x + scale * norm_branch( F( norm_input(x) ) ) )

A placement says which of the three norms a block has; the others are the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

Map = Callable[[Tensor], Tensor]

NORM_EPS = 1e-5  # torch's default for LayerNorm


class Placement(NamedTuple):
    """Which norms a block has, and whether the network needs one before its readout."""

    on_input: bool
    on_branch: bool
    on_sum: bool
    before_readout: bool

    @property
    def uses_norm(self) -> bool:
        """Whether a block has any norm."""
        return self.on_input or self.on_branch or self.on_sum


PLACEMENTS = {
    "none": Placement(False, False, False, False),
    "pre": Placement(True, False, False, True),  # Xiong et al. 2020
    "post": Placement(False, False, True, False),  # Vaswani et al. 2017
    "res_post": Placement(False, True, False, True),  # Liu et al. 2022 (Swin v2)
    "sandwich": Placement(True, True, False, True),  # Ding et al. 2021; peri-LN, Kim et al. 2025
}


def residual_block(x: Tensor, norms: tuple[Map, Map, Map], branch: Map, skip: Tensor, scale: Tensor) -> Tensor:
    """Return the block's output for the input `x`; `norms` are those on the input, branch and sum, or identities."""
    on_input, on_branch, on_sum = norms
    return on_sum(skip * x + scale * on_branch(branch(on_input(x))))
