"""One architecture as a row of a tile: the fields that tiles need of residual MLPs and transformers alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.kinds.options.units import UnitSpec


@dataclass(frozen=True)
class Row:
    """An architecture as a tile sees it; the defaults are those of a network without blocks.

    `units`          hidden units of an FFN branch
    `two_matrix`     whether an FFN branch has two matrices; `gated` whether it has three, W2 (phi(W1 x) ∘ V x)
    `kv_heads`       heads of keys and values; `qk_norm` whether queries and keys have a norm
    `logit_factor`   what a head's logits are multiplied by
    `rotary`, `learned`  positions of tokens: in queries and keys, or added to the embedding
    `causal`         whether a token attends to those before it alone
    `gates`          factors of skip and branch beside the blocks' own
    """

    width: int
    blocks: tuple[Block, ...]
    units: int
    tokens: int = 1
    placement: str = "none"
    norm: str = "layernorm"
    activation: str = "relu"
    weight_gain: float = 1.0
    two_matrix: bool = True
    gated: bool = False
    heads: int = 1
    kv_heads: int = 1
    qk_norm: bool = False
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

    @property
    def is_degree_one(self) -> bool:
        """Whether branches multiply no two functions of their input, as gates and attention do."""
        return not self.attends and not self.gated

    @property
    def attention(self) -> tuple[int, int, bool]:
        """What attention of one route has in common: its heads, those of keys and values, whether there is a norm."""
        return self.heads, self.kv_heads, self.qk_norm

    def empty(self) -> Row:
        """Return a row of the same stream without blocks, which fills a tile up."""
        return Row(self.width, (), self.width, self.tokens, learned=self.learned, rotary=self.rotary, causal=self.causal)


def row_of(spec: Spec, unit: UnitSpec, **others: object) -> Row:
    """Return the row of a Spec; `unit` is the same Spec, typed by the fields that these kinds share."""
    row = Row(
        width=spec.width,
        blocks=spec.blocks,
        units=unit.ffn_ratio * spec.width,
        tokens=spec.tokens,
        placement=unit.placement,
        norm=unit.norm,
        activation=unit.activation,
        weight_gain=unit.weight_gain,
        gates=spec.gates,
    )
    return replace(row, **others)  # type: ignore[arg-type]
