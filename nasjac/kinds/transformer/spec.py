"""The fields of transformers: a decoder over token ids, an encoder over the patches of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from nasjac.architecture.block import Block
from nasjac.architecture.fields import check_choice, settle
from nasjac.architecture.inputs import Inputs
from nasjac.architecture.spec import MOST_GAIN, MOST_SIZE, Spec, sequence
from nasjac.foundation.arguments import flag, number, whole
from nasjac.foundation.errors import InputError
from nasjac.kinds.images import check_patches, image_sizes
from nasjac.kinds.options.units import check_units, unused_units

#: tokens of a sequence
MOST_CONTEXT = 2**16
POSITIONS = ("learned", "rotary")
LOGIT_SCALES = ("inverse_sqrt", "inverse")
FFNS = ("plain", "gated")


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
        ffn_ratio: Hidden units of a plain FFN branch, in widths.
        heads: Of attention, width / heads units each, an even number with rotary positions.
        positions: learned, added to the tokens' embedding, or rotary, in queries and keys (Su et al. 2021).
        logit_scale: Of attention: inverse_sqrt, 1/√d, or inverse, 1/d, d the units of a head (Yang et al. 2022).
        ffn: plain, W2 phi(W1 x), or gated, W2 (phi(W1 x) ∘ V x) (Shazeer 2020): SwiGLU with silu, GeGLU with gelu.
        ffn_hidden: Hidden units of a gated FFN; None for 8/3 of the width, by `gated_units`.
        kv_heads: Heads of keys and values, a divisor of `heads`, whose queries share them in groups of equal size (Ainslie
            et al. 2023); None for as many as `heads`.
        qk_norm: Whether each head's query and key vectors pass through an RMSNorm with learned gains, which all heads share
            and which start at 1, before rotary positions turn them (Henry et al. 2020; Qwen3).
        context: Tokens of a sequence, at least 2; of images as many as they have patches.

    LLaMA is `Decoder(placement="pre", norm="rmsnorm", positions="rotary", ffn="gated", activation="silu", ...)`, Qwen3 the
    same with `kv_heads` and `qk_norm=True`, both but for the biases that linear maps have here.

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
    ffn: str = "plain"
    ffn_hidden: int | None = None
    kv_heads: int | None = None
    qk_norm: bool = False
    context: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_units(self)
        settle(self, "query_gain", number("query_gain", self.query_gain, low=0.0, high=MOST_GAIN, open_low=True))
        settle(self, "heads", whole("heads", self.heads, low=1, high=MOST_SIZE))
        settle(self, "context", whole("context", self.context, low=1, high=MOST_CONTEXT))
        check_choice("positions", self.positions, POSITIONS)
        check_choice("logit_scale", self.logit_scale, LOGIT_SCALES)
        settle(self, "qk_norm", flag("qk_norm", self.qk_norm))
        self._check_ffn()
        if self.context < 2:
            raise InputError(f"`context` must be at least 2 in a {self.kind}, got {self.context}")
        even = 2 if self.positions == "rotary" and self.attends else 1
        if self.width % (self.heads * even):
            rule = f"a multiple of `heads`{' and even for each head, with rotary positions' if even == 2 else ''}"
            raise InputError(f"`width` must be {rule}, got {self.width} for {self.heads} heads")
        if self.kv_heads is not None:
            settle(self, "kv_heads", whole("kv_heads", self.kv_heads, low=1, high=MOST_SIZE))
            if self.heads % self.kv_heads:
                raise InputError(f"`kv_heads` must divide `heads`, or be None, got {self.kv_heads} for {self.heads} heads")

    def _check_ffn(self) -> None:
        check_choice("ffn", self.ffn, FFNS)
        if self.ffn == "gated" and self.ffn_ratio != 1:
            raise InputError("`ffn` must be plain with an `ffn_ratio`, got 'gated', whose hidden units are `ffn_hidden`")
        if self.ffn_hidden is not None:
            settle(self, "ffn_hidden", whole("ffn_hidden", self.ffn_hidden, low=1, high=MOST_SIZE))
            if self.ffn == "plain":
                rule = "None in a plain FFN, whose hidden units are `ffn_ratio` × width"
                raise InputError(f"`ffn_hidden` must be {rule}, got {self.ffn_hidden}")

    @property
    def ffn_units(self) -> int:
        """Hidden units of an FFN branch."""
        if self.ffn == "plain":
            return self.ffn_ratio * self.width
        return gated_units(self.width) if self.ffn_hidden is None else self.ffn_hidden

    @property
    def kv_width(self) -> int:
        """Units of a token's keys, and of its values, all heads of them together."""
        return self.width if self.kv_heads is None else self.width // self.heads * self.kv_heads

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
        least = min(self.width**2, 3 * self.width * self.ffn_units)
        return least * sum(block.keep for block in self.blocks)

    def _unused(self, blocks: tuple[Block, ...]) -> list[str]:
        """With heads of a single unit both logit scales are equal; and what is said may be what None stands for."""
        fed = any(block.op == "ffn" for block in blocks)
        used = {
            **dict.fromkeys(("heads", "query_gain", "qk_norm"), self.attends),
            "logit_scale": self.attends and self.heads < self.width,
            "kv_heads": self.attends and self.kv_heads != self.heads,
            "ffn": fed,
            "ffn_hidden": fed and self.ffn_hidden != gated_units(self.width),
        }
        return [*unused_units(self, blocks), *(name for name, is_used in used.items() if not is_used)]


def gated_units(width: int, ratio: int = 4) -> int:
    """Return the hidden units of a gated FFN with about the weights of a plain one of ratio × width: 2/3 of those.

    They are rounded up to a multiple of the largest power of two that is at most an eighth of the width, and at most 256:
    8/3 × 64 is 176, 8/3 × 768 is 2048 and 8/3 × 4096 is 11008, LLaMA's (Touvron et al. 2023).
    """
    multiple = min(1 << max(width // 8, 1).bit_length() - 1, 256)
    return -(-2 * ratio * width // (3 * multiple)) * multiple


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
