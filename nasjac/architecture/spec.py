"""What an architecture is: a resolved, concrete, hashable description."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from nasjac.architecture.activations import ACTIVATIONS
from nasjac.kinds.images import BATCH, IMAGE_NORMS, ORDERS, Step, begins_stage, check_images, check_patches, steps
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.foundation.arguments import flag, number, shown, whole
from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import parse_json

NORMS = ("layernorm", "rmsnorm")
NORM_EPS = 1e-5  # torch's default for LayerNorm
BRANCHES = ("two_matrix", "one_matrix")
#: blocks of a network, tokens of a sequence, stages of images, and any other size, such as a width: far beyond what is
#: trained, and of numbers whose squares and sums are exact as floats
MOST_BLOCKS, MOST_CONTEXT, MOST_STAGES, MOST_SIZE = 2**16, 2**16, 2**6, 2**20
BLOCK_TYPES = ("explicit", "leaky", "implicit")
POSITIONS = ("learned", "rotary")
LOGIT_SCALES = ("inverse_sqrt", "inverse")

#: kind -> what its blocks may be
KINDS: dict[str, tuple[str, ...]] = {
    "residual_mlp": ("ffn",),
    "transformer_lm": ("ffn", "attention"),
    "vit": ("ffn", "attention"),
    "resnet": ("basic", "bottleneck"),
    "densenet": ("dense",),
}
OPS = tuple(dict.fromkeys(op for ops in KINDS.values() for op in ops))
CONVOLUTIONAL = ("resnet", "densenet")
TRANSFORMERS = ("transformer_lm", "vit")
#: kinds whose blocks are steps in time: sums of a stream and a branch, one after the other
STEPPED_KINDS = ("residual_mlp", "resnet")


@dataclass(frozen=True)
class Block:
    """One residual block x -> skip * x + scale * F(x), its norms where the placement puts them.

    `keep`  False prunes the branch; the block is then the identity, norms included.
    `skip`  1 keeps the identity path, 0 cuts it; between them it is the probability with which the path is kept, which
            makes the Spec an ensemble of networks.
    `scale` factor on the branch output.
    `op`    what F is: ffn, or attention of tokens to each other; of a resnet basic (two 3x3 convolutions) or bottleneck
            (1x1, 3x3, 1x1), of a densenet dense (one 3x3 convolution, whose output is put beside x)
    `stage` of a network of images: each stage after 0 begins by halving rows and columns
    `gate`  whether a learned factor, which starts at 0, is on the branch beside `scale` (ReZero, Bachlechner et al. 2021;
            SkipInit, De & Smith 2020). What is said of a Spec without its weights takes it at 1
    """

    keep: bool = True
    skip: float = 1.0
    scale: float = 1.0
    op: str = "ffn"
    stage: int = 0
    gate: bool = False

    def __post_init__(self) -> None:
        check_choice("op", self.op, OPS)
        for name in ("keep", "gate"):
            _settle(self, name, flag(name, getattr(self, name)))
        _settle(self, "stage", whole("stage", self.stage, high=MOST_STAGES))
        _settle(self, "skip", number("skip", self.skip, low=0.0, high=1.0))
        # a branch that is not pruned counts for something, so that no block ever loses both skip and branch
        _settle(self, "scale", number("scale", self.scale, low=0.0, open_low=True))

    @cached_property
    def content(self) -> dict[str, Any]:
        """What a Spec's JSON says of the block."""
        return _non_default(self, BLOCK_FIELDS)


@dataclass(frozen=True)
class Spec:
    """An architecture: its blocks, and what they have in common.

    `kind`         one of `KINDS`: residual_mlp; transformer_lm, a causal decoder over token ids; vit, an encoder over the
                   patches of an image; resnet and densenet, convolutional networks
    `width`        units of the residual stream; of convolutional networks, channels after the stem
    `blocks`       the residual blocks, input side first
    `placement`    where the norm sits, one of `nasjac.architecture.norm_placement.PLACEMENTS`
    `norm`         layernorm or rmsnorm; of convolutional networks, batchnorm, groupnorm or none
    `activation`   one of `nasjac.architecture.activations.ACTIVATIONS`
    `branch`       two_matrix, F(x) = W2 phi(W1 x), or one_matrix, F(x) = W phi(x), of an MLP
    `weight_gain`  standard deviation of a branch weight is weight_gain / sqrt(fan_in)
    `ffn_ratio`    hidden units of a two-matrix branch, in widths
    `heads`        of attention, `width` / `heads` units each, an even number with rotary positions
    `positions`    of tokens: learned, added to their embedding, or rotary, in queries and keys (Su et al. 2021)
    `logit_scale`  of attention: inverse_sqrt, 1/√d, or inverse, 1/d, d the units of a head (Yang et al. 2022)
    `context`      tokens of a sequence, of a vit as many as an image has patches; 1 of other kinds
    `query_gain`   standard deviation of query and key weights is query_gain / sqrt(fan_in)
    `shape`        of images: channels, rows, columns
    `patch`        of a vit: rows and columns of a patch
    `order`        of convolutional networks, post: convolution, norm, activation, the last one after the sum; pre: norm,
                   activation, convolution
    `growth`       channels that a block of a densenet adds
    `block`        how a block steps along dx/dt = F(x) - D x, F with its scale and norms, h being `step` and D `leak`:
                   explicit, x + h F(x), which has no leak; leaky, (1 - hD) x + h F(x); implicit, the solution y of
                   y - hβ (F(y) - D y) = history by BDF-2 (`nasjac.kinds.modules.implicit`). A norm on the sum, or an
                   activation after it, comes behind the step. An implicit block whose skip is cut, or that changes the
                   shape of images, has no equation and is (skip x + h F(x)) / (1 + hD)
    `step`         h, above 0
    `leak`         D, at least 0; with leaky blocks hD below 1, so that the skip keeps its sign

    >>> Spec(width=8, blocks=(Block(), Block(keep=False))).key == Spec(width=8, blocks=(Block(),)).key
    True
    >>> Spec(width=8, blocks=(Block(),), step=0.5).key == Spec(width=8, blocks=(Block(scale=0.5),)).key
    True
    """

    width: int
    blocks: tuple[Block, ...]
    kind: str = "residual_mlp"
    placement: str = "none"
    norm: str = "layernorm"
    activation: str = "relu"
    branch: str = "two_matrix"
    weight_gain: float = 1.0
    ffn_ratio: int = 1
    heads: int = 1
    positions: str = "learned"
    logit_scale: str = "inverse_sqrt"
    query_gain: float = 1.0
    context: int = 1
    shape: tuple[int, ...] = ()
    patch: int = 1
    order: str = "post"
    growth: int = 1
    block: str = "explicit"
    step: float = 1.0
    leak: float = 0.0

    def __post_init__(self) -> None:
        _settle(self, "width", whole("width", self.width, low=2, high=MOST_SIZE))
        self._check_sequences()
        if len(self.blocks) > MOST_BLOCKS:
            raise InputError(f"`blocks` must be at most {MOST_BLOCKS}, got {len(self.blocks)}")
        check_choice("kind", self.kind, KINDS)
        check_choice("placement", self.placement, PLACEMENTS)
        check_choice("norm", self.norm, IMAGE_NORMS if self.convolves else NORMS)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("branch", self.branch, BRANCHES)
        _settle(self, "weight_gain", number("weight_gain", self.weight_gain, low=0.0, open_low=True))
        check_choice("order", self.order, ORDERS)
        for name in ("ffn_ratio", "heads", "context", "patch", "growth"):
            most = MOST_CONTEXT if name == "context" else MOST_SIZE
            _settle(self, name, whole(name, getattr(self, name), low=1, high=most))
        check_choice("positions", self.positions, POSITIONS)
        check_choice("logit_scale", self.logit_scale, LOGIT_SCALES)
        _settle(self, "query_gain", number("query_gain", self.query_gain, low=0.0, open_low=True))
        self._check_steps()
        self._check_kind()

    def _check_sequences(self) -> None:
        """`blocks` and `shape` are kept as tuples, whatever sequences they were given as."""
        for name, what in (("blocks", "blocks"), ("shape", "whole numbers")):
            if isinstance(getattr(self, name), (str, bytes, Mapping)) or not isinstance(getattr(self, name), Iterable):
                raise InputError(f"`{name}` must be a sequence of {what}, got {shown(getattr(self, name))}")
        _settle(self, "blocks", tuple(self.blocks))
        _settle(self, "shape", tuple(int(size) if isinstance(size, np.integer) else size for size in self.shape))
        if strangers := [block for block in self.blocks if not isinstance(block, Block)]:
            raise InputError(f"`blocks` must be a sequence of Block, got {shown(strangers[0])} in it")

    def _check_steps(self) -> None:
        check_choice("block", self.block, BLOCK_TYPES)
        _settle(self, "step", number("step", self.step, low=0.0, open_low=True))
        _settle(self, "leak", number("leak", self.leak, low=0.0))
        if self.block == "leaky" and self.step * self.leak >= 1:
            raise InputError(f"`leak` must be below 1 / `step` in leaky blocks, 1 / {self.step:g}, got {self.leak!r}")
        if self.kind not in STEPPED_KINDS and (self.block, self.step) != ("explicit", 1.0):
            name = "step" if self.block == "explicit" else "block"
            rule = f"{DEFAULTS[name]} in a {self.kind}, whose blocks are no steps in time"
            raise InputError(f"`{name}` must be {rule}, got {getattr(self, name)!r}")

    def _check_kind(self) -> None:
        """What the fields must be to each other."""
        others = {block.op for block in self.blocks} - set(KINDS[self.kind])
        if others:
            raise InputError(f"`op` must be one of {', '.join(KINDS[self.kind])} in a {self.kind}, got {others.pop()!r}")
        if self.is_transformer != (self.context > 1):
            rule = "at least 2" if self.is_transformer else "1"
            raise InputError(f"`context` must be {rule} in a {self.kind}, got {self.context}")
        even = 2 if self.positions == "rotary" and self.uses_attention else 1
        if self.width % (self.heads * even):
            rule = f"a multiple of `heads`{' and even for each head, with rotary positions' if even == 2 else ''}"
            raise InputError(f"`width` must be {rule}, got {self.width} for {self.heads} heads")
        if self.kind == "densenet" and any(block.gate for block in self.blocks):
            raise InputError("`gate` must be false in a densenet, whose branches are beside the stream, got true")
        if self.branch == "one_matrix" and (self.ffn_ratio != 1 or self.kind != "residual_mlp"):
            raise InputError("`branch` must be two_matrix with an `ffn_ratio` or in other kinds, got 'one_matrix'")
        if self.convolves:
            check_images(self.kind, self.width, self.shape, self.blocks)
        elif self.takes_images:
            check_patches(self.shape, self.patch, self.context)
        elif self.shape:
            raise InputError(f"`shape` must be left out but in networks of images, got it in a {self.kind}")
        if not self.convolves and any(block.stage for block in self.blocks):
            raise InputError(f"`stage` must be left out but in convolutional networks, got it in a {self.kind}")

    @property
    def units(self) -> int:
        """Units of h_L, those of all tokens together, or of all images of a `batch`: N of energies, r/N and probe biases.

        Convolutional networks have another number in h_0. r is at most the smaller one, and the bias of a logarithm, which
        a tangent has by the units of h_0, is off by at most the difference of 2/N.
        """
        if self.convolves:
            return self.batch * (self.steps[-1].end.units if self.blocks else self.width * math.prod(self.shape[1:]))
        return self.width * self.context

    @property
    def batch(self) -> int:
        """Inputs whose Jacobian is that of all of them together: BatchNorm makes the images of a batch one input."""
        return BATCH if self.norm == "batchnorm" else 1

    @property
    def takes_images(self) -> bool:
        """Whether its inputs are images."""
        return self.convolves or self.kind == "vit"

    @property
    def convolves(self) -> bool:
        """Whether its layers are channels of pixels."""
        return self.kind in CONVOLUTIONAL

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """What each block of a convolutional network does to its layer."""
        return tuple(steps(self.kind, self.width, self.growth, self.shape, self.blocks))

    @property
    def takes_tokens(self) -> bool:
        """Whether its inputs are sequences of token ids."""
        return self.kind == "transformer_lm"

    @property
    def is_transformer(self) -> bool:
        """Whether its layers are sequences of tokens."""
        return self.kind in TRANSFORMERS

    @property
    def is_causal(self) -> bool:
        """Whether a token attends to those before it alone."""
        return self.kind == "transformer_lm"

    @property
    def uses_attention(self) -> bool:
        """Whether some kept block attends."""
        return any(block.keep and block.op == "attention" for block in self.blocks)

    @property
    def gates(self) -> tuple[float, float]:
        """Factors of skip and branch beside the blocks' own: 1 and h; leaky 1 - hD and h; implicit 1/(1 + hD) and
        h/(1 + hD), the step whose leak alone is implicit, which is the solution to first order in F.
        """
        if self.block == "implicit":
            return 1 / (1 + self.step * self.leak), self.step / (1 + self.step * self.leak)
        return 1 - self.step * self.leak if self.block == "leaky" else 1.0, self.step

    def solves(self, number: int) -> bool:
        """Whether a block is the solution of an equation."""
        block = self.blocks[number]
        changes = self.convolves and begins_stage(self.blocks, number)
        return self.block == "implicit" and block.keep and block.skip > 0 and not changes

    @property
    def stands_alone(self) -> bool:
        """Whether it is evaluated as a module, by autograd: densenets, and implicit blocks. All others share products."""
        return self.kind == "densenet" or self.block == "implicit"

    @cached_property
    def canonical(self) -> Spec:
        """The one form of the same network: without what cannot matter, pruned blocks and choices that no block uses, and
        of forms that are equal the one with the defaults. Specs are one network exactly if their canonical forms are equal.

        A pruned block that changes the shape of images stays, as what changes it. A step is in the blocks' scales, and a
        leaky block's leak is hD, at step 1: h · scale and 1 − hD are what is computed. A single unit a head has one logit
        scale, and without norm and bend convolutions have one order.

        Forms are one where they compute the same numbers, bit for bit, from the same weights. What is equal on paper alone
        stays apart: the step of an equation that is solved (h enters by hβ/(1 + hβD)); gains that stand for each other, as
        weight and branch scale about relu, or query gain and logit scale; gains behind a norm, which are but an ε.
        """
        return self._at_step_1()._used()

    def _at_step_1(self) -> Spec:
        """With step and leak in the blocks, where no equation is solved and none of their products leaves the floats."""
        kept = [block for block in self.blocks if block.keep]
        moved = self.gates[1]
        if self.block == "implicit":
            solved = any(self.solves(number) for number in range(len(self.blocks)))
            if solved or (self.leak > 0 and any(block.skip > 0 for block in kept)):
                return self
        if not all(0 < block.scale * moved < math.inf for block in kept):
            return self
        if moved == 1 and self.block != "implicit":
            return self
        scaled = {block: replace(block, scale=block.scale * moved) for block in set(kept)}  # most blocks are equal
        blocks = tuple(scaled.get(block, block) for block in self.blocks)
        if self.block == "leaky":
            return replace(self, blocks=blocks, step=1.0, leak=self.step * self.leak)
        return replace(self, blocks=blocks, block="explicit", step=1.0, leak=0.0)

    def _used(self) -> Spec:
        blocks = self._lasting_blocks()
        unused = self._unused_by_images(blocks) if self.convolves else self._unused_by_units(blocks)
        unused += self._unused_by_steps(blocks)
        plain = {name: DEFAULTS[name] for name in unused if getattr(self, name) != DEFAULTS[name]}
        return replace(self, blocks=blocks, **plain) if plain or blocks != self.blocks else self

    def _lasting_blocks(self) -> tuple[Block, ...]:
        changing = {n for n in range(len(self.blocks)) if self.convolves and begins_stage(self.blocks, n)}
        bare = KINDS[self.kind][0]
        return tuple(
            block if block.keep else Block(keep=False, op=bare, stage=block.stage)
            for number, block in enumerate(self.blocks)
            if block.keep or number in changing
        )

    def _unused_by_units(self, blocks: tuple[Block, ...]) -> list[str]:
        used = {
            **dict.fromkeys(("placement", "weight_gain"), bool(blocks)),
            **dict.fromkeys(("activation", "branch", "ffn_ratio"), any(block.op == "ffn" for block in blocks)),
            **dict.fromkeys(("heads", "query_gain"), self.uses_attention),
            "logit_scale": self.uses_attention and self.heads < self.width,
            "norm": bool(blocks) and PLACEMENTS[self.placement].uses_norm,
            "positions": self.is_transformer,
            "patch": self.kind == "vit",
            **dict.fromkeys(("order", "growth"), False),
        }
        return [name for name, is_used in used.items() if not is_used]

    def _unused_by_images(self, blocks: tuple[Block, ...]) -> list[str]:
        """Norm, activation and order are the stem's or the head's too, and the gain that of a densenet's transitions."""
        dense, kept = self.kind == "densenet", any(block.keep for block in blocks)
        growing = [] if dense and kept else ["growth"]
        gaining = [] if kept or (dense and blocks) else ["weight_gain"]
        alike = ["order"] if self.norm == "none" and self.activation == "linear" else []
        never = ("placement", "branch", "ffn_ratio", "heads", "positions", "logit_scale", "query_gain", "patch")
        return [*never, *growing, *gaining, *alike]

    def _unused_by_steps(self, blocks: tuple[Block, ...]) -> list[str]:
        """Without a leak, or without a skip that it takes from, leaky is explicit; without an equation so is implicit."""
        kept = any(block.keep for block in blocks)
        leaks = kept and self.leak > 0
        if self.block == "implicit":
            matters = leaks or any(replace(self, blocks=blocks).solves(number) for number in range(len(blocks)))
        else:
            matters = self.block == "leaky" and leaks and any(block.keep and block.skip > 0 for block in blocks)
        return [*([] if kept else ["step"]), *([] if matters else ["block", "leak"])]

    @cached_property
    def key(self) -> str:
        """Content key: 12 hexadecimal digits of the SHA-256 of the canonical JSON.

        Databases may hold a network under another key, where an earlier version took one of its forms for a network of its
        own (`nasjac.store.former`).
        """
        return hashlib.sha256(self.canonical.to_json().encode()).hexdigest()[:12]

    @property
    def is_gated(self) -> bool:
        """Whether some kept block has a learned factor on its branch."""
        return any(block.keep and block.gate for block in self.blocks)

    @property
    def is_ensemble(self) -> bool:
        """Whether some kept block has its skip with a probability only."""
        return any(block.keep and 0 < block.skip < 1 for block in self.blocks)

    def to_json(self) -> str:
        """JSON of the fields that differ from their defaults, keys sorted: a field added later changes nothing here."""
        return json.dumps(self.content, sort_keys=True, separators=(",", ":"))

    @property
    def content(self) -> dict[str, Any]:
        """What `to_json` writes."""
        return {**_non_default(self, SPEC_FIELDS), "blocks": [block.content for block in self.blocks]}

    @staticmethod
    def from_json(text: str) -> Spec:
        """The Spec that `to_json` wrote. InputError: it is not the JSON of one; an unknown field is named."""
        if not isinstance(text, (str, bytes)):
            raise InputError(f"a Spec's JSON must be a text, got {shown(text)}")
        content = parse_json(text, "spec")
        if not isinstance(content, Mapping) or not isinstance(content.get("blocks"), list) or "width" not in content:
            raise InputError(f"a Spec's JSON must be an object with `width` and a list `blocks`, got {shown(text)}")
        blocks = tuple(Block(**_known(Block, block)) for block in content["blocks"])
        return Spec(**{**_known(Spec, content), "blocks": blocks})


def check_choice(name: str, value: object, choices: Any) -> None:
    """InputError that names the field, the choices and the value, unless `value` is one of `choices`."""
    try:
        known = value in choices
    except (TypeError, ValueError, RuntimeError):  # not hashable, or an array, which is equal to nothing as a whole
        known = False
    if not known:
        raise InputError(f"`{name}` must be one of {', '.join(map(str, choices))}, got {shown(value)}")


def _settle(item: Spec | Block, name: str, value: object) -> None:
    """Set a field of a frozen item to its checked value, which is of Python's own type where NumPy's was given."""
    object.__setattr__(item, name, value)


SPEC_FIELDS, BLOCK_FIELDS = fields(Spec), fields(Block)
#: what a field of a Spec is where nothing is said
DEFAULTS: dict[str, Any] = {entry.name: entry.default for entry in SPEC_FIELDS}


def _non_default(item: Spec | Block, entries: tuple[Field[Any], ...]) -> dict[str, Any]:
    """Fields whose value differs from the default, numbers in one form (1 and 1.0 are the same content, and −0 and 0)."""
    content = {}
    for entry in entries:
        value = getattr(item, entry.name)
        if value != entry.default:  # MISSING equals nothing
            value = float(value) + 0.0 if isinstance(entry.default, float) else value  # −0 is 0
            content[entry.name] = list(value) if isinstance(value, tuple) else value
    return content


def _known(kind: type, content: Any) -> dict[str, Any]:
    names = [entry.name for entry in fields(kind)]
    if not isinstance(content, Mapping):
        raise InputError(f"a {kind.__name__} must be a JSON object of its fields, got {shown(content)}")
    unknown = [name for name in content if name not in names]
    if unknown:
        raise InputError(f"`{unknown[0]}` is not a field of {kind.__name__}; its fields are {', '.join(names)}")
    return dict(content)
