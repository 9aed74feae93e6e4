"""The fields of transformers: a decoder over token ids, an encoder over the patches of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from nasjac.architecture.block import Block
from nasjac.architecture.fields import check_choice, settle
from nasjac.architecture.inputs import Inputs
from nasjac.architecture.spec import MOST_GAIN, MOST_SIZE, Spec, sequence
from nasjac.foundation.arguments import number, whole
from nasjac.foundation.errors import InputError
from nasjac.kinds.images import check_patches, image_sizes
from nasjac.kinds.options.units import check_units, unused_units

#: tokens of a sequence
MOST_CONTEXT = 2**16
POSITIONS = ("learned", "rotary")
LOGIT_SCALES = ("inverse_sqrt", "inverse")


@dataclass(frozen=True, repr=False)
class Transformer(Spec):
    """The base class of decoders and encoders.

    Args:
        width: Units of the residual stream of a token.
        blocks: The residual blocks, input side first, each with op attention or ffn.
        placement: Where the norm sits, one of `nasjac.architecture.norm_placement.PLACEMENTS`.
        norm: layernorm or rmsnorm.
        activation: One of `nasjac.mathematics.activations.ACTIVATIONS`.
        weight_gain: The standard deviation of a branch weight is weight_gain / sqrt(fan_in).
        query_gain: The standard deviation of query and key weights is query_gain / sqrt(fan_in).
        ffn_ratio: Hidden units of an FFN branch, in widths.
        heads: Of attention, width / heads units each, an even number with rotary positions.
        positions: learned, added to the tokens' embedding, or rotary, in queries and keys (Su et al. 2021).
        logit_scale: Of attention: inverse_sqrt, 1/√d, or inverse, 1/d, d the units of a head (Yang et al. 2022).
        context: Tokens of a sequence, at least 2; of images as many as they have patches.

    Raises:
        InputError: names the field, its rule and the value.
    """

    ops: ClassVar[tuple[str, ...]] = ("ffn", "attention")
    #: whether a token attends to those before it alone
    causal: ClassVar[bool]

    placement: str = "none"
    norm: str = "layernorm"
    activation: str = "relu"
    weight_gain: float = 1.0
    query_gain: float = 1.0
    ffn_ratio: int = 1
    heads: int = 1
    positions: str = "learned"
    logit_scale: str = "inverse_sqrt"
    context: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_units(self)
        settle(self, "query_gain", number("query_gain", self.query_gain, low=0.0, high=MOST_GAIN, open_low=True))
        settle(self, "heads", whole("heads", self.heads, low=1, high=MOST_SIZE))
        settle(self, "context", whole("context", self.context, low=1, high=MOST_CONTEXT))
        check_choice("positions", self.positions, POSITIONS)
        check_choice("logit_scale", self.logit_scale, LOGIT_SCALES)
        if self.context < 2:
            raise InputError(f"`context` must be at least 2 in a {self.kind}, got {self.context}")
        even = 2 if self.positions == "rotary" and self.attends else 1
        if self.width % (self.heads * even):
            rule = f"a multiple of `heads`{' and even for each head, with rotary positions' if even == 2 else ''}"
            raise InputError(f"`width` must be {rule}, got {self.width} for {self.heads} heads")

    @property
    def attends(self) -> bool:
        """Whether some kept block is attention."""
        return any(block.keep and block.op == "attention" for block in self.blocks)

    @property
    def tokens(self) -> int:
        """Tokens of a layer."""
        return self.context

    @property
    def least_weights(self) -> int:
        """A lower bound of the weights of the blocks."""
        return self.width**2 * sum(block.keep for block in self.blocks)

    def _unused(self, blocks: tuple[Block, ...]) -> list[str]:
        """With heads of a single unit both logit scales are equal."""
        attending = [] if self.attends else ["heads", "query_gain"]
        scaled = [] if self.attends and self.heads < self.width else ["logit_scale"]
        return [*unused_units(self, blocks), *attending, *scaled]


@dataclass(frozen=True, repr=False)
class Decoder(Transformer):
    """A causal decoder: token ids [batch, context] -> the logits of each next token. Stored as transformer_lm.

    Args:
        context: Tokens of a sequence, at least 2.

    The other fields are those of `Transformer`.

    Raises:
        InputError: names the field, its rule and the value.
    """

    kind: ClassVar[str] = "transformer_lm"
    causal: ClassVar[bool] = True

    @property
    def inputs(self) -> Inputs:
        """Token ids."""
        return Inputs(tokens=self.context)


@dataclass(frozen=True, repr=False)
class VisionTransformer(Transformer):
    """An encoder over the patches of an image (Dosovitskiy et al. 2021). Stored as vit.

    Args:
        shape: Channels, rows and columns of an image.
        patch: Rows and columns of a patch.
        context: The number of patches.

    The other fields are those of `Transformer`.

    Raises:
        InputError: names the field, its rule and the value.
    """

    kind: ClassVar[str] = "vit"
    causal: ClassVar[bool] = False

    shape: tuple[int, ...] = field(kw_only=True)
    patch: int = 1

    def __post_init__(self) -> None:
        settle(self, "shape", image_sizes(sequence("shape", self.shape, "whole numbers")))
        super().__post_init__()
        settle(self, "patch", whole("patch", self.patch, low=1, high=MOST_SIZE))
        check_patches(self.shape, self.patch, self.context)

    @property
    def inputs(self) -> Inputs:
        """Images."""
        return Inputs(shape=self.shape)
