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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasjac.architecture.block import Block
from nasjac.architecture.fields import check_choice
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.arguments import instance, items, whole
from nasjac.foundation.errors import InputError
from nasjac.kinds.build import build

State = Mapping[str, Tensor]

#: how a new block begins, and whether it is the identity then
INITS = {"zero_last": True, "skipinit": True, "rezero": True, "small_gain": False, "copy": False}
#: residual branches of a layer
LAYER = {"transformer_lm": 2, "vit": 2}
CONVOLVES = ("resnet", "densenet")
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
class Grown:
    """A grown network; `new` are the numbers of its new blocks."""

    spec: Spec
    state: dict[str, Tensor]
    new: tuple[int, ...]

    def module(self, inputs: int, outputs: int) -> nn.Module:
        """As an ordinary module."""
        network = build(self.spec, inputs, outputs)
        network.load_state_dict(self.state)
        return network


def check_growable(spec: Spec) -> None:
    """ValueError where a block that keeps the shape cannot be put in: the blocks of a DenseNet change it."""
    if instance("spec", spec, Spec, "a Spec").kind == "densenet":
        raise InputError(
            "`checkpoint` must be of residual blocks x + F(x), which keep the shape, to grow; a densenet's blocks change it"
        )
    if getattr(spec.canonical, "block", "explicit") != "explicit":
        raise InputError(f"`checkpoint` must be of explicit blocks x + F(x) to grow, got {spec.block} ones")


def identity_fault(spec: Spec) -> str | None:
    """Why no new block of this kind of network is the identity, whatever its branch is; None where one may be."""
    if spec.kind not in CONVOLVES and PLACEMENTS[spec.placement].on_sum:
        return f"`placement` {spec.placement} ends a block with a norm of the sum"
    if spec.kind == "resnet" and spec.order == "post" and spec.activation not in ("relu", "linear"):
        return f"`order` post ends a block with the activation {spec.activation}, which changes what it is given"
    return None


def spread(spec: Spec, count: int, init: str = "zero_last") -> list[int]:
    """Places for `count` new blocks, spread evenly: place p is after the first p blocks of the canonical spec.

    In a transformer they come by layers of attention and FFN, between layers; a single one is left where they do not pair.
    Copies go where there is something to copy, unless that is nowhere.
    """
    ends, size = insertion_places(spec, init), LAYER.get(spec.kind, 1)
    count = whole("count", count, 0, MOST_NEW)
    layers = math.ceil(count / size)
    chosen = [ends[(2 * n + 1) * len(ends) // (2 * layers)] for n in range(layers)]
    return [place for place in chosen for _ in range(size)][:count]


def insertion_places(spec: Spec, init: str = "zero_last") -> list[int]:
    """Where `spread` puts new blocks: behind each block, in a transformer behind each layer."""
    blocks, size = instance("spec", spec, Spec, "a Spec").canonical.blocks, LAYER.get(spec.kind, 1)
    check_choice("init", init, INITS)
    ends = [p for p in range(1, len(blocks) + 1) if size == 1 or p == len(blocks) or blocks[p].op == "attention"] or [0]
    if init == "copy":
        ends = [
            p for p in ends if _alike(spec.canonical, _new_op(spec.canonical, blocks[:p], p), _stage(blocks[:p]))
        ] or ends
    return ends


def grow(spec: Spec, state: State, places: Sequence[int], beginning: Beginning, inputs: int, outputs: int) -> Grown:
    """The network with a new block at each of `places` (as `spread` counts them; one may come more than once).

    `state` is that of `build(spec, inputs, outputs)`, and stays as it is. ValueError: a place that is not there, or one
    whose neighbours change the shape where a copy is asked for.
    """
    deeper, sources, new = _planned(spec, places, beginning)
    fresh = build(deeper, inputs, outputs, torch.Generator().manual_seed(beginning.seed))
    if beginning.init == "zero_last":
        for number in new:
            _zero_last(deeper, fresh.get_submodule(f"blocks.{number}"))
    return Grown(deeper, dict(_joined(deeper, fresh.state_dict(), state, sources, new)), new)


def grown_spec(spec: Spec, places: Sequence[int], beginning: Beginning) -> tuple[Spec, tuple[int, ...]]:
    """The Spec that `grow` gives, and the numbers of its new blocks, without any weights."""
    deeper, _, new = _planned(spec, places, beginning)
    return deeper, new


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
def calibrated(grown: Grown, data: Tensor) -> Grown:
    """With the running statistics of new BatchNorms taken from `data`; the grown network itself where it has none."""
    if grown.spec.batch == 1:
        return grown
    network = grown.module(data[0].numel(), 1 if "readout.bias" not in grown.state else len(grown.state["readout.bias"]))
    network.eval()
    for number in grown.new:
        for module in network.get_submodule(f"blocks.{number}").modules():
            if isinstance(module, _BatchNorm):
                module.reset_running_stats()
                module.momentum = None  # a plain mean over batches
                module.train()
    for batch in torch.split(data, CALIBRATION_BATCH):
        if len(batch) > 1:
            network(batch)
    return replace(grown, state=dict(network.state_dict()))


def _order(depth: int, places: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """(place, number of the old block, or None of a new one), input side first."""
    for place in range(depth + 1):
        yield from ((place, None) for _ in range(places.count(place)))
        if place < depth:
            yield place, place


def _new_op(old: Spec, before: Sequence[Block], place: int) -> str:
    """In a transformer attention and FFN take turns; elsewhere it is that of the block before, or else after."""
    if old.kind in LAYER:
        return "ffn" if before and before[-1].op == "attention" else "attention"
    near = before[-1] if before else next(iter(old.blocks[place:]), Block(op="ffn"))
    return near.op if old.blocks else {"resnet": "basic"}.get(old.kind, "ffn")


def _stage(before: Sequence[Block]) -> int:
    return before[-1].stage if before else 0


def _alike(old: Spec, op: str, stage: int) -> list[int]:
    """The old blocks of an op and stage that keep their shape."""
    changing = {n for n in range(len(old.blocks)) if old.changes_shape(n)}
    there = enumerate(old.blocks)
    return [n for n, block in there if block.keep and n not in changing and (block.op, block.stage) == (op, stage)]


def _neighbour(old: Spec, before: Sequence[Block], place: int, beginning: Beginning) -> int | None:
    """The nearest old block like the new one, of equally near ones the one before."""
    op = _new_op(old, before, place)
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
        op=_new_op(old, before, place),
        stage=_stage(before),
        scale=scale if beginning.is_identity else scale * beginning.gain,
        gate=learned,
    )


@torch.no_grad()
def _zero_last(spec: Spec, block: nn.Module) -> None:
    if spec.kind in CONVOLVES:
        normed = spec.order == "post" and spec.norm != "none"
        branch = block.get_submodule("branch")
        last = branch.get_submodule("norms" if normed else "convs")[-1]  # type: ignore[index]
    elif PLACEMENTS[spec.placement].on_branch:
        last = block.get_submodule("norm_branch")  # a zero vector under a norm would have a slope of 1/√ε
    else:
        last = block.get_submodule("outer" if spec.kind == "residual_mlp" else "branch.outer")
    for parameter in last.parameters():
        parameter.zero_()


def _joined(
    spec: Spec, fresh: State, state: State, sources: Sequence[int | None], new: Sequence[int]
) -> Iterator[tuple[str, Tensor]]:
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
