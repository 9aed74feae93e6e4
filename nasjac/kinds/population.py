"""Jacobian samples of many residual networks at once, whatever their depth, placement, norm, activation, skips and pruning.

Weights, inputs and probes are shared by all, so one matrix product a layer serves every architecture of one kind and width.
Those are dealt out to tiles by depth; within a tile the deepest come first and finished rows leave. The rows of every
product are a multiple of four architectures' vectors, and products of so many rows round alike, so an architecture's values
do not depend on its company (`tests/kinds/test_population.py`, `tests/kinds/test_transformer.py`: bit for bit).

Which architectures can share a tile is said by their kind's sampler (`nasjac.kinds.sampler`); those that share the random
numbers and nothing else are sampled alone.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.foundation.memory import free, is_out_of_memory
from nasjac.foundation.workers import workers
from nasjac.kinds.table import kind_of
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import INDEPENDENT, Plan, Samples

#: most rows of a tile
MAX_ROWS = {"cpu": 32, "cuda": 4096}


@dataclass
class Tally:
    """Counts of the work: tiles by their number of architectures, and how often a tile was halved for want of memory."""

    tiles: Counter[int] = field(default_factory=Counter)
    halvings: int = 0

    @property
    def mean_rows(self) -> float | None:
        """The mean over architectures of how many shared its tile, itself included; None without tiles."""
        count = sum(rows * tiles for rows, tiles in self.tiles.items())
        return sum(rows**2 * tiles for rows, tiles in self.tiles.items()) / count if count else None


def sample(
    specs: Sequence[Spec], inputs: Tensor, draws: Draws, plan: Plan = INDEPENDENT, products: str | None = None
) -> list[Samples]:
    """Return the samples of each Spec, in order.

    Args:
        specs: Concrete, canonical architectures.
        inputs: [n, features] standardized data, or [n, T] token ids.
        draws: The draws of weights, inputs and probes.
        plan: The vectors that each draw carries.
        products: The precision of the matrix products, as in `sampled`.

    Raises:
        MemoryError: There is no memory for one of the architectures, even alone.
    """
    found = dict(sampled(specs, inputs, draws, plan, products))
    whole = [samples for position in range(len(specs)) if (samples := found[position]) is not None]
    if len(whole) < len(specs):
        raise MemoryError("there is no memory for one of the architectures, even alone")
    return whole


def sampled(
    specs: Sequence[Spec],
    inputs: Tensor,
    draws: Draws,
    plan: Plan = INDEPENDENT,
    products: str | None = None,
    max_memory: float | None = None,
    tally: Tally | None = None,
) -> Iterator[tuple[int, Samples | None]]:
    """Yield (position, samples) of each Spec, tile by tile; samples are None where there is no memory for it, even alone.

    Args:
        specs: Concrete, canonical architectures.
        inputs: [n, features] standardized data, or [n, T] token ids.
        draws: The draws of weights, inputs and probes.
        plan: The vectors that each draw carries.
        products: The precision of the matrix products: None or float32 is that of the draws; tf32 on GPUs alone; bf16 not
            for convolutions; neither tf32 nor bf16 for implicit blocks.
        max_memory: Bytes that all tiles in work may take together, by default half of what is free. A tile that runs out
            of memory nevertheless is halved.
        tally: Counts the tiles.

    Raises:
        InputError: The inputs have another shape, or are fewer than the plan takes for a draw.
    """
    _check(specs, inputs, plan, products)
    tally = tally or Tally()
    vocabulary = None if inputs.is_floating_point() else int(inputs.max()) + 1
    chosen = {size: draws.samples(inputs, plan.inputs * size) for size in {spec.batch for spec in specs}}

    def run(tile: list[int]) -> list[tuple[int, Samples | None]]:
        rows = [specs[position] for position in tile]
        sampler = kind_of(rows[0]).sampling
        # the largest weights of a block, as drawn and as one tensor; the system might promise what it ends the process for
        weights = 2 * 4 * len(draws.draws) * sampler.largest_layer(rows[0]) * bool(rows[0].blocks)
        if weights > free(draws.device):
            return [(position, None) for position in tile]
        try:
            found = sampler.sample(rows, chosen[rows[0].batch], draws, plan, products, vocabulary)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            tally.tiles[len(tile)] += 1
            return list(zip(tile, found, strict=True))
        if len(tile) == 1:
            return [(tile[0], None)]
        tally.halvings += 1
        half = len(tile) // 2
        return run(tile[:half]) + run(tile[half:])

    cut = list(tiles(specs, draws, plan, max_memory))
    with workers(draws.device) as pool, _precision(products):
        yield from itertools.chain.from_iterable(pool.map(run, cut))


def _check(specs: Sequence[Spec], inputs: Tensor, plan: Plan, products: str | None) -> None:
    most = plan.inputs * max((spec.batch for spec in specs), default=1)
    if inputs.ndim != 2 or len(inputs) < most:
        raise InputError(f"`inputs` must be [n, features] with n at least {most}, got shape {[*inputs.shape]}")
    for spec in specs:
        spec.inputs.check_batch(spec.kind, not inputs.is_floating_point(), inputs.shape[1], str(inputs.dtype))
    if not inputs.is_floating_point() and int(inputs.min()) < 0:
        raise InputError(f"`inputs` must be ids from 0 on, got {int(inputs.min())}")
    for _, group in groupby(sorted(specs, key=lambda spec: spec.kind), key=lambda spec: spec.kind):
        of_kind = list(group)
        kind_of(of_kind[0]).sampling.check(of_kind, products)


def tiles(specs: Sequence[Spec], draws: Draws, plan: Plan, max_memory: float | None = None) -> Iterator[list[int]]:
    """Yield the positions of the Specs of each tile, dealt out by depth so that tiles cost alike.

    The Specs of a tile are of one kind, and their sampler gives the same `common` for all of them.
    """
    memory = free(draws.device) / 2 if max_memory is None else max_memory
    workers = torch.get_num_threads() if draws.device.type == "cpu" else 1
    groups = defaultdict[tuple[str, tuple[object, ...] | None], list[int]](list)
    for position in sorted(range(len(specs)), key=lambda position: -len(specs[position].blocks)):
        groups[specs[position].kind, kind_of(specs[position]).sampling.common(specs[position])].append(position)
    for (_, common), order in sorted(groups.items(), key=lambda group: repr(group[0]), reverse=True):
        if common is None:
            yield from ([position] for position in order)
            continue
        sampler, first = kind_of(specs[order[0]]).sampling, specs[order[0]]
        taken = sampler.row_bytes([specs[position] for position in order], draws, plan)
        fitting = int(memory / workers / taken)
        most = max(1, min(MAX_ROWS[draws.device.type], fitting, sampler.most_rows(first, draws)))
        count = math.ceil(len(order) / most / workers) * workers
        yield from (tile for start in range(count) if (tile := order[start::count]))


@contextmanager
def _precision(products: str | None) -> Iterator[None]:
    """Round a GPU's float32 products and convolutions to TF32 within the block where `products` is tf32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = products == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
