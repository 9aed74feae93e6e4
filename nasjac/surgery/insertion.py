"""Where new residual blocks go between those of a trained network, and how they begin, as a Spec.

How a new block begins:

    zero_last   its last layer (or the gain of a norm after it) is zero: exactly the identity
    skipinit, rezero   a learned factor on its branch, which begins at 0 (De & Smith 2020; Bachlechner et al. 2021): one
                formula under both names, x + α F(x), exactly the identity
    small_gain  freshly drawn, its branch scaled down by `gain`
    copy        the weights of the nearest block of its kind, its branch scaled down by `gain`
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nasjac.architecture.block import Block
from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.arguments import instance, items, whole
from nasjac.foundation.errors import InputError
from nasjac.kinds.table import kind_of

#: how a new block begins, and whether it is the identity then
INITS = {"zero_last": True, "skipinit": True, "rezero": True, "small_gain": False, "copy": False}
#: most new blocks at once
MOST_NEW = 100_000


@dataclass(frozen=True)
class Beginning:
    """How new blocks begin: one of `INITS`; `gain` on the branches of small_gain and copy; `seed` of fresh weights."""

    init: str = "zero_last"
    gain: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("init", self.init, INITS)
        arguments.number("gain", self.gain, 0.0, open_low=True)
        arguments.seed("seed", self.seed)

    @property
    def is_identity(self) -> bool:
        """Whether a new block changes nothing at first."""
        return INITS[self.init]


def check_growable(spec: Spec) -> None:
    """Raise InputError where no block x + F(x) can be put into the network of `spec`."""
    if refusal := kind_of(instance("spec", spec, Spec, "a Spec")).surgery.growth_refusal(spec):
        raise InputError(refusal)


def spread(spec: Spec, count: int, init: str = "zero_last") -> list[int]:
    """Return places for `count` new blocks, spread evenly: place p is after the first p blocks of the canonical Spec.

    Whole layers come together (attention and FFN of a transformer); a single branch is left where they do not pair.
    Copies go where there is something to copy, unless that is nowhere.
    """
    ends, size = insertion_places(spec, init), kind_of(spec).surgery.layer_size
    count = whole("count", count, 0, MOST_NEW)
    layers = math.ceil(count / size)
    chosen = [ends[place] for place in evenly(layers, len(ends))]
    return [place for place in chosen for _ in range(size)][:count]


def evenly(count: int, places: int) -> list[int]:
    """Return `count` of the numbers 0 ... `places` − 1, spread evenly; one may come more than once.

    >>> evenly(2, 4)
    [1, 3]
    """
    return [(2 * n + 1) * places // (2 * count) for n in range(count)]


def insertion_places(spec: Spec, init: str = "zero_last") -> list[int]:
    """Return the places where `spread` puts new blocks: behind each layer of the canonical Spec."""
    rules, old = kind_of(instance("spec", spec, Spec, "a Spec")).surgery, spec.canonical
    check_choice("init", init, INITS)
    blocks = old.blocks
    first = rules.new_op(old, (), 0)  # a layer begins with it
    layered = rules.layer_size > 1
    ends = [p for p in range(1, len(blocks) + 1) if not layered or p == len(blocks) or blocks[p].op == first] or [0]
    if init == "copy":
        ends = [p for p in ends if _alike(old, rules.new_op(old, blocks[:p], p), _stage(blocks[:p]))] or ends
    return ends


def grown_spec(spec: Spec, places: Sequence[int], beginning: Beginning) -> Spec:
    """Return the Spec that `grow` gives, without any weights."""
    return planned(spec, places, beginning)[0]


def planned(spec: Spec, places: Sequence[int], beginning: Beginning) -> tuple[Spec, list[int | None], tuple[int, ...]]:
    """The Spec, of each block the old one that it is or is a copy of, and the numbers of new blocks."""
    check_growable(spec)
    old = spec.canonical
    instance("beginning", beginning, Beginning, "a Beginning")
    places = [whole("after", place) for place in items("after", places, object, "numbers of blocks")]
    if len(places) > MOST_NEW:
        raise InputError(f"`after` must hold at most {MOST_NEW} numbers, got {len(places)}")
    if beyond := [place for place in places if not 0 <= place <= len(old.blocks)]:
        raise InputError(f"`after` must hold numbers of blocks in 0 ... {len(old.blocks)}, got {beyond[0]}")
    order = list(_order(len(old.blocks), sorted(places)))
    blocks: list[Block] = []
    sources: list[int | None] = []
    for place, number in order:
        neighbour = number if number is not None else _neighbour(old, blocks, place, beginning)
        sources.append(neighbour if number is not None or beginning.init == "copy" else None)
        blocks.append(old.blocks[number] if number is not None else _new_block(old, blocks, place, neighbour, beginning))
    new = tuple(n for n, (_, number) in enumerate(order) if number is None)
    return replace(old, blocks=tuple(blocks)), sources, new


def _order(depth: int, places: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """(place, number of the old block, or None of a new one), input side first."""
    for place in range(depth + 1):
        yield from ((place, None) for _ in range(places.count(place)))
        if place < depth:
            yield place, place


def _stage(before: Sequence[Block]) -> int:
    return before[-1].stage if before else 0


def _alike(old: Spec, op: str, stage: int) -> list[int]:
    """The old blocks of an op and stage that keep their shape."""
    alike = [n for n, block in enumerate(old.blocks) if block.keep and (block.op, block.stage) == (op, stage)]
    return [n for n in alike if not old.changes_shape(n)]


def _neighbour(old: Spec, before: Sequence[Block], place: int, beginning: Beginning) -> int | None:
    """The nearest old block like the new one, of equally near ones the one before."""
    op = kind_of(old).surgery.new_op(old, before, place)
    fit = _alike(old, op, _stage(before))
    if not fit and beginning.init == "copy":
        rule = f"where a block {op} that keeps the shape is beside the new one, to be copied"
        raise InputError(f"`after` must be a place {rule}, got {place}, where the shape changes or there is none")
    return min(fit, key=lambda number: (abs(number + 0.5 - place), number), default=None)


def _new_block(old: Spec, before: Sequence[Block], place: int, neighbour: int | None, beginning: Beginning) -> Block:
    scale = 1.0 if neighbour is None else old.blocks[neighbour].scale
    learned = beginning.init in ("skipinit", "rezero")
    if beginning.init == "copy" and neighbour is not None:
        learned = old.blocks[neighbour].gate
    return Block(
        op=kind_of(old).surgery.new_op(old, before, place),
        stage=_stage(before),
        scale=scale if beginning.is_identity else scale * beginning.gain,
        gate=learned,
    )
