"""Jacobian samples of one tile of residual networks of images, which may differ in depth, skips and pruning.

Blocks are counted stage by stage, from 0 in each; those of one number share their weights, and rows without such a block
wait. Layers differ in size: energies are per unit of the later layer, forward of h_l, backward of h_L, which is ‖J‖_F² / N
of the numerator.

BatchNorm uses the statistics of the batch, as in training. The images of a batch are then one input: J is the Jacobian of
the batch of `nasjac.kinds.convolutional.spec.BATCH` images, and N counts the units of all of them. Therefore `sd_log` is
the spread between batches, not between images; the correlation of outputs is between the images of a batch.

Letters: D draws, R rows (architectures), r those that have a block, I inputs of a draw, V vectors of an input (its stream
and P tangents, or cotangents), B images of an input, C channels, H rows and W columns of pixels, K places of blocks.
Vectors are [R, I, V, B, D, C, H, W].
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nasjac.architecture.block import Block
from nasjac.kinds.chains import Layer, Pulled, chain
from nasjac.kinds.images import Conv, Extent, Step
from nasjac.kinds.resnet.layers import OWN, activation, convolution, norm
from nasjac.kinds.resnet.spec import ResNet
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import Array, Plan, Samples
from nasjac.sampling.vectors import cosines, output_decorrelation


def style(spec: ResNet) -> tuple[object, ...]:
    """Return what the architectures of a tile have in common."""
    return spec.width, spec.shape, spec.norm, spec.order, spec.activation, spec.blocks[-1].stage if spec.blocks else 0


class Place(NamedTuple):
    """The blocks of one number in one stage: the `rows` that have it, their blocks and what these do to a layer."""

    name: str
    rows: list[int]
    blocks: list[Block]
    steps: list[Step]


def places(specs: Sequence[ResNet]) -> list[Place]:
    """Return the places of a tile, input side first; the first block of each stage after stage 0 is in all rows."""
    found: defaultdict[tuple[int, int], list[tuple[int, Block, Step]]] = defaultdict(list)
    for row, spec in enumerate(specs):
        counts: Counter[int] = Counter()
        for block, step in zip(spec.blocks, spec.steps, strict=True):
            found[block.stage, counts[block.stage]].append((row, block, step))
            counts[block.stage] += 1
    parts = {where: map(list, zip(*entries, strict=True)) for where, entries in sorted(found.items())}
    return [Place(f"{stage}.{number}", *lists) for (stage, number), lists in parts.items()]


class Path(NamedTuple):
    """A way through a place: the `rows` of its r rows that take it, its layers, and its gates, [., 1, 1, 1, 1, 1, 1, 1]."""

    rows: list[int]
    layers: list[Layer]
    gates: Tensor


class ImageTile:
    """One tile of concrete, canonical resnets of one `style`, and the two passes over it."""

    def __init__(self, specs: Sequence[ResNet], draws: Draws, plan: Plan) -> None:
        self.specs, self.draws, self.plan, self.spec = specs, draws, plan, specs[0]
        self.places = places(specs)
        self.start = Extent(self.spec.width, *self.spec.shape[1:])
        self.end = self.spec.steps[-1].end if self.spec.blocks else self.start

    @torch.inference_mode()
    def run(self, samples: Tensor) -> list[Samples]:
        """Return the samples of each architecture for images [D, I × B, features]."""
        plan, pulls = self.plan, []
        vectors = self._begin(samples)
        ahead = Course(vectors, streams=1)
        for place in self.places:
            moved, pull = self._block(_taken(vectors, place.rows), place)
            vectors = ahead.move(vectors, moved, place.rows)
            pulls.append(pull if plan.goes_back else _same)
        outputs = vectors[:, :, 0].permute(3, 0, 1, 2, 4, 5, 6).flatten(4)
        vectors = self._turned(vectors)
        back = Course(vectors, units=self.end.units * self.spec.batch)
        for place, pull in zip(reversed(self.places), reversed(pulls), strict=True):
            vectors = back.move(vectors, pull(_taken(vectors, place.rows)), place.rows)
        first = vectors[:, : plan.inputs * plan.common, :1].movedim(4, 0).flatten(3)
        numbers = [_numpy(x) for x in (ahead.record, back.record, _apart(outputs), cosines(first))]
        return [self._samples(row, *numbers) for row in range(len(self.specs))]

    def _begin(self, samples: Tensor) -> Tensor:
        """h_0 and the tangent probes, the same for every row."""
        images = samples.view(len(samples), self.plan.inputs, -1, *self.spec.shape).permute(1, 2, 0, 3, 4, 5)
        stem = self._convolution("stem", Conv(self.spec.shape[0], self.spec.width, 3), 1.0)
        ending = [] if self.spec.order == "pre" else [*self._norm(), activation(self.spec.activation)]
        streams, _ = chain(images[None, :, None], stem, *ending)
        probes = self._probes("tangent", self.plan.inputs, self.plan.tangents, self.start)
        return torch.cat([streams, probes], dim=2).repeat(len(self.specs), *[1] * 7)

    def _turned(self, vectors: Tensor) -> Tensor:
        """What goes back: random cotangents, the same for every row, and tangents at the output that make round trips."""
        shared = 1 if self.plan.common else self.plan.inputs
        probes = self._probes("cotangent", shared, self.plan.cotangents, self.end)
        probes = probes.expand(len(self.specs), self.plan.inputs, *probes.shape[2:])
        return torch.cat([probes, vectors[:, :, 1:]], dim=2) if self.plan.round_trips else probes.contiguous()

    def _probes(self, role: str, inputs: int, count: int, at: Extent) -> Tensor:
        """[1, inputs, count, B, D, C, H, W]"""
        probes = self.draws.probes(role, inputs, count, at.units * self.spec.batch)
        return probes.view(*probes.shape[:3], self.spec.batch, *at).permute(1, 2, 3, 0, 4, 5, 6)[None]

    def _block(self, x: Tensor, place: Place) -> Pulled:
        """skip * P(x) + scale * F(x) at the rows of a place, with an activation after it in the post order."""
        paths = list(self._paths(place))
        outs, pulls = zip(*(chain(_taken(x, path.rows), *path.layers) for path in paths), strict=True)
        end = place.steps[0].end
        total, shape = x.new_zeros(*x.shape[:5], *end), x.shape
        for path, out in zip(paths, outs, strict=True):
            _add(total, out * path.gates, path.rows)
        ending = [] if self.spec.order == "pre" else [activation(self.spec.activation)]
        total, end_pull = chain(total, *ending)

        def back(cotangents: Tensor) -> Tensor:
            outer = end_pull(cotangents)
            into = outer.new_zeros(*outer.shape[:5], *shape[5:])
            for path, pull in zip(paths, pulls, strict=True):
                _add(into, pull(_taken(outer, path.rows) * path.gates), path.rows)
            return into

        return total, back

    def _paths(self, place: Place) -> Iterator[Path]:
        """The shortcut, and the branches by what they are made of."""
        begins = place.steps[0].start != place.steps[0].end
        rows = [row for row, step in enumerate(place.steps) if step.change is not None or not begins]
        if rows:
            change = place.steps[rows[0]].change
            layers = [] if change is None else [self._convolution(f"{place.name} projection", change, 1.0)]
            layers += self._norm() if change is not None and self.spec.order == "post" else []
            yield Path(rows, layers, self._column([self._skip(place, row) for row in rows]))
        for op in sorted({block.op for block in place.blocks if block.keep}):
            rows = [row for row, block in enumerate(place.blocks) if block.keep and block.op == op]
            gains = self._column([self.specs[place.rows[row]].weight_gain for row in rows])
            layers = list(self._branch(f"{place.name} {op}", place.steps[rows[0]].branch, gains))
            yield Path(rows, layers, self._column([self._scale(place, row) for row in rows]))

    def _skip(self, place: Place, row: int) -> float:
        block = place.blocks[row]
        return block.skip * (self.specs[place.rows[row]].gates[0] if block.keep else 1.0)

    def _scale(self, place: Place, row: int) -> float:
        return place.blocks[row].scale * self.specs[place.rows[row]].gates[1]

    def _branch(self, name: str, convs: Sequence[Conv], gains: Tensor) -> Iterator[Layer]:
        """pre: norm, activation, convolution each; post: convolution and norm, with activations between them."""
        normed = self.spec.norm != "none"
        for number, conv in enumerate(convs):
            if self.spec.order == "pre":
                yield from self._norm()
                yield activation(self.spec.activation, keep=not normed and number == 0)
                yield self._convolution(f"{name} {number}", conv, gains)
            else:
                yield from [activation(self.spec.activation)] if number else []
                yield self._convolution(f"{name} {number}", conv, 1.0 if normed else gains)
                yield from self._norm(gains)

    def _norm(self, gain: Tensor | float = 1.0) -> list[Layer]:
        return [] if self.spec.norm == "none" else [norm(self.spec.norm, gain)]

    def _convolution(self, role: str, conv: Conv, gain: Tensor | float) -> Layer:
        """A layer with weights of variance `gain`² / fan_in."""
        weights = self.draws.normal(role, conv.outputs, conv.inputs, conv.kernel, conv.kernel)
        return convolution(conv, weights, gain / math.sqrt(conv.inputs * conv.kernel**2))

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=self.draws.dtype, device=self.draws.device).view(-1, *[1] * 7)

    def _samples(self, row: int, *whole: Array) -> Samples:
        """What belongs to one row, layers last."""
        energies, back, apart, gram = whole
        layers = [0, *(number + 1 for number, place in enumerate(self.places) if row in place.rows)]
        forward = energies[layers, row].transpose(3, 1, 2, 0)
        # what comes out of a place on the way ahead goes into it on the way back
        layers = [len(self.places) - layer for layer in layers]
        backward = back[layers, row].transpose(3, 1, 2, 0)
        trips = backward[:, :, self.plan.cotangents :, 0]
        nothing = forward[:, :, :0]
        return Samples(
            stream=forward[:, :, 0].copy(),
            forward=forward[:, :, 1:].copy(),
            backward=backward[:, :, : self.plan.cotangents].copy(),
            round_trip=trips + forward[:, :, 1 : 1 + trips.shape[2], -1],
            decorrelation=apart[:, row].copy(),
            cotangent_gram=gram[:, row].copy(),
            stream_tokens=nothing,
            forward_tokens=nothing,
            backward_tokens=nothing,
        )


class Course:
    """Vectors on their way: log energies [R, I, V, D] from place to place.

    `streams`  so many vectors of an input are measured by themselves; the others are brought to norm √n after each place
    `units`    n, if it is not that of the vectors where they are
    """

    def __init__(self, vectors: Tensor, streams: int = 0, units: int | None = None) -> None:
        self._streams, self._units = streams, units
        self._energies = [self._measured(vectors)[0]]

    @property
    def record(self) -> Tensor:
        """Energies [K+1, R, I, V, D]."""
        return torch.stack(self._energies)

    def move(self, vectors: Tensor, moved: Tensor, rows: list[int]) -> Tensor:
        """The vectors, those of `rows` now being `moved`."""
        growth, moved = self._measured(moved)
        growth[:, :, self._streams :] += self._energies[-1][rows, :, self._streams :]
        self._energies.append(_put(self._energies[-1], growth, rows))
        return _put(vectors, moved, rows)

    def _measured(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        units = self._units or vectors[0, 0, 0, :, 0].numel()
        size = torch.linalg.vector_norm(vectors, dim=OWN).square_().div_(units)
        rescaled = torch.where(size > 0, size.rsqrt(), 1.0)
        rescaled[:, :, : self._streams] = 1.0
        return size.to(torch.float64).log(), vectors * rescaled[:, :, :, None, :, None, None, None]


def _apart(outputs: Tensor) -> Tensor:
    """[D, R] 1 − cosine between outputs [D, R, I, B, n] of two images: those of a batch, mean over batches, or inputs."""
    if outputs.shape[3] == 1:
        return output_decorrelation(outputs[:, :, :, 0])
    return output_decorrelation(outputs).mean(-1)


def _taken(vectors: Tensor, rows: list[int]) -> Tensor:
    return vectors if len(rows) == len(vectors) else vectors[rows]


def _put(into: Tensor, values: Tensor, rows: list[int]) -> Tensor:
    """A tensor with those rows replaced."""
    if len(rows) == len(into):
        return values
    return into.index_copy(0, torch.tensor(rows, device=into.device), values)


def _add(into: Tensor, values: Tensor, rows: list[int]) -> None:
    """In place, at those rows."""
    if len(rows) == len(into):
        into += values
    else:
        into.index_add_(0, torch.tensor(rows, device=into.device), values)


def _same(vectors: Tensor) -> Tensor:
    return vectors


def _numpy(values: Tensor) -> Array:
    return values.to(torch.float64).cpu().numpy()
