"""Jacobian samples of one architecture by autograd on its module.

They mean what those of `nasjac.kinds.tiles.tile` and `nasjac.kinds.resnet.tile` mean, with BatchNorm too.

An implicit block that is a step of BDF-2 sees h_{l-1} beside h_l. So vectors go through the chain with those of the layer
before: forward they are ∂h_l/∂h_0 u on all paths, backward (∂h_L/∂h_l)ᵀ v with h_{l-1} held, which at h_0 is all there is.

Letters: D draws, I inputs of a draw, G inputs of one pass (1 with BatchNorm, else I), P tangents and Q cotangents of an
input, V vectors, n units of an input, L blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.kinds.modules.network import ResidualNetwork
from nasjac.sampling.draws import Draws
from nasjac.sampling.linearized import Linearized
from nasjac.sampling.samples import Array, Plan, Samples


def module_samples(spec: Spec, networks: Iterable[ResidualNetwork], samples: Tensor, draws: Draws, plan: Plan) -> Samples:
    """The samples of a canonical, concrete Spec.

    Args:
        spec: What the networks are of.
        networks: The module at each draw of its weights.
        samples: Inputs of the draws [D, I × `spec.batch`, features], or ids.
        draws: Of the probes.
        plan: What each draw carries.
    """
    chosen = samples.view(len(samples), plan.inputs, spec.batch, -1)
    tangents = draws.probes("tangent", plan.inputs, plan.tangents, spec.start_units * spec.batch)
    cotangents = draws.probes("cotangent", 1 if plan.common else plan.inputs, plan.cotangents, spec.units)
    cotangents = cotangents.expand(-1, plan.inputs, -1, -1)
    together = 1 if spec.batch > 1 else plan.inputs
    found = []
    for draw, network in enumerate(networks):
        parts = [torch.split(x[draw], together) for x in (chosen, tangents, cotangents)]
        passes = [_sampled(network, plan, *vectors) for vectors in zip(*parts, strict=True)]
        found.append([torch.cat(pieces).cpu().numpy() for pieces in zip(*passes, strict=True)])
    return _samples(*(np.stack(pieces) for pieces in zip(*found, strict=True)))


class _Pass(NamedTuple):
    """What one pass gives, float64; energies are logarithms."""

    stream: Tensor  # [G, L+1]
    forward: Tensor  # [G, P, L+1]
    backward: Tensor  # [G, Q, L+1]
    round_trip: Tensor  # [G, P]
    decorrelation: Tensor  # [1] 1 - cosine of two images' outputs
    pulled: Tensor  # [G, n] Jᵀ v of a common v, else [G, 0]


def _sampled(network: ResidualNetwork, plan: Plan, inputs: Tensor, tangents: Tensor, cotangents: Tensor) -> _Pass:
    """Of inputs [G, batch, F], tangents [G, P, n] of h_0 and cotangents [G, Q, n] of h_L."""
    layers, links = _linked(network, network.start(inputs.flatten(0, 1)))
    flat = [layer.reshape(len(inputs), -1) for layer in layers]
    sizes = [layer.shape[1] for layer in flat]
    forward, ends = _carried(tangents, [link.push for link in links], sizes)
    pulls, outputs = [link.pull for link in reversed(links)], [sizes[-1]] * len(sizes)
    backward, pulled = _carried(cotangents, pulls, outputs, sizes[::-1])
    trips, _ = _carried(ends if plan.round_trips else ends[:, :0], pulls, outputs, sizes[::-1])
    return _Pass(
        stream=torch.stack([_norm(layer).square().div(layer.shape[1]).log() for layer in flat], dim=-1),
        forward=forward,
        backward=backward.flip(-1),
        round_trip=trips[..., -1] + forward[:, : trips.shape[1], -1],
        decorrelation=_decorrelation(layers[-1].flatten(1)),
        pulled=pulled[:, : int(plan.common)].flatten(1),
    )


class _Link:
    """One block, linearized, in the chain: it takes h_l, and h_{l-1} too or not; `kept` where the next takes h_l as well.

    Vectors [G, V, ·] are those of its layer, followed by those of the layer before where that still matters.
    """

    def __init__(self, at: Linearized, kept: bool) -> None:
        self._at, self._kept, self._double = at, kept, len(at.inputs) == 2

    def push(self, tangents: Tensor) -> Tensor:
        """(J u, u) from (u, the one before)."""
        own = self._at.inputs[0]
        units = own.numel() // len(tangents)
        parts = (tangents[..., :units], tangents[..., units:])[: 1 + self._double]
        moved = _each(lambda *u: [self._at.push(*u)], parts, [own] * len(parts))[0]
        return torch.cat([moved, parts[0]], dim=-1) if self._kept else moved

    def pull(self, cotangents: Tensor) -> Tensor:
        """(Jᵀ v and what came by the other path, that for the layer before) from (v, what came by the other path)."""
        units = self._at.output.numel() // len(cotangents)
        found = _each(lambda v: self._at.pull(v), [cotangents[..., :units]], [self._at.output])
        if self._kept:
            found[0] = found[0] + cotangents[..., units:]
        return torch.cat(found, dim=-1) if self._double else found[0]


def _linked(network: ResidualNetwork, start: Tensor) -> tuple[list[Tensor], list[_Link]]:
    """h_0 ... h_L and the blocks between them, as `ResidualNetwork.through` calls them."""
    layers, found = [start], []
    double = False
    for number, block in enumerate(network.blocks):
        before = [layers[-2]] if double and network.takes_before(number) else []
        found.append(Linearized(block, layers[-1], *before))
        layers.append(found[-1].output)
        double = network.takes_before(number)
    kept = (len(after.inputs) == 2 for after in found[1:])
    return layers, [_Link(*pair) for pair in zip(found, [*kept, False], strict=False)]


def _each(product: Callable[..., Sequence[Tensor]], vectors: Sequence[Tensor], like: Sequence[Tensor]) -> list[Tensor]:
    """The products of vectors [G, V, n], one V at a time in the shapes of `like`, each [G, V, ·]."""
    count = vectors[0].shape[1]
    shaped = ([x[:, v].reshape(y.shape) for x, y in zip(vectors, like, strict=True)] for v in range(count))
    found = [[each.reshape(len(vectors[0]), -1) for each in product(*one)] for one in shaped]
    return [torch.stack(pieces, dim=1) for pieces in zip(*found, strict=True)]


def _carried(
    vectors: Tensor,
    products: Sequence[Callable[[Tensor], Tensor]],
    sizes: Sequence[int],
    units: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Vectors [G, V, n] through one product after the other, brought to norm √size before each.

    Log squared norms over `sizes` [G, V, L+1], and the last vectors at norm √size. Norms are those of the first `units` of
    each layer, all sizes unless given.
    """
    if not vectors.shape[1]:
        return vectors.new_zeros(len(vectors), 0, len(sizes), dtype=torch.float64), vectors
    energies = []
    for product, size, own in zip((None, *products), sizes, units or sizes, strict=True):
        vectors = vectors if product is None else product(vectors)
        norm = _norm(vectors[..., :own])
        energies.append(norm.square().div(size).log())
        vectors = vectors * torch.where(norm > 0, math.sqrt(size) / norm, 1.0).to(vectors.dtype)[..., None]
    return torch.stack(energies, dim=-1).cumsum(-1), vectors


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
    backward: Array,
    round_trip: Array,
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
        backward=backward,
        round_trip=round_trip,
        decorrelation=decorrelation.mean(axis=1),
        cotangent_gram=gram if pulled.shape[-1] else gram[:, :0, :0],
        stream_tokens=nothing,
        forward_tokens=nothing,
        backward_tokens=nothing,
    )
