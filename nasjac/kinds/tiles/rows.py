"""One architecture as a row of a tile: the fields that tiles need of residual MLPs and transformers alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.kinds.options.units import UnitSpec


@dataclass(frozen=True)
class Row:
    """An architecture as a tile sees it; the defaults are those of a network without blocks.

    `two_matrix`     whether an FFN branch has two matrices
    `logit_factor`   what a head's logits are multiplied by
    `rotary`, `learned`  positions of tokens: in queries and keys, or added to the embedding
    `causal`         whether a token attends to those before it alone
    `gates`          factors of skip and branch beside the blocks' own
    """

    width: int
    blocks: tuple[Block, ...]
    tokens: int = 1
    placement: str = "none"
    norm: str = "layernorm"
    activation: str = "relu"
    weight_gain: float = 1.0
    ffn_ratio: int = 1
    two_matrix: bool = True
    heads: int = 1
    query_gain: float = 1.0
    logit_factor: float = 1.0
    rotary: bool = False
    learned: bool = True
    causal: bool = False
    gates: tuple[float, float] = (1.0, 1.0)

    @property
    def attends(self) -> bool:
        """Whether some kept block is attention."""
        return any(block.keep and block.op == "attention" for block in self.blocks)

    def empty(self) -> Row:
        """Return a row of the same stream without blocks, which fills a tile up."""
        return Row(self.width, (), self.tokens, learned=self.learned, rotary=self.rotary, causal=self.causal)


def row_of(spec: Spec, unit: UnitSpec, **others: object) -> Row:
    """Return the row of a Spec; `unit` is the same Spec, typed by the fields that these kinds share."""
    row = Row(
        width=spec.width,
        blocks=spec.blocks,
        tokens=spec.tokens,
        placement=unit.placement,
        norm=unit.norm,
        activation=unit.activation,
        weight_gain=unit.weight_gain,
        ffn_ratio=unit.ffn_ratio,
        gates=spec.gates,
    )
    return replace(row, **others)  # type: ignore[arg-type]
