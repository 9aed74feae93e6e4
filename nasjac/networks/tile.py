"""Jacobian samples of one tile: residual networks of one kind and width, evaluated together.

Every factor of a block's Jacobian is a weight matrix or symmetric: the derivative of an activation is diagonal, and that
of a norm is (1/σ)(C − x̂ x̂ᵀ / N), C the centering (the identity for RMSNorm). So what carries tangents forward carries
cotangents back, factors in reverse order and matrices transposed; no autograd graph is kept.

Vectors are brought back to norm √N from block to block: each carries the factor that does so, and that factor is applied
where the block's gates are. Rows that are finished leave; those that begin on the way back join.

Letters: D draws, R rows (architectures of a tile, the deepest first), A active rows of a block, I inputs of a draw,
P tangents and Q cotangents of an input, T tokens (1 of an MLP), N width, L blocks. V counts the vectors [T, N] of an input
that pass through a product together: its stream and tangents, or its cotangents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasjac.activations import ACTIVATIONS
from nasjac.networks.attention import Attended, attend, pull_back, turn_of
from nasjac.networks.draws import Draws
from nasjac.networks.routes import AttentionRoute, BlockRoutes, HiddenRoute, NormRoute, Route, Routes
from nasjac.networks.samples import Array, Plan, Samples
from nasjac.spec import Spec


class _Norm(NamedTuple):
    """A norm linearized at the rows of its route: x̂ [D, r, I, 1, T, N] and 1/σ [D, r, I, 1, T, 1]."""

    at: NormRoute
    unit: Tensor
    inverse: Tensor

    def transpose_apply(self, vectors: Tensor) -> Tensor:
        """Cotangents [D, A, I, V, T, N] through the norm's (symmetric) Jacobian, at its rows in place."""
        chosen = self.at.route.take(vectors)
        chosen = (chosen - self.at.centering * chosen.mean(-1, keepdim=True)).mul_(self.inverse)
        chosen.addcmul_(self.unit, (chosen * self.unit).mean(-1, keepdim=True), value=-1)
        return self.at.route.put(vectors, chosen)


class _Block(NamedTuple):
    """One block of a tile, linearized: its norms, for each of its FFN routes the inner gain times phi' [D, r, I, 1, T, mN],
    and each of its attentions.
    """

    on_input: _Norm | None
    slopes: list[Tensor]
    attended: list[Attended]
    on_branch: _Norm | None
    on_sum: _Norm | None


class Tile:
    """One tile of architectures, the deepest first, and the two passes over it.

    `products` is the dtype of the matrix products, where it is not that of the draws.
    """

    def __init__(
        self,
        specs: Sequence[Spec],
        draws: Draws,
        plan: Plan,
        products: torch.dtype | None = None,
        vocabulary: int | None = None,
    ) -> None:
        self.draws, self.plan, self.width = draws, plan, specs[0].width
        self.routes, self._products = Routes(specs, draws.dtype, draws.device), products
        self.causal, self.vocabulary = specs[0].kind == "transformer_lm", vocabulary

    @torch.inference_mode()
    def run(self, samples: Tensor) -> list[Samples]:
        """The samples of each architecture for inputs [D, I, features], or token ids [D, I, T] of `vocabulary`."""
        energies, angles, tokens, states, outputs = self._forward(self._start(samples))
        tangents = outputs[..., 1:, :, :]
        back = self._backward(states, tangents) if self.plan.goes_back else _nothing(energies, tokens)
        whole = [_numpy(x) for x in (energies, angles, tokens, *back, _decorrelation(outputs[..., 0, :, :].flatten(-2)))]
        return [self._samples(row, depth, *whole) for row, depth in enumerate(self.routes.depths)]

    def _start(self, samples: Tensor) -> Tensor:
        """[D, R, I, 1 + P, T, N]: the embedded inputs h_0 and the tangent probes, the same for every row but positions."""
        if self.vocabulary is None:
            features = samples.shape[-1]
            embedded = torch.bmm(samples, self.draws.normal("embedding", self.width, features).mT) / math.sqrt(features)
            start = embedded[:, None, :, None, None, :].expand(-1, self.routes.rows, -1, -1, -1, -1)
        else:
            start = self._embedded(samples.long())
        tokens = start.shape[-2]
        probes = self.draws.probes("tangent", self.plan.inputs, self.plan.tangents, tokens * self.width)
        tangents = self._by_token(probes, tokens)[:, None].expand(-1, self.routes.rows, -1, -1, -1, -1)
        return torch.cat([start, tangents], dim=-3)

    def _embedded(self, ids: Tensor) -> Tensor:
        """[D, R, I, 1, T, N] embeddings of ids [D, I, T], of unit variance with learned positions as without."""
        assert self.vocabulary is not None
        table = self.draws.normal("tokens", self.vocabulary, self.width)
        embedded = torch.stack([rows[chosen] for rows, chosen in zip(table, ids, strict=True)])[:, None, :, None]
        positions = self.draws.normal("positions", ids.shape[-1], self.width)[:, None, None, None]
        return (embedded + self.routes.learned * positions) * torch.rsqrt(1 + self.routes.learned)

    def _forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor, list[_Block], Tensor]:
        """Energies [L+1, D, R, I, 1 + P], angles [L+1, D, R, I], what differs between tokens as a share of the energies
        (none of them without tokens), the blocks' states, and each row's own output.
        """
        routes, pair = self.routes, self.plan.tangents > 1
        # whose size is brought back to 1 after each block: tangents', and streams' that do not matter
        carried = torch.cat(
            [routes.homogeneous, torch.ones_like(routes.homogeneous).expand(-1, -1, self.plan.tangents)], -1
        )
        energies = vectors.new_zeros(routes.blocks + 1, *vectors.shape[:-2], dtype=torch.float64)
        angles = energies.new_zeros(*energies.shape[:-1] if pair else (*energies.shape[:-2], 0))
        tokens = energies.new_zeros(*energies.shape[:-1], energies.shape[-1] if vectors.shape[-2] > 1 else 0)
        states, outputs = [], vectors.clone()
        energies[0], factor = _growth(vectors, carried)
        tokens[0] = _differential(vectors)
        if pair:
            angles[0] = _angle(vectors[..., 1:, :, :], factor[..., 1:])
        for number in range(routes.blocks):
            active = slice(routes.active(number))
            state, vectors = self._block(vectors[:, active], factor[:, active], number)
            growth, factor = _growth(vectors, carried[active])
            energies[number + 1, :, active] = torch.where(carried[active], energies[number, :, active] + growth, growth)
            tokens[number + 1, :, active] = _differential(vectors)
            if pair:
                angles[number + 1, :, active] = _angle(vectors[..., 1:, :, :], factor[..., 1:])
            if self.plan.goes_back:
                states.append(state)
            done = slice(routes.reaching(number + 2), routes.reaching(number + 1))
            outputs[:, done] = vectors[:, done] * factor[:, done, ..., None, None]
        return energies, angles, tokens, states, outputs

    def _backward(self, states: list[_Block], tangents: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Energies [L+1, D, R, I, V], angles [L+1, D, R, I], shares of what differs between tokens like the energies, and
        at the input the round trips' angle and the Gram matrix.

        The first Q cotangents are random, the rest are the outputs' tangents, which the way back makes round trips.
        """
        routes, starts = self.routes, self._cotangents(tangents)
        energies = starts.new_zeros(routes.blocks + 1, *starts.shape[:-2], dtype=torch.float64)
        pair = self.plan.cotangents > 1
        angles = energies.new_zeros(*energies.shape[:-1] if pair else (*energies.shape[:-2], 0))
        tokens = energies.new_zeros(*energies.shape[:-1], energies.shape[-1] if starts.shape[-2] > 1 else 0)
        vectors, total = torch.zeros_like(starts[:, :0]), energies[0, :, :0]
        for layer in reversed(range(routes.blocks + 1)):
            active = routes.active(layer - 1) if layer else routes.rows
            vectors, total = (_joined(x, active) for x in (vectors, total))
            begin = slice(routes.reaching(layer + 1), routes.reaching(layer))
            vectors[:, begin], total[:, begin] = starts[:, begin], 0.0
            growth, factor = _growth(vectors)
            energies[layer, :, :active] = total = total + growth
            tokens[layer, :, :active] = _differential(vectors)
            if pair:
                angles[layer, :, :active] = _angle(vectors, factor)
            if layer:
                vectors = self._pull_back(vectors, factor, states[layer - 1], layer - 1)
        trips = _angle(vectors[..., self.plan.cotangents :, :, :], factor[..., self.plan.cotangents :])
        first = vectors[..., 0, :, :].flatten(-2)
        return energies, angles, tokens, trips, _cosines(first if self.plan.common else first[:, :, :0])

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

    def _block(self, vectors: Tensor, factor: Tensor, number: int) -> tuple[_Block, Tensor]:
        """Streams and tangents [D, A, I, V, T, N], times their factors [D, A, I, V], through one block; its state."""
        routes, at, active = self.routes, self.routes.at(number), vectors.shape[1]
        on_input, entering = _norm(vectors, at.on_input, keep=True)
        slopes, attended, branch = self._branch(entering, at, number, keep=entering is vectors)
        on_branch, branch = _norm(branch, at.on_branch)
        branch.mul_((routes.scale[number, :active] * factor)[..., None, None])
        branch.addcmul_(vectors, (routes.skip[number, :active] * factor)[..., None, None])
        on_sum, branch = _norm(branch, at.on_sum)
        return _Block(on_input, slopes, attended, on_branch, on_sum), branch

    def _branch(
        self, entering: Tensor, at: BlockRoutes, number: int, keep: bool
    ) -> tuple[list[Tensor], list[Attended], Tensor]:
        """The branches, without their last gain: slopes of the FFNs, states of the attentions, and what comes out."""
        slopes, attended, out = [], [], entering
        shared = len(at.hidden) + len(at.attention) > 1 or any(route.route.rows is not None for route in at.hidden)
        out = torch.empty_like(entering) if shared else entering
        for hidden in at.hidden:
            slope, branch = self._ffn(hidden.route.take(entering), hidden, number, keep and not shared)
            slopes.append(slope)
            out = hidden.route.put(out, branch)
        for attention in at.attention:
            state, branch = self._attend(attention.route.take(entering), attention, number)
            attended.append(state)
            out = attention.route.put(out, branch)
        return slopes, attended, out

    def _ffn(self, entering: Tensor, at: HiddenRoute, number: int, keep: bool) -> tuple[Tensor, Tensor]:
        units = at.ratio * self.width
        hidden = self._inner(entering, number, at, transpose=True, keep=keep)
        hidden = hidden.mul_(at.gain) if at.inner else hidden
        slope = _activate(hidden, at.activations)
        branch = self._product(hidden, self.draws.normal(f"outer {number}", self.width, units), transpose=True)
        return slope.mul_(at.gain) if at.inner else slope, branch

    def _attend(self, entering: Tensor, at: AttentionRoute, number: int) -> tuple[Attended, Tensor]:
        triple = self._product(entering, self.draws.normal(f"qkv {number}", 3 * self.width, self.width), transpose=True)
        turn = turn_of(at.rotary, entering.shape[-2], self.width // at.heads) if at.rotary.any() else None
        state, mixed = attend(triple.mul_(at.gain), at.heads, at.scale, turn, self.causal)
        return state, self._product(mixed, self.draws.normal(f"outer {number}", self.width, self.width), transpose=True)

    def _pull_back(self, vectors: Tensor, factor: Tensor, state: _Block, number: int) -> Tensor:
        """Cotangents [D, A, I, V, T, N] at a block's output, times their factors, brought to its input."""
        routes, at, active = self.routes, self.routes.at(number), vectors.shape[1]
        outer = state.on_sum.transpose_apply(vectors) if state.on_sum else vectors
        branch = outer * (routes.scale[number, :active] * factor)[..., None, None]
        branch = state.on_branch.transpose_apply(branch) if state.on_branch else branch
        branch = self._pull_branch(branch, state, at, number)
        branch = state.on_input.transpose_apply(branch) if state.on_input else branch
        return branch.addcmul_(outer, (routes.skip[number, :active] * factor)[..., None, None])

    def _pull_branch(self, branch: Tensor, state: _Block, at: BlockRoutes, number: int) -> Tensor:
        into = branch
        for hidden, slope in zip(at.hidden, state.slopes, strict=True):
            weights = self.draws.normal(f"outer {number}", self.width, hidden.ratio * self.width)
            pulled = self._product(hidden.route.take(branch), weights, transpose=False).mul_(slope)
            into = hidden.route.put(into, self._inner(pulled, number, hidden, transpose=False))
        for attention, attended in zip(at.attention, state.attended, strict=True):
            weights = self.draws.normal(f"outer {number}", self.width, self.width)
            mixed = self._product(attention.route.take(branch), weights, transpose=False)
            triple = pull_back(attended, mixed, attention.heads).mul_(attention.gain)
            weights = self.draws.normal(f"qkv {number}", 3 * self.width, self.width)
            into = attention.route.put(into, self._product(triple, weights, transpose=False))
        return into

    def _inner(self, vectors: Tensor, number: int, at: HiddenRoute, transpose: bool, keep: bool = False) -> Tensor:
        """The first matrix at the rows whose branch has two; the others pass. In place unless `vectors` are to be kept."""
        if at.inner is None:
            return vectors.clone() if keep else vectors
        weights = self.draws.normal(f"inner {number}", at.ratio * self.width, self.width)
        product = self._product(at.inner.take(vectors), weights, transpose)
        return product if at.inner.rows is None else at.inner.put(vectors.clone() if keep else vectors, product)

    def _product(self, vectors: Tensor, weights: Tensor, transpose: bool) -> Tensor:
        """Vectors [D, A, I, V, T, n] times shared weights [D, m, n] transposed, or [D, n, m]."""
        flat = vectors.reshape(len(weights), -1, vectors.shape[-1])
        if self._products is not None:
            flat, weights = flat.to(self._products), weights.to(self._products)
        product = torch.bmm(flat, weights.mT if transpose else weights).to(vectors.dtype)
        return product.view(*vectors.shape[:-1], product.shape[-1])

    def _samples(self, row: int, depth: int, *whole: Array) -> Samples:
        """What belongs to one row, up to its own depth, layers last."""
        energies, angles, tokens, back, back_angles, back_tokens, trip_angle, gram, decorrelation = whole
        layers = slice(depth + 1)
        forward = _layers_last(energies[layers, :, row])
        backward = _layers_last(back[layers, :, row])
        trips = backward[:, :, self.plan.cotangents :, 0]
        return Samples(
            stream=forward[:, :, 0].copy(),
            forward=forward[:, :, 1:].copy(),
            forward_angle=_layers_last(angles[layers, :, row]),
            backward=backward[:, :, : self.plan.cotangents].copy(),
            backward_angle=_layers_last(back_angles[layers, :, row]),
            round_trip=trips + forward[:, :, 1 : 1 + trips.shape[2], -1],
            round_trip_angle=trip_angle[:, row].copy(),
            decorrelation=decorrelation[:, row].copy(),
            cotangent_gram=gram[:, row].copy(),
            stream_tokens=_layers_last(tokens[layers, :, row])[:, :, :1].copy(),
            forward_tokens=_layers_last(tokens[layers, :, row])[:, :, 1:].copy(),
            backward_tokens=_layers_last(back_tokens[layers, :, row])[:, :, : self.plan.cotangents].copy(),
        )


def _norm(vectors: Tensor, at: NormRoute | None, keep: bool = False) -> tuple[_Norm | None, Tensor]:
    """The norm at the rows of its route: its linearization, and the result. In place unless `vectors` are to be kept."""
    if at is None:
        return None, vectors
    values = at.route.take(vectors)
    values = values - at.centering * values.mean(-1, keepdim=True)
    inverse = torch.rsqrt(values[..., :1, :, :].square().mean(-1, keepdim=True) + at.epsilon)
    values *= inverse
    unit, tangents = values[..., :1, :, :], values[..., 1:, :, :]
    tangents.addcmul_(unit, (tangents * unit).mean(-1, keepdim=True), value=-1)
    state = _Norm(at, unit.clone(), inverse)
    if at.route.rows is None:
        return state, values
    return state, at.route.put(vectors.clone() if keep else vectors, values)


def _activate(vectors: Tensor, routes: Sequence[tuple[str, Route]]) -> Tensor:
    """phi' [D, A, I, 1, T, n]; and, in place, phi of the streams and phi' times the tangents."""
    streams = vectors[..., :1, :, :]
    source = streams.contiguous()  # functions of numbers with gaps between them are rounded otherwise
    slope = torch.empty_like(source)
    for name, route in routes:
        chosen = route.take(source)
        values = ACTIVATIONS[name].function(chosen)
        slope = route.put(slope, ACTIVATIONS[name].derivative(chosen, values))
        if route.put(streams, values) is values:
            streams.copy_(values)
    vectors[..., 1:, :, :] *= slope
    return slope


def _growth(vectors: Tensor, carried: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Log energies per unit [..., V] of vectors [..., V, T, N], float64, and the factors [..., V] that make them 1.

    A zero vector has energy −inf and factor 1, and so does one that is not `carried`.
    """
    flat = vectors.flatten(-2)
    size = torch.linalg.vector_norm(flat, dim=-1).square_().div_(flat.shape[-1])
    rescaled = size > 0 if carried is None else (size > 0) & carried
    return size.to(torch.float64).log(), torch.where(rescaled, size.rsqrt(), torch.ones_like(size))


def _angle(vectors: Tensor, factor: Tensor) -> Tensor:
    """Squared cosine [...] between the first two of vectors [..., V, T, N], in float64; [..., 0] if they are fewer."""
    if vectors.shape[-3] < 2:
        return factor.new_zeros(*factor.shape[:-2], 0)
    dot = (vectors[..., 0, :, :] * vectors[..., 1, :, :]).flatten(-2).mean(-1)
    cosine: Tensor = dot * factor[..., 0] * factor[..., 1]
    return cosine.to(torch.float64).square()


def _differential(vectors: Tensor) -> Tensor:
    """Log shares [..., V] of vectors [..., V, T, N] that differ between tokens, float64; [..., 0] of a single token."""
    if vectors.shape[-2] == 1:
        return vectors.new_zeros(*vectors.shape[:-3], 0, dtype=torch.float64)
    apart, whole = (
        torch.linalg.vector_norm(each.flatten(-2), dim=-1).to(torch.float64).log()
        for each in (vectors - vectors.mean(-2, keepdim=True), vectors)
    )
    share: Tensor = 2 * (apart - whole)
    return share


def _cosines(vectors: Tensor) -> Tensor:
    """[..., I, I] cosines between vectors [..., I, N]."""
    unit = vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    cosines: Tensor = (unit[..., :, None, :] * unit[..., None, :, :]).sum(-1)
    return cosines


def _decorrelation(outputs: Tensor) -> Tensor:
    """1 − cosine between outputs [..., I, N] of two inputs, mean over pairs [...], in float64."""
    wide = outputs.to(torch.float64)
    unit = wide / torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    spread: Tensor = (unit - unit.mean(-2, keepdim=True)).square().sum((-2, -1))
    spread /= unit.shape[-2] - 1
    return spread


def _joined(values: Tensor, rows: int) -> Tensor:
    """Values [D, A, ...] with zeros for the rows that join."""
    if values.shape[1] == rows:
        return values
    return torch.cat([values, values.new_zeros(values.shape[0], rows - values.shape[1], *values.shape[2:])], dim=1)


def _nothing(energies: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What `_backward` gives where nothing goes back."""
    draws, rows = energies.shape[1:3]
    trips, gram = energies[0, ..., :0, 0], energies.new_zeros(draws, rows, 0, 0)
    return energies[..., :0], energies[..., :0, 0], tokens[..., :0], trips, gram


def _layers_last(values: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(values, 0, -1))


def _numpy(values: Tensor) -> Array:
    return values.to(torch.float64).cpu().numpy()
