"""How transformers grow and lose branches."""

from __future__ import annotations

from collections.abc import Sequence

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.kinds.surgery import PlacedSurgery


class TransformerSurgery(PlacedSurgery):
    """Attention and FFN take turns; two branches make a layer."""

    layer_size = 2
    last = "branch.outer"

    def new_op(self, spec: Spec, before: Sequence[Block], place: int) -> str:
        return "ffn" if before and before[-1].op == "attention" else "attention"


class DecoderSurgery(TransformerSurgery):
    """A decoder takes token ids."""

    dataset = "text"


DECODER_SURGERY = DecoderSurgery()
ENCODER_SURGERY = TransformerSurgery()
