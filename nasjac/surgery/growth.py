"""Deeper networks from trained ones: new residual blocks between those that are there, as a new Spec and state.

How a new block begins:

    zero_last   its last layer (or the gain of a norm after it) is zero: exactly the identity
    skipinit, rezero   a learned factor on its branch, which begins at 0 (De & Smith 2020; Bachlechner et al. 2021): one
                formula under both names, x + α F(x), exactly the identity
    small_gain  freshly drawn, its branch scaled down by `gain`
    copy        the weights of the nearest block of its kind, its branch scaled down by `gain`

The running statistics of a new block's BatchNorm are those of the data in the grown network; those that are there stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasjac.architecture.block import Block
from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.arguments import instance, items, whole
from nasjac.foundation.errors import InputError
from nasjac.kinds.build import build
from nasjac.kinds.table import kind_of

State = Mapping[str, Tensor]

#: how a new block begins, and whether it is the identity then
INITS = {"zero_last": True, "skipinit": True, "rezero": True, "small_gain": False, "copy": False}
#: samples of a batch by which BatchNorms are calibrated
CALIBRATION_BATCH = 256
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


@dataclass(frozen=True)
class Weighted:
    """A network as its Spec and state."""

    spec: Spec
    state: dict[str, Tensor]

    def module(self, inputs: int, outputs: int) -> nn.Module:
        """Return the network as an ordinary module."""
        network = build(self.spec, inputs, outputs)
        network.load_state_dict(self.state)
        return network


@dataclass(frozen=True)
class Grown(Weighted):
    """A grown network, and `new`, the numbers of its new blocks."""

    new: tuple[int, ...]


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


def grow(spec: Spec, state: State, places: Sequence[int], beginning: Beginning, inputs: int, outputs: int) -> Grown:
    """Return the network with a new block at each of `places`, counted as by `spread`; one may come more than once.

    `state` is that of `build(spec, inputs, outputs)`, and is left as it is.

    Raises:
        InputError: A place does not exist, or a copy is asked for where the neighbours change the shape.
    """
    deeper, sources, new = _planned(spec, places, beginning)
    fresh = build(deeper, inputs, outputs, torch.Generator().manual_seed(beginning.seed))
    if beginning.init == "zero_last":
        for number in new:
            kind_of(deeper).surgery.zero_last(deeper, fresh.get_submodule(f"blocks.{number}"))
    return Grown(deeper, dict(_joined(fresh.state_dict(), state, sources, new)), new)


def grown_spec(spec: Spec, places: Sequence[int], beginning: Beginning) -> Spec:
    """Return the Spec that `grow` gives, without any weights."""
    return _planned(spec, places, beginning)[0]


def _planned(spec: Spec, places: Sequence[int], beginning: Beginning) -> tuple[Spec, list[int | None], tuple[int, ...]]:
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


@torch.no_grad()
def calibrated(grown: Grown, data: Tensor, inputs: int, outputs: int) -> Grown:
    """Return it with the running statistics of new BatchNorms taken from `data`; itself where it has none."""
    network = grown.module(inputs, outputs).eval()
    blocks = [network.get_submodule(f"blocks.{number}") for number in grown.new]
    if not (norms := [module for block in blocks for module in block.modules() if isinstance(module, _BatchNorm)]):
        return grown
    settle(network, norms, [batch for batch in torch.split(data, CALIBRATION_BATCH) if len(batch) > 1])
    return replace(grown, state=dict(network.state_dict()))


@torch.no_grad()
def settle(network: nn.Module, norms: Sequence[_BatchNorm], batches: Iterable[Tensor]) -> None:
    """Give BatchNorms of a network the running statistics of batches: their plain mean."""
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for batch in batches:
        network(batch)
    network.eval()


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


def _joined(fresh: State, state: State, sources: Sequence[int | None], new: Sequence[int]) -> Iterator[tuple[str, Tensor]]:
    """The grown network's tensors: old ones, copies, and fresh ones. A new block's norm of the sum is its neighbour's."""
    for name, tensor in fresh.items():
        if not name.startswith("blocks."):
            yield name, state[name].clone()
            continue
        number, _, rest = name.removeprefix("blocks.").partition(".")
        source = sources[int(number)]
        if source is None and rest.startswith("norm_sum"):
            source = next((s for s in reversed(sources[: int(number)]) if s is not None), None)
        gates = int(number) in new and rest in ("skip", "scale")
        old = None if source is None or gates else state.get(f"blocks.{source}.{rest}")
        yield name, (tensor if old is None else old).clone()
