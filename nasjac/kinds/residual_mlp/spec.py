"""The fields of a residual MLP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nasjac.architecture.block import Block
from nasjac.architecture.fields import check_choice
from nasjac.foundation.errors import InputError
from nasjac.kinds.options.stepped import SteppedSpec
from nasjac.kinds.options.units import check_units, unused_units

BRANCHES = ("two_matrix", "one_matrix")


@dataclass(frozen=True, repr=False)
class ResidualMLP(SteppedSpec):
    """A residual MLP: features [batch, n] -> embedding, blocks x + F(x), readout.

    Args:
        width: Units of the residual stream.
        blocks: The residual blocks, input side first, each with op ffn.
        placement: Where the norm sits, one of `nasjac.architecture.norm_placement.PLACEMENTS`.
        norm: layernorm or rmsnorm.
        activation: One of `nasjac.mathematics.activations.ACTIVATIONS`.
        branch: two_matrix, F(x) = W2 phi(W1 x), or one_matrix, F(x) = W phi(x).
        weight_gain: The standard deviation of a branch weight is weight_gain / sqrt(fan_in).
        ffn_ratio: Hidden units of a two-matrix branch, in widths.
        block, step, leak: How a block steps in time (`nasjac.kinds.options.stepped.SteppedSpec`).

    Raises:
        InputError: names the field, its rule and the value.

    >>> ResidualMLP(width=8, blocks=(Block(), Block(keep=False))).key == ResidualMLP(width=8, blocks=(Block(),)).key
    True
    >>> ResidualMLP(width=8, blocks=(Block(),), step=0.5).key == ResidualMLP(width=8, blocks=(Block(scale=0.5),)).key
    True
    """

    kind: ClassVar[str] = "residual_mlp"
    ops: ClassVar[tuple[str, ...]] = ("ffn",)

    placement: str = "none"
    norm: str = "layernorm"
    activation: str = "relu"
    branch: str = "two_matrix"
    weight_gain: float = 1.0
    ffn_ratio: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_units(self)
        check_choice("branch", self.branch, BRANCHES)
        if self.branch == "one_matrix" and self.ffn_ratio != 1:
            raise InputError("`branch` must be two_matrix with an `ffn_ratio`, got 'one_matrix'")

    @property
    def least_weights(self) -> int:
        """A lower bound of the weights of the blocks."""
        return self.width**2 * sum(block.keep for block in self.blocks)

    def _unused(self, blocks: tuple[Block, ...]) -> list[str]:
        return [*unused_units(self, blocks), *([] if blocks else ["branch"]), *super()._unused(blocks)]
