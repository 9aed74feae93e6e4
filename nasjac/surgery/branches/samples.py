"""Jacobian samples of a network with weights, at points of data: what the sampled score is computed from, weights fixed.

Letters: G points, D = G/2 pairs of them, P tangents and Q cotangents of a point, L blocks, N units.

A draw is a pair of points here, so that spread and standard errors are over points and probes. The same seed gives
networks with equal ends the same probes: what differs between them is the networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor, nn

from nasjac.foundation.workers import one_thread
from nasjac.mathematics.probes import on_sphere
from nasjac.sampling.linearized import Linearized
from nasjac.sampling.samples import INDEPENDENT, Array, Samples
from nasjac.sampling.vectors import differential, output_decorrelation
from nasjac.surgery.branches.ours import blocks_of, stream


def samples_at(network: nn.Module, points: Tensor, seed: int) -> Samples:
    """Samples of ∂h_L/∂h_0 at an even number of points [G, ...]; the network as `measurable` makes it."""
    layers = stream(network, points)
    with one_thread(layers[0].numel()):
        links = [Linearized(block, x) for block, x in zip(blocks_of(network), layers, strict=False)]
        tangents, cotangents = probes(layers, seed)
        pushed, pulled = [tangents], [cotangents]
        for link in links:
            pushed.append(link.push_each(pushed[-1]))
        for link in reversed(links):
            pulled.append(link.pull_each(pulled[-1])[0])
        trips = pushed[-1]
        for link in reversed(links):
            [trips] = link.pull_each(trips)
    return _samples(layers, pushed, pulled[::-1], trips)


def probes(layers: Sequence[Tensor], seed: int) -> tuple[Tensor, Tensor]:
    """Tangents at h_0 [G, P, N] and cotangents at h_L [G, Q, N], uniform on the sphere of radius √N."""
    generator = Generator().manual_seed(seed)
    ends = ((layers[0], INDEPENDENT.tangents), (layers[-1], INDEPENDENT.cotangents))
    drawn = [torch.randn(len(x), count, x[0].numel(), dtype=x.dtype, generator=generator) for x, count in ends]
    return on_sphere(drawn[0]), on_sphere(drawn[1])


def _samples(layers: list[Tensor], pushed: list[Tensor], pulled: list[Tensor], trips: Tensor) -> Samples:
    tokens = layers[0].shape[1] if layers[0].ndim == 3 else 1
    outputs = layers[-1].flatten(1)
    units = outputs.shape[-1]
    whole = [layer.flatten(1)[:, None] for layer in layers]
    nothing = np.zeros((len(outputs) // 2, 0, 0))
    return Samples(
        stream=_pairs([_energy(x) for x in whole])[:, :, 0],
        forward=_pairs([_energy(x) for x in pushed]),
        backward=_pairs([_energy(x, units) for x in pulled]),
        round_trip=_pairs([_energy(trips, units)])[..., 0],
        decorrelation=output_decorrelation(outputs.view(-1, 2, units)).numpy(),
        cotangent_gram=nothing,
        stream_tokens=_pairs([_apart(x, tokens) for x in whole]),
        forward_tokens=_pairs([_apart(x, tokens) for x in pushed]),
        backward_tokens=_pairs([_apart(x, tokens) for x in pulled]),
    )


def _pairs(by_layer: Sequence[Tensor]) -> Array:
    """[D, 2, ..., L+1] from [G, ...] of each layer."""
    values = torch.stack(list(by_layer), dim=-1)
    return np.asarray(values.view(len(values) // 2, 2, *values.shape[1:]).double().numpy())


def _energy(vectors: Tensor, units: int | None = None) -> Tensor:
    """[G, V] log ‖·‖² per unit of vectors [G, V, N]: of their own N, or of `units`."""
    size: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return 2 * size.log() - math.log(units or vectors.shape[-1])


def _apart(vectors: Tensor, tokens: int) -> Tensor:
    """[G, V] log share that differs between tokens; [G, 0] of a single token."""
    return differential(vectors.view(*vectors.shape[:2], tokens, -1))
