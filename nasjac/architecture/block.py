"""One residual block of an architecture."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from nasjac.architecture.fields import non_default, settle
from nasjac.foundation.arguments import flag, number, shown, whole
from nasjac.foundation.errors import InputError

MOST_STAGES = 2**6


@dataclass(frozen=True)
class Block:
    """One residual block x -> skip * x + scale * F(x), its norms where the placement puts them.

    Args:
        keep: False prunes the branch; the block is then the identity, norms included.
        skip: 1 keeps the identity path, 0 cuts it; between them it is the probability with which the path is kept, which
            makes the Spec an ensemble of networks.
        scale: Factor on the branch's output, above 0.
        op: What F is, one of the kind's ops: ffn; attention of tokens to each other; of a ResNet basic (two 3x3
            convolutions) or bottleneck (1x1, 3x3, 1x1); of a DenseNet dense (one 3x3 convolution, whose output is put
            beside x).
        stage: Of a network of images: each stage after 0 begins by halving rows and columns.
        gate: Whether a learned factor, which starts at 0, is on the branch beside `scale` (ReZero, Bachlechner et al.
            2021; SkipInit, De & Smith 2020). What is said of a Spec without its weights takes it at 1.

    Raises:
        InputError: names the field, its rule and the value.
    """

    keep: bool = True
    skip: float = 1.0
    scale: float = 1.0
    op: str = "ffn"
    stage: int = 0
    gate: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.op, str) or not self.op:
            raise InputError(f"`op` must be the name of an operation, got {shown(self.op)}")
        for name in ("keep", "gate"):
            settle(self, name, flag(name, getattr(self, name)))
        settle(self, "stage", whole("stage", self.stage, high=MOST_STAGES))
        settle(self, "skip", number("skip", self.skip, low=0.0, high=1.0))
        # a branch that is not pruned counts for something, so that no block ever loses both skip and branch
        settle(self, "scale", number("scale", self.scale, low=0.0, open_low=True))

    @cached_property
    def content(self) -> dict[str, Any]:
        """The fields that differ from their defaults: the block's part of a Spec's JSON."""
        return non_default(self, BLOCK_FIELDS)


BLOCK_FIELDS = fields(Block)
