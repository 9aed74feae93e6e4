"""Jacobian samples of one tile: residual networks of one kind and width, evaluated together.

Vectors are rescaled to norm √N behind each block: each carries the factor, which the next block applies with its gates.
Rows that are finished leave; on the way back rows join at their last block.

Letters: D draws, R rows (architectures of a tile, the deepest first), A active rows of a block, I inputs of a draw,
P tangents and Q cotangents of an input, T tokens (1 of an MLP), N width, L blocks. V counts the vectors [T, N] of an input
that pass through a product together: its stream and tangents, or its cotangents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from nasjac.kinds.tiles.blocks import Blocks, BlockState
from nasjac.kinds.tiles.routes import Routes
from nasjac.kinds.tiles.rows import Row
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import Array, Plan, Samples
from nasjac.sampling.vectors import cosines, differential, output_decorrelation, sizes

#: samples [D, I, ...], draws and vocabulary -> embedded tokens [D, I, T, N]
Embed = Callable[[Tensor, Draws, int | None], Tensor]


class Tile:
    """One tile of architectures, the deepest first, and the two passes over it.

    `products` is the dtype of the matrix products, where it is not that of the draws.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        draws: Draws,
        plan: Plan,
        embed: Embed,
        products: torch.dtype | None = None,
    ) -> None:
        self.draws, self.plan, self.width, self._embed = draws, plan, rows[0].width, embed
        self.routes = Routes(rows, draws.dtype, draws.device)
        self.blocks = Blocks(self.routes, draws, products)

    @torch.inference_mode()
    def run(self, samples: Tensor, vocabulary: int | None) -> list[Samples]:
        """Return the samples of each architecture for inputs [D, I, features], or token ids [D, I, T] of `vocabulary`."""
        energies, tokens, states, outputs = self._forward(self._start(self._embed(samples, self.draws, vocabulary)))
        tangents = outputs[..., 1:, :, :]
        back = self._backward(states, tangents) if self.plan.goes_back else _nothing(energies, tokens)
        whole = [_numpy(x) for x in (energies, tokens, *back, output_decorrelation(outputs[..., 0, :, :].flatten(-2)))]
        return [self._samples(row, depth, *whole) for row, depth in enumerate(self.routes.depths)]

    def _start(self, embedded: Tensor) -> Tensor:
        """[D, R, I, 1 + P, T, N] of embedded inputs [D, I, T, N]: h_0 and the tangent probes.

        They are the same for every row but for its positions.
        """
        embedded = embedded[:, None, :, None]
        tokens = embedded.shape[-2]
        if tokens > 1:
            positions = self.draws.normal("positions", tokens, self.width)[:, None, None, None]
            embedded = (embedded + self.routes.learned * positions) * torch.rsqrt(1 + self.routes.learned)
        start = embedded.expand(-1, self.routes.rows, -1, -1, -1, -1)
        probes = self.draws.probes("tangent", self.plan.inputs, self.plan.tangents, tokens * self.width)
        tangents = self._by_token(probes, tokens)[:, None].expand(-1, self.routes.rows, -1, -1, -1, -1)
        return torch.cat([start, tangents], dim=-3)

    def _forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, list[BlockState], Tensor]:
        """Energies [L+1, D, R, I, 1 + P], what differs between tokens as a share of the energies (none of them without
        tokens), the blocks' states, and each row's own output.
        """
        routes = self.routes
        # whose size is brought back to 1 after each block: tangents', and streams' that do not matter
        carried = torch.cat(
            [routes.homogeneous, torch.ones_like(routes.homogeneous).expand(-1, -1, self.plan.tangents)], -1
        )
        energies = vectors.new_zeros(routes.blocks + 1, *vectors.shape[:-2], dtype=torch.float64)
        tokens = energies.new_zeros(*energies.shape[:-1], energies.shape[-1] if vectors.shape[-2] > 1 else 0)
        states, outputs = [], vectors.clone()
        energies[0], factor = sizes(vectors, carried)
        tokens[0] = differential(vectors)
        for number in range(routes.blocks):
            active = slice(routes.active(number))
            state, vectors = self.blocks.forward(vectors[:, active], factor[:, active], number)
            growth, factor = sizes(vectors, carried[active])
            energies[number + 1, :, active] = torch.where(carried[active], energies[number, :, active] + growth, growth)
            tokens[number + 1, :, active] = differential(vectors)
            if self.plan.goes_back:
                states.append(state)
            done = slice(routes.reaching(number + 2), routes.reaching(number + 1))
            outputs[:, done] = vectors[:, done] * factor[:, done, ..., None, None]
        return energies, tokens, states, outputs

    def _backward(self, states: list[BlockState], tangents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Energies [L+1, D, R, I, V], shares of what differs between tokens like the energies, and at the input the Gram
        matrix.

        The first Q cotangents are random, the rest are the outputs' tangents, which the way back makes round trips.
        """
        routes, starts = self.routes, self._cotangents(tangents)
        energies = starts.new_zeros(routes.blocks + 1, *starts.shape[:-2], dtype=torch.float64)
        tokens = energies.new_zeros(*energies.shape[:-1], energies.shape[-1] if starts.shape[-2] > 1 else 0)
        vectors, total = torch.zeros_like(starts[:, :0]), energies[0, :, :0]
        for layer in reversed(range(routes.blocks + 1)):
            active = routes.active(layer - 1) if layer else routes.rows
            vectors, total = (_joined(x, active) for x in (vectors, total))
            begin = slice(routes.reaching(layer + 1), routes.reaching(layer))
            vectors[:, begin], total[:, begin] = starts[:, begin], 0.0
            growth, factor = sizes(vectors)
            energies[layer, :, :active] = total = total + growth
            tokens[layer, :, :active] = differential(vectors)
            if layer:
                vectors = self.blocks.pull_back(vectors, factor, states[layer - 1], layer - 1)
        first = vectors[..., 0, :, :].flatten(-2)
        return energies, tokens, cosines(first if self.plan.common else first[:, :, :0])

    def _cotangents(self, tangents: Tensor) -> Tensor:
        """[D, R, I, V, T, N] what starts on the way back."""
        plan, tokens = self.plan, tangents.shape[-2]
        shape = (1 if plan.common else plan.inputs, plan.cotangents, tokens * self.width)
        probes = self._by_token(self.draws.probes("cotangent", *shape), tokens)
        probes = probes[:, None].expand(-1, self.routes.rows, plan.inputs, -1, -1, -1)
        return torch.cat([probes, tangents], dim=-3) if plan.round_trips else probes.contiguous()

    def _by_token(self, vectors: Tensor, tokens: int) -> Tensor:
        """Vectors [..., T N] as [..., T, N]."""
        return vectors.reshape(*vectors.shape[:-1], tokens, self.width)

    def _samples(self, row: int, depth: int, *whole: Array) -> Samples:
        """What belongs to one row, up to its own depth, layers last."""
        energies, tokens, back, back_tokens, gram, decorrelation = whole
        layers = slice(depth + 1)
        forward = _layers_last(energies[layers, :, row])
        backward = _layers_last(back[layers, :, row])
        trips = backward[:, :, self.plan.cotangents :, 0]
        return Samples(
            stream=forward[:, :, 0].copy(),
            forward=forward[:, :, 1:].copy(),
            backward=backward[:, :, : self.plan.cotangents].copy(),
            round_trip=trips + forward[:, :, 1 : 1 + trips.shape[2], -1],
            decorrelation=decorrelation[:, row].copy(),
            cotangent_gram=gram[:, row].copy(),
            stream_tokens=_layers_last(tokens[layers, :, row])[:, :, :1].copy(),
            forward_tokens=_layers_last(tokens[layers, :, row])[:, :, 1:].copy(),
            backward_tokens=_layers_last(back_tokens[layers, :, row])[:, :, : self.plan.cotangents].copy(),
        )


def projected(samples: Tensor, draws: Draws, width: int) -> Tensor:
    """Return [D, I, T, N] the linear embedding of features or patches [D, I, T, n], by weights N(0, 1/n)."""
    units = samples.shape[-1]
    embedded = torch.bmm(samples.flatten(1, 2), draws.normal("embedding", width, units).mT)
    return (embedded / math.sqrt(units)).view(*samples.shape[:-1], width)


def _joined(values: Tensor, rows: int) -> Tensor:
    """Values [D, A, ...] with zeros for the rows that join."""
    if values.shape[1] == rows:
        return values
    return torch.cat([values, values.new_zeros(values.shape[0], rows - values.shape[1], *values.shape[2:])], dim=1)


def _nothing(energies: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What `_backward` gives where nothing goes back."""
    draws, rows = energies.shape[1:3]
    return energies[..., :0], tokens[..., :0], energies.new_zeros(draws, rows, 0, 0)


def _layers_last(values: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(values, 0, -1))


def _numpy(values: Tensor) -> Array:
    return values.to(torch.float64).cpu().numpy()
