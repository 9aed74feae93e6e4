"""Jacobian samples of many residual networks at once, whatever their depth, placement, norm, activation, skips and pruning.

Weights, inputs and probes are shared by all, so one matrix product a layer serves every architecture of one kind and width.
Those are dealt out to tiles by depth; within a tile the deepest come first and finished rows leave. The rows of every
product are a multiple of four architectures' vectors, and products of so many rows round alike, so an architecture's values
do not depend on its company (`tests/test_population.py`, `tests/test_transformer.py`: bit for bit).

Of resnets those are evaluated together that have a style in common (`nasjac.kinds.resnet.tile`). Densenets, and networks
of implicit blocks, share the random numbers and nothing else: each is sampled alone.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.foundation.memory import free, is_out_of_memory
from nasjac.foundation.workers import workers
from nasjac.kinds.autograd import module_samples
from nasjac.kinds.resnet.sampling import most_rows, resnet_samples, row_bytes
from nasjac.kinds.resnet.tile import style
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import INDEPENDENT, Plan, Samples, joined
from nasjac.kinds.tiles.tile import Tile

#: most rows of a tile, and rows times draws times tokens: on a CPU its vectors should stay in the cache
MAX_ROWS = {"cpu": 32, "cuda": 4096}
MAX_NETWORKS = {"cpu": 512, "cuda": 65536}


@dataclass
class Tally:
    """How the work was cut: tiles by their number of architectures, and how often one was halved for want of memory."""

    tiles: Counter[int] = field(default_factory=Counter)
    halvings: int = 0

    @property
    def mean_rows(self) -> float | None:
        """Mean number of architectures that an architecture shared its products with, itself included."""
        count = sum(rows * tiles for rows, tiles in self.tiles.items())
        return sum(rows**2 * tiles for rows, tiles in self.tiles.items()) / count if count else None


def sample(
    specs: Sequence[Spec], inputs: Tensor, draws: Draws, plan: Plan = INDEPENDENT, products: str | None = None
) -> list[Samples]:
    """The samples of each spec, in order; `inputs` [n, features] are standardized data, or [n, T] token ids.

    Specs must be concrete and canonical. MemoryError: one of them alone is too large.
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
    """(position, samples) of each spec, tile by tile; None where even one architecture alone is out of memory.

    ValueError: the inputs' shape, or fewer inputs than the plan takes for a draw.

    `products`    float32 (as in the draws' dtype), tf32 (GPUs alone) or bf16: the precision of the matrix products; of
                  convolutions not bf16, of implicit blocks neither
    `max_memory`  bytes that the tiles in work may take together, half of what is free unless given; a tile that is out of
                  memory nevertheless is halved
    `tally`       is told how the work was cut
    """
    _check(specs, inputs, plan, products)
    tally = tally or Tally()
    vocabulary = None if inputs.is_floating_point() else int(inputs.max()) + 1
    narrow = torch.bfloat16 if products == "bf16" else None
    chosen = {size: draws.samples(inputs, plan.inputs * size) for size in {spec.batch for spec in specs}}

    def run(tile: list[int]) -> list[tuple[int, Samples | None]]:
        rows = [specs[position] for position in tile]
        if _weight_bytes(rows[0], draws) > free(draws.device):  # the system might promise it, and end the process later
            return [(position, None) for position in tile]
        samples = chosen[rows[0].batch]
        try:
            if rows[0].stands_alone:
                runs = [[module_samples(rows[0], inputs, draws, plan)]]
            elif rows[0].kind == "resnet":
                runs = [resnet_samples(rows, samples, draws, plan)]
            else:
                most = max(1, MAX_NETWORKS[draws.device.type] // (len(tile) * rows[0].context))
                parts = [range(len(draws.draws))[first : first + most] for first in range(0, len(draws.draws), most)]
                runs = [Tile(rows, draws.part(part), plan, narrow, vocabulary).run(samples[part]) for part in parts]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            tally.tiles[len(tile)] += 1
            return list(zip(tile, map(joined, zip(*runs, strict=True)), strict=True))
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
    other = next((spec for spec in specs if spec.takes_tokens == inputs.is_floating_point()), None)
    if other is not None:
        wanted = "token ids (whole numbers) [n, T]" if other.takes_tokens else "real features [n, features]"
        raise InputError(f"`inputs` must be {wanted} for a {other.kind}, got {inputs.dtype}")
    short = next((spec for spec in specs if spec.takes_tokens and spec.context != inputs.shape[1]), None)
    if short is not None:
        raise InputError(f"`context` must be that of the inputs, {inputs.shape[1]} tokens, got {short.context}")
    other = next((spec for spec in specs if spec.takes_images and math.prod(spec.shape) != inputs.shape[1]), None)
    if other is not None:
        rule = f"the numbers of an image of `shape` {other.shape}, {math.prod(other.shape)}, [n, features]"
        raise InputError(f"`inputs` must be {rule}, got {inputs.shape[1]} features")
    if not inputs.is_floating_point() and int(inputs.min()) < 0:
        raise InputError(f"`inputs` must be ids from 0 on, got {int(inputs.min())}")
    if products == "bf16" and any(spec.convolves for spec in specs):
        raise InputError("`products` (`score.dtype`) must not be bf16 for convolutional networks, got 'bf16'")
    if products in ("bf16", "tf32") and any(spec.block == "implicit" for spec in specs):
        rule = "float32 or float64 for implicit blocks, whose equations are solved to more digits"
        raise InputError(f"`products` (`score.dtype`) must be {rule}, got {products!r}")


def tiles(specs: Sequence[Spec], draws: Draws, plan: Plan, max_memory: float | None = None) -> Iterator[list[int]]:
    """Positions of the specs that are evaluated together: of one kind and width, dealt out so that tiles cost alike.

    Of resnets they have one style; densenets, and networks of implicit blocks, are evaluated alone.
    """
    memory = free(draws.device) / 2 if max_memory is None else max_memory
    workers = torch.get_num_threads() if draws.device.type == "cpu" else 1
    for common in sorted(set(map(_common, specs)), reverse=True):
        order = [position for position, spec in enumerate(specs) if _common(spec) == common]
        order.sort(key=lambda position: -len(specs[position].blocks))
        if specs[order[0]].stands_alone:
            yield from ([position] for position in order)
            continue
        first, device = specs[order[0]], draws.device.type
        whole = most_rows(first, draws) if first.convolves else MAX_NETWORKS[device] // first.context
        taken = (row_bytes if first.convolves else _bytes)([specs[position] for position in order], draws, plan)
        most = max(1, min(MAX_ROWS[device], int(memory / workers / taken), whole))
        count = math.ceil(len(order) / most / workers) * workers
        yield from (tile for first in range(count) if (tile := order[first::count]))


def _common(spec: Spec) -> tuple[Any, ...]:
    """What architectures of a tile share."""
    alike = style(spec) if spec.convolves else (spec.width, spec.context, spec.shape, spec.patch)
    return spec.kind, spec.stands_alone, *alike


def _bytes(specs: Sequence[Spec], draws: Draws, plan: Plan) -> int:
    """What a row takes at most: the vectors in work; for the way back each block's unit vectors, slopes and attention."""
    width, depth, tokens = specs[0].width, len(specs[0].blocks), specs[0].context
    hidden, heads = max(spec.ffn_ratio for spec in specs), max(spec.heads * spec.uses_attention for spec in specs)
    vectors = max(1 + plan.tangents, plan.cotangents + plan.tangents * plan.round_trips)
    attention = heads * tokens / width
    kept = depth * (3 + hidden + 3 * bool(heads) + attention) if plan.goes_back else 0
    together = min(len(draws.draws), max(1, MAX_NETWORKS[draws.device.type] // tokens))
    whole = together * plan.inputs * tokens * width * draws.dtype.itemsize
    return int(whole * ((7 + hidden + attention) * vectors + kept))


def _weight_bytes(spec: Spec, draws: Draws) -> int:
    """What the largest weights of a block take, as drawn and as one tensor; architectures of a tile share them."""
    widest = spec.width * (2 ** max((block.stage for block in spec.blocks), default=0) if spec.convolves else 1)
    taps = 9 if spec.convolves else spec.ffn_ratio
    return 2 * 4 * len(draws.draws) * widest**2 * taps if spec.blocks else 0


@contextmanager
def _precision(products: str | None) -> Iterator[None]:
    """Within the block a GPU's float32 products and convolutions are rounded to TF32, if that is asked for."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = products == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
