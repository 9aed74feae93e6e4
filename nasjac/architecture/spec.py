"""What an architecture is: a resolved, concrete, hashable description. Each kind of network has a dataclass of its own.

A Spec knows its fields, its JSON, its canonical form and its key. What can be done with it (a module, its size, samples of
its Jacobian, growing it) is its kind's (`nasjac.kinds`).
"""

from __future__ import annotations

import hashlib
import json
import sys
from abc import ABC
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from functools import cache, cached_property
from importlib import import_module
from itertools import groupby
from typing import Any, ClassVar, Self

from nasjac.architecture.block import Block
from nasjac.architecture.fields import check_choice, check_fields, non_default, settle
from nasjac.architecture.inputs import Inputs
from nasjac.foundation.arguments import shown, whole
from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import parse_json

#: blocks of a network, and any other size, such as a width: far beyond what is trained, and of numbers whose squares and
#: sums are exact as floats
MOST_BLOCKS, MOST_SIZE = 2**16, 2**20
#: a gain on weights, whose powers in closed forms must be floats
MOST_GAIN = 1e15

#: the stored name of each kind -> the public name of its Spec and where that is
KINDS: dict[str, tuple[str, str]] = {
    "residual_mlp": ("ResidualMLP", "nasjac.kinds.residual_mlp.spec"),
    "transformer_lm": ("Decoder", "nasjac.kinds.transformer.spec"),
    "vit": ("VisionTransformer", "nasjac.kinds.transformer.spec"),
    "resnet": ("ResNet", "nasjac.kinds.resnet.spec"),
    "densenet": ("DenseNet", "nasjac.kinds.densenet.spec"),
}
#: the kind of JSON that names none
FIRST_KIND = "residual_mlp"
UNSAID: dict[str, dict[str, str]] = {FIRST_KIND: {}}


@dataclass(frozen=True)
class Spec(ABC):
    """An architecture: its blocks, and what they have in common. The base of every kind's dataclass.

    `Spec.of(kind="resnet", ...)` makes one by the stored name of its kind, `Spec.from_json` reads one.

    Args:
        width: Units of the residual stream; of convolutional networks, channels after the stem.
        blocks: The residual blocks, input side first.

    Raises:
        InputError: names the field, its rule and the value.
    """

    #: the stored name; of a kind outside the package `package.module:KIND`
    kind: ClassVar[str]
    #: what its blocks may be; the first one stands for the op of a pruned block
    ops: ClassVar[tuple[str, ...]]

    width: int
    blocks: tuple[Block, ...]

    def __new__(cls, *_: object, **given: object) -> Self:
        if cls is Spec:
            name = KINDS.get(str(given.get("kind", FIRST_KIND)), ("its kind's own class",))[0]
            raise InputError(f"a Spec must be made as nasjac.{name}(...), or by Spec.of(kind=...), got Spec(...)")
        if not given.keys() <= _names(cls):
            check_fields(cls, given)  # says which there are
        return super().__new__(cls)

    def __post_init__(self) -> None:
        settle(self, "width", whole("width", self.width, low=2, high=MOST_SIZE))
        settle(self, "blocks", sequence("blocks", self.blocks, "blocks"))
        if strangers := [block for block in self.blocks if not isinstance(block, Block)]:
            raise InputError(f"`blocks` must be a sequence of Block, got {shown(strangers[0])} in it")
        if len(self.blocks) > MOST_BLOCKS:
            raise InputError(f"`blocks` must be at most {MOST_BLOCKS}, got {len(self.blocks)}")
        if others := {block.op for block in self.blocks} - set(self.ops):
            raise InputError(f"`op` must be one of {', '.join(self.ops)} in a {self.kind}, got {min(others)!r}")

    @staticmethod
    def of(kind: str = FIRST_KIND, **fields: Any) -> Spec:
        """Make the Spec of a kind by its stored name.

        Args:
            kind: One of `KINDS`, or `package.module:KIND` of a module that is imported already.
            fields: The fields of that kind's dataclass.

        Returns:
            An object of that dataclass.

        Raises:
            InputError: an unknown kind, a field that the kind lacks, or a value that breaks its rule.

        >>> Spec.of(kind="transformer_lm", width=8, blocks=(), context=4)
        Decoder(width=8, context=4, blocks=())
        """
        return _made(spec_class(kind), fields)

    @property
    def inputs(self) -> Inputs:
        """What one sample is: any number of features unless the kind says otherwise."""
        return Inputs()

    @property
    def tokens(self) -> int:
        """Tokens of a layer; 1 where layers are not sequences."""
        return 1

    @property
    def start_units(self) -> int:
        """Units of h_0, those of all tokens together."""
        return self.width * self.tokens

    @property
    def units(self) -> int:
        """Units of h_L, those of all tokens together or of all images of a `batch`: N of energies and r/N."""
        return self.start_units

    @property
    def batch(self) -> int:
        """Inputs whose Jacobian is that of all of them together: BatchNorm makes the images of a batch one input."""
        return 1

    @property
    def least_weights(self) -> int:
        """A lower bound of the weights of the blocks, told without building any: for sizes that no memory has."""
        return 0

    @property
    def gates(self) -> tuple[float, float]:
        """Factors of skip and branch beside the blocks' own."""
        return 1.0, 1.0

    def solves(self, number: int) -> bool:
        """Whether a block is the solution of an equation.

        Args:
            number: Of the block in `blocks`, from 0.

        Returns:
            True where its output is found by iteration.
        """
        return False

    def changes_shape(self, number: int) -> bool:
        """Whether a block's output has another shape than its input.

        Args:
            number: Of the block in `blocks`, from 0.

        Returns:
            True where it cannot be left out, also when it is pruned.
        """
        return False

    @cached_property
    def canonical(self) -> Self:
        """The one form of the same network: without pruned blocks and choices that no block uses.

        Specs are one network exactly if their canonical forms are equal. A pruned block that changes the shape stays, as
        what changes it. Forms are one where they compute the same numbers, bit for bit, from the same weights. What is
        equal on paper alone stays apart: gains that stand for each other, as weight and branch scale about relu, or gains
        behind a norm, which are but an ε.
        """
        return self._without_unused()

    def _without_unused(self) -> Self:
        blocks = tuple(
            block if block.keep else Block(keep=False, op=self.ops[0], stage=block.stage)
            for number, block in enumerate(self.blocks)
            if block.keep or self.changes_shape(number)
        )
        defaults: dict[str, Any] = {entry.name: entry.default for entry in _entries(type(self))}
        unused = {name: defaults[name] for name in self._unused(blocks) if getattr(self, name) != defaults[name]}
        return replace(self, blocks=blocks, **unused) if unused or blocks != self.blocks else self

    def _unused(self, blocks: tuple[Block, ...]) -> list[str]:
        """Names of the fields that no number depends on, given the blocks that last."""
        return []

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
        """Write the fields that differ from their defaults: a field added later changes nothing here.

        Returns:
            JSON without spaces, keys sorted.
        """
        return json.dumps(self.content, sort_keys=True, separators=(",", ":"))

    @property
    def content(self) -> dict[str, Any]:
        """What `to_json` writes."""
        kind = UNSAID.get(self.kind, {"kind": self.kind})
        return {**kind, **non_default(self, _entries(type(self))), "blocks": [block.content for block in self.blocks]}

    @staticmethod
    def from_json(text: str | bytes, trust: bool = False) -> Spec:
        """The Spec that `to_json` wrote.

        Args:
            text: JSON of any version. Fields that other kinds have, and that this one never read, are passed over.
            trust: Import the module of a kind that is not nasjac's own, which runs it.

        Returns:
            An architecture of the kind that the JSON names.

        Raises:
            InputError: it is not the JSON of a Spec; an unknown field or kind is named.
        """
        if not isinstance(text, (str, bytes)):
            raise InputError(f"a Spec's JSON must be a text, got {shown(text)}")
        content = parse_json(text, "spec")
        if not isinstance(content, Mapping) or not isinstance(content.get("blocks"), list) or "width" not in content:
            raise InputError(f"a Spec's JSON must be an object with `width` and a list `blocks`, got {shown(text)}")
        of = spec_class(content.get("kind", FIRST_KIND), trust)
        blocks = tuple(_block(block) for block in content["blocks"])
        own = {entry.name for entry in _entries(of)}
        passed = {"kind"} | (_never_read() - own)
        return _made(of, {name: value for name, value in content.items() if name not in passed} | {"blocks": blocks})

    def __repr__(self) -> str:
        """The kind's name and what differs from the defaults, runs of equal blocks counted."""
        said = {name: value for name, value in non_default(self, _entries(type(self))).items() if name != "blocks"}
        runs = [(block, len(list(group))) for block, group in groupby(self.blocks)]
        parts = [f"({block!r},)" + (f" * {count}" if count > 1 else "") for block, count in map(_short, runs)]
        fields = "".join(f"{name}={value!r}, " for name, value in said.items())
        name = KINDS.get(self.kind, (type(self).__name__,))[0]
        return f"{name}({fields}blocks={' + '.join(parts) or '()'})"


class _Shown:
    """A block that prints the fields which differ from their defaults."""

    def __init__(self, block: Block) -> None:
        self._text = ", ".join(f"{name}={value!r}" for name, value in block.content.items())

    def __repr__(self) -> str:
        return f"Block({self._text})"


def _short(run: tuple[Block, int]) -> tuple[_Shown, int]:
    return _Shown(run[0]), run[1]


def sequence(name: str, value: object, what: str) -> tuple[Any, ...]:
    """Return a field as a tuple, whatever sequence it was given as. InputError: it is none."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InputError(f"`{name}` must be a sequence of {what}, got {shown(value)}")
    return tuple(value)


def spec_class(kind: object, trust: bool = False) -> type[Spec]:
    """Return the dataclass of a kind by its stored name; with `trust` a module that is not imported yet is.

    Raises:
        InputError: there is no such kind, or its module is not imported and not trusted.
    """
    if isinstance(kind, str) and ":" in kind:
        return _own_class(kind, trust)
    check_choice("kind", kind, KINDS)
    name, module = KINDS[str(kind)]
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


@cache
def _entries(of: type[Spec]) -> tuple[Field[Any], ...]:
    return fields(of)


@cache
def _names(of: type[Spec]) -> frozenset[str]:
    return frozenset(entry.name for entry in _entries(of))


def _own_class(kind: str, trust: bool) -> type[Spec]:
    """The dataclass of a kind outside the package, `package.module:KIND`."""
    module, _, name = kind.partition(":")
    if module not in sys.modules and not trust:
        rule = f"one of {', '.join(KINDS)}, or of a module that is imported already, for importing one runs it"
        raise InputError(f"`kind` must be {rule}, got {shown(kind)}")
    try:
        of = getattr(import_module(module), name).spec
    except (ImportError, AttributeError) as error:
        raise InputError(f"`kind` must name a Kind as package.module:KIND, got {shown(kind)}: {error}") from error
    if not (isinstance(of, type) and issubclass(of, Spec)):
        raise InputError(f"`kind` must name a Kind whose `spec` derives from Spec, got {shown(kind)}")
    return of


@cache
def _never_read() -> frozenset[str]:
    """Fields that JSON of nasjac's own kinds may have although their kind reads them not.

    Until version 0.2.0 one class had the fields of all kinds. Those that decided what the kind was had to fit and still do.
    Later fields were never in other kinds' JSON.
    """
    every = (entry.name for kind in KINDS for entry in fields(spec_class(kind)))
    later = {"ffn", "ffn_hidden", "kv_heads", "qk_norm"}
    return frozenset(every) - {"block", "step", "branch", "context", "shape"} - later


def _made(of: type[Spec], given: Mapping[str, Any]) -> Spec:
    check_fields(of, given)
    required = [entry.name for entry in _entries(of) if entry.default is MISSING]
    if missing := [name for name in required if name not in given]:
        raise InputError(f"`{missing[0]}` must be said of a {of.kind}, got {', '.join(given) or 'nothing'}")
    return of(**given)


def _block(content: Any) -> Block:
    check_fields(Block, content)
    return Block(**content)
