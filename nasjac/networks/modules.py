"""Jacobian samples of one architecture by autograd on its module: of densenets, one after the other.

They mean what those of `nasjac.networks.image_tile` mean, with BatchNorm too; a layer's weights are drawn by its name in
the module. A cotangent goes back through a block by autograd, and that is linear in the cotangent; its derivative carries
tangents. So nothing needs forward mode, whose levels all threads share.

Letters: D draws, I inputs of a draw, G inputs of one pass (1 with BatchNorm, else I), P tangents and Q cotangents of an
input, V vectors, n units of an input, L blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import replace_all_batch_norm_modules_

from nasjac.images import Extent
from nasjac.networks import build
from nasjac.networks.convolutions import ImageNetwork, initialize
from nasjac.networks.draws import Draws
from nasjac.networks.samples import Array, Plan, Samples
from nasjac.spec import Spec


def module_samples(spec: Spec, inputs: Tensor, draws: Draws, plan: Plan) -> Samples:
    """The samples of a canonical, concrete spec for `inputs` [n, features], n at least the plan's inputs × `spec.batch`."""
    network = _scored(spec, inputs.shape[1], draws)
    rows = draws.samples(inputs, plan.inputs * spec.batch)
    chosen = rows.view(len(rows), plan.inputs, spec.batch, -1)
    first = Extent(spec.width, *spec.shape[1:]).units * spec.batch
    tangents = draws.probes("tangent", plan.inputs, plan.tangents, first)
    cotangents = draws.probes("cotangent", 1 if plan.common else plan.inputs, plan.cotangents, spec.units)
    cotangents = cotangents.expand(-1, plan.inputs, -1, -1)
    together = 1 if spec.batch > 1 else plan.inputs
    found = []
    for draw in range(len(draws.draws)):
        initialize(network, spec, partial(_drawn, draws, draw))
        parts = [torch.split(x[draw], together) for x in (chosen, tangents, cotangents)]
        passes = [_sampled(network, plan, *vectors) for vectors in zip(*parts, strict=True)]
        found.append([torch.cat(pieces).cpu().numpy() for pieces in zip(*passes, strict=True)])
    return _samples(*(np.stack(pieces) for pieces in zip(*found, strict=True)))


def _drawn(draws: Draws, draw: int, name: str, shape: torch.Size) -> Tensor:
    return draws.normal(name, *shape)[draw]


def _scored(spec: Spec, features: int, draws: Draws) -> ImageNetwork:
    """The module without gradients of weights and without running statistics."""
    network = build(spec, features, 1).to(draws.device, draws.dtype).requires_grad_(False)
    assert isinstance(network, ImageNetwork)
    replace_all_batch_norm_modules_(network)  # theirs are those of the batch then, in any mode
    return network


class _Pass(NamedTuple):
    """What one pass gives, float64; energies are logarithms."""

    stream: Tensor  # [G, L+1]
    forward: Tensor  # [G, P, L+1]
    forward_angle: Tensor  # [G, L+1]; what is an angle has G = 0 where there are fewer than two vectors
    backward: Tensor  # [G, Q, L+1]
    backward_angle: Tensor  # [G, L+1]
    round_trip: Tensor  # [G, P]
    round_trip_angle: Tensor  # [G]
    decorrelation: Tensor  # [1] 1 - cosine of two images' outputs
    pulled: Tensor  # [G, n] Jᵀ v of a common v, else [G, 0]


def _sampled(network: ImageNetwork, plan: Plan, images: Tensor, tangents: Tensor, cotangents: Tensor) -> _Pass:
    """Of images [G, batch, F], tangents [G, P, n] of h_0 and cotangents [G, Q, n] of h_L."""
    layers, blocks = [network.start(images.flatten(0, 1))], []
    for block in network.blocks:
        blocks.append(Linearized(block, layers[-1]))
        layers.append(blocks[-1].output.detach())
    flat = [layer.reshape(len(images), -1) for layer in layers]
    sizes = [layer.shape[1] for layer in flat]
    forward, forward_angle, ends = _carried(tangents, [block.push for block in blocks], sizes)
    pulls, outputs = [block.pull for block in reversed(blocks)], [sizes[-1]] * len(sizes)
    backward, backward_angle, pulled = _carried(cotangents, pulls, outputs)
    trips, trip_angles, _ = _carried(ends if plan.round_trips else ends[:, :0], pulls, outputs)
    return _Pass(
        stream=torch.stack([_norm(layer).square().div(layer.shape[1]).log() for layer in flat], dim=-1),
        forward=forward,
        forward_angle=forward_angle,
        backward=backward.flip(-1),
        backward_angle=backward_angle.flip(-1),
        round_trip=trips[..., -1] + forward[:, : trips.shape[1], -1],
        round_trip_angle=trip_angles[..., -1],
        decorrelation=_decorrelation(layers[-1].flatten(1)),
        pulled=pulled[:, : int(plan.common)].flatten(1),
    )


class Linearized:
    """One block at its input x: its `output`, and the products of its Jacobian with vectors [G, V, n]."""

    def __init__(self, block: nn.Module, x: Tensor) -> None:
        self._input = x.detach().requires_grad_()
        self.output: Tensor = block(self._input)
        self._cotangent = torch.zeros_like(self.output, requires_grad=True)
        [self._pulled] = torch.autograd.grad(self.output, self._input, self._cotangent, create_graph=True)

    def push(self, tangents: Tensor) -> Tensor:
        """J u, as the derivative of ⟨u, Jᵀ v⟩ by v."""
        return _each(tangents, self._input, lambda u: torch.autograd.grad(self._pulled, self._cotangent, u, True)[0])

    def pull(self, cotangents: Tensor) -> Tensor:
        """Jᵀ v."""
        return _each(cotangents, self.output, lambda v: torch.autograd.grad(self.output, self._input, v, True)[0])


def _each(vectors: Tensor, like: Tensor, product: Callable[[Tensor], Tensor]) -> Tensor:
    """The products of vectors [G, V, n], one V at a time in the shape of `like`."""
    found = [product(vectors[:, number].reshape(like.shape)) for number in range(vectors.shape[1])]
    return torch.stack([each.reshape(len(vectors), -1) for each in found], dim=1)


def _carried(
    vectors: Tensor, products: Sequence[Callable[[Tensor], Tensor]], sizes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors [G, V, n] through one product after the other, brought to norm √size before each.

    Log squared norms over `sizes` [G, V, L+1], squared cosines between the first two [G, L+1] (G = 0 if they are fewer),
    and the last vectors at norm √size.
    """
    count = vectors.shape[1]
    if not count:
        nothing = vectors.new_zeros(len(vectors), 0, len(sizes), dtype=torch.float64)
        return nothing, nothing[:0, :0].sum(1), vectors
    energies, angles = [], []
    for product, size in zip((None, *products), sizes, strict=True):
        vectors = vectors if product is None else product(vectors)
        norm = _norm(vectors)
        energies.append(norm.square().div(size).log())
        vectors = vectors * torch.where(norm > 0, math.sqrt(size) / norm, 1.0).to(vectors.dtype)[..., None]
        pair = vectors[: len(vectors) if count > 1 else 0, :2].double()
        angles.append(pair.prod(dim=1).sum(-1).div(size).square())
    return torch.stack(energies, dim=-1).cumsum(-1), torch.stack(angles, dim=-1), vectors


def _norm(vectors: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(vectors, dim=-1, dtype=torch.float64)
    return norm


def _decorrelation(outputs: Tensor) -> Tensor:
    """[1] 1 - cosine between outputs [images, n], mean over pairs."""
    unit = outputs.double() / _norm(outputs)[:, None]
    spread: Tensor = (unit - unit.mean(0)).square().sum() / (len(unit) - 1)
    return spread[None]


def _samples(
    stream: Array,
    forward: Array,
    forward_angle: Array,
    backward: Array,
    backward_angle: Array,
    round_trip: Array,
    round_trip_angle: Array,
    decorrelation: Array,
    pulled: Array,
) -> Samples:
    """Of what all draws gave, [D, ...] each."""
    with np.errstate(invalid="ignore"):  # a zero vector has no direction
        unit = pulled / np.linalg.norm(pulled, axis=-1, keepdims=True)
    gram = unit @ unit.swapaxes(1, 2)
    nothing = stream[:, :, None, :][:, :, :0]
    return Samples(
        stream=stream,
        forward=forward,
        forward_angle=forward_angle,
        backward=backward,
        backward_angle=backward_angle,
        round_trip=round_trip,
        round_trip_angle=round_trip_angle,
        decorrelation=decorrelation.mean(axis=1),
        cotangent_gram=gram if pulled.shape[-1] else gram[:, :0, :0],
        stream_tokens=nothing,
        forward_tokens=nothing,
        backward_tokens=nothing,
    )
