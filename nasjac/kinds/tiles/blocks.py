"""The blocks of a tile, linearized: what carries streams and tangents forward carries cotangents back.

Every factor of a block's Jacobian is a weight matrix or symmetric: the derivative of an activation is diagonal, that of
softmax symmetric, and that of a norm is (1/σ)(C − x̂ x̂ᵀ / N), C the centering (the identity for RMSNorm). On the way back
the factors come in reverse order, with matrices transposed; no autograd graph is kept.

Letters: D draws, A active rows of a block, r those of a route, I inputs of a draw, V vectors [T, N] of an input (its stream
and tangents, or its cotangents), T tokens (1 of an MLP), N width, n hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nasjac.kinds.tiles.attention import Attended, attend, turn_of
from nasjac.kinds.tiles.attention import pull_back as pull_attention
from nasjac.kinds.tiles.routes import AttentionRoute, BlockRoutes, HiddenRoute, NormRoute, Route, Routes
from nasjac.mathematics.activations import ACTIVATIONS
from nasjac.sampling.draws import Draws


class Norm(NamedTuple):
    """A norm linearized at the rows of its route: x̂ [D, r, I, 1, T, N] and 1/σ [D, r, I, 1, T, 1]."""

    at: NormRoute
    unit: Tensor
    inverse: Tensor

    def transpose_apply(self, vectors: Tensor) -> Tensor:
        """Apply the norm's symmetric Jacobian to cotangents [D, A, I, V, T, N] at its rows, in place."""
        chosen = self.at.route.take(vectors)
        chosen = (chosen - self.at.centering * chosen.mean(-1, keepdim=True)).mul_(self.inverse)
        chosen.addcmul_(self.unit, (chosen * self.unit).mean(-1, keepdim=True), value=-1)
        return self.at.route.put(vectors, chosen)


class BlockState(NamedTuple):
    """One block of a tile, linearized: its norms, for each FFN route the inner gain times phi' [D, r, I, 1, T, n], or of a
    gated one the slopes of `_gated_product` [D, r, I, 1, T, 2n], and the state of each attention.
    """

    on_input: Norm | None
    slopes: list[Tensor]
    attended: list[Attended]
    on_branch: Norm | None
    on_sum: Norm | None


class Blocks:
    """The blocks of a tile's rows; `products` is the dtype of the matrix products, where it is not that of the draws."""

    def __init__(self, routes: Routes, draws: Draws, products: torch.dtype | None) -> None:
        self.routes, self.draws, self._products = routes, draws, products
        self.width, self.causal = routes.specs[0].width, routes.specs[0].causal

    def forward(self, vectors: Tensor, factor: Tensor, number: int) -> tuple[BlockState, Tensor]:
        """Push streams and tangents [D, A, I, V, T, N], times factors [D, A, I, V], through a block; return its state."""
        routes, at, active = self.routes, self.routes.at(number), vectors.shape[1]
        on_input, entering = _norm(vectors, at.on_input, keep=True)
        slopes, attended, branch = self._branch(entering, at, number, keep=entering is vectors)
        on_branch, branch = _norm(branch, at.on_branch)
        branch.mul_((routes.scale[number, :active] * factor)[..., None, None])
        branch.addcmul_(vectors, (routes.skip[number, :active] * factor)[..., None, None])
        on_sum, branch = _norm(branch, at.on_sum)
        return BlockState(on_input, slopes, attended, on_branch, on_sum), branch

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
        hidden = self._inner(entering, number, at, transpose=True, keep=keep)
        hidden = hidden.mul_(at.gain) if at.inner else hidden
        slope, hidden = _gated_product(hidden, at) if at.gated else (_activate(hidden, at.activations), hidden)
        branch = self._product(hidden, self.draws.normal(f"outer {number}", self.width, at.units), transpose=True)
        return slope.mul_(at.gain) if at.inner else slope, branch

    def _attend(self, entering: Tensor, at: AttentionRoute, number: int) -> tuple[Attended, Tensor]:
        triple = self._product(entering, self._attention_weights(number, at), transpose=True)
        turn = turn_of(at.rotary, entering.shape[-2], self.width // at.heads) if at.rotary.any() else None
        heads = at.heads, at.kv_heads
        state, mixed = attend(triple.mul_(at.gain), heads, at.scale, turn, self.causal, at.qk_norm)
        return state, self._product(mixed, self.draws.normal(f"outer {number}", self.width, self.width), transpose=True)

    def _attention_weights(self, number: int, at: AttentionRoute) -> Tensor:
        """Weights [D, N + 2 M, N] of queries, keys and values: of the latter as many as there are heads for."""
        weights, width = self.draws.normal(f"qkv {number}", 3 * self.width, self.width), self.width
        if at.kv_heads == at.heads:
            return weights
        kept = width // at.heads * at.kv_heads
        return torch.cat([weights[:, : width + kept], weights[:, 2 * width : 2 * width + kept]], dim=1)

    def pull_back(self, vectors: Tensor, factor: Tensor, state: BlockState, number: int) -> Tensor:
        """Pull cotangents [D, A, I, V, T, N] at a block's output, times their factors [D, A, I, V], back to its input."""
        routes, at, active = self.routes, self.routes.at(number), vectors.shape[1]
        outer = state.on_sum.transpose_apply(vectors) if state.on_sum else vectors
        branch = outer * (routes.scale[number, :active] * factor)[..., None, None]
        branch = state.on_branch.transpose_apply(branch) if state.on_branch else branch
        branch = self._pull_branch(branch, state, at, number)
        branch = state.on_input.transpose_apply(branch) if state.on_input else branch
        return branch.addcmul_(outer, (routes.skip[number, :active] * factor)[..., None, None])

    def _pull_branch(self, branch: Tensor, state: BlockState, at: BlockRoutes, number: int) -> Tensor:
        into = branch
        for hidden, slope in zip(at.hidden, state.slopes, strict=True):
            weights = self.draws.normal(f"outer {number}", self.width, hidden.units)
            pulled = self._product(hidden.route.take(branch), weights, transpose=False)
            pulled = torch.cat([pulled, pulled], dim=-1) if hidden.gated else pulled
            pulled = pulled.mul_(slope)
            into = hidden.route.put(into, self._inner(pulled, number, hidden, transpose=False))
        for attention, attended in zip(at.attention, state.attended, strict=True):
            weights = self.draws.normal(f"outer {number}", self.width, self.width)
            mixed = self._product(attention.route.take(branch), weights, transpose=False)
            triple = pull_attention(attended, mixed, attention.heads).mul_(attention.gain)
            weights = self._attention_weights(number, attention)
            into = attention.route.put(into, self._product(triple, weights, transpose=False))
        return into

    def _inner(self, vectors: Tensor, number: int, at: HiddenRoute, transpose: bool, keep: bool = False) -> Tensor:
        """The first matrix, with a gated branch's second under it, at the rows whose branch has it; the others pass.

        In place unless `vectors` are to be kept.
        """
        if at.inner is None:
            return vectors.clone() if keep else vectors
        role, units = (f"gated {number}", 2 * at.units) if at.gated else (f"inner {number}", at.units)
        weights = self.draws.normal(role, units, self.width)
        product = self._product(at.inner.take(vectors), weights, transpose)
        return product if at.inner.rows is None else at.inner.put(vectors.clone() if keep else vectors, product)

    def _product(self, vectors: Tensor, weights: Tensor, transpose: bool) -> Tensor:
        """Vectors [D, A, I, V, T, n] times shared weights [D, m, n] transposed, or [D, n, m]."""
        flat = vectors.reshape(len(weights), -1, vectors.shape[-1])
        if self._products is not None:
            flat, weights = flat.to(self._products), weights.to(self._products)
        product = torch.bmm(flat, weights.mT if transpose else weights).to(vectors.dtype)
        return product.view(*vectors.shape[:-1], product.shape[-1])


def _norm(vectors: Tensor, at: NormRoute | None, keep: bool = False) -> tuple[Norm | None, Tensor]:
    """The norm at the rows of its route: its linearization, and the result. In place unless `vectors` are to be kept."""
    if at is None:
        return None, vectors
    values = at.route.take(vectors)
    values = values - at.centering * values.mean(-1, keepdim=True)
    inverse = torch.rsqrt(values[..., :1, :, :].square().mean(-1, keepdim=True) + at.epsilon)
    values *= inverse
    unit, tangents = values[..., :1, :, :], values[..., 1:, :, :]
    tangents.addcmul_(unit, (tangents * unit).mean(-1, keepdim=True), value=-1)
    state = Norm(at, unit.clone(), inverse)
    if at.route.rows is None:
        return state, values
    return state, at.route.put(vectors.clone() if keep else vectors, values)


def _activate(vectors: Tensor, routes: Sequence[tuple[str, Route]]) -> Tensor:
    """phi' [D, A, I, 1, T, n]; and, in place, phi of the streams and phi' times the tangents."""
    streams = vectors[..., :1, :, :]
    source = streams.contiguous()  # elementwise functions round differently on strided memory
    slope = torch.empty_like(source)
    for name, route in routes:
        chosen = route.take(source)
        values = ACTIVATIONS[name].function(chosen)
        slope = route.put(slope, ACTIVATIONS[name].derivative(chosen, values))
        if route.put(streams, values) is values:
            streams.copy_(values)
    vectors[..., 1:, :, :] *= slope
    return slope


def _gated_product(vectors: Tensor, at: HiddenRoute) -> tuple[Tensor, Tensor]:
    """phi(a) ∘ b of a and b side by side [D, r, I, V, T, 2n], streams and tangents: its slopes, and the product [..., n].

    The slopes [D, r, I, 1, T, 2n] are phi'(a) b and phi(a), times the gain of the first two matrices.
    """
    inner, up = (part.contiguous() for part in vectors.chunk(2, dim=-1))
    slope = _activate(inner, at.activations)
    value, factor = (part[..., :1, :, :].clone() for part in (inner, up))
    inner *= factor
    inner[..., 1:, :, :].addcmul_(value, up[..., 1:, :, :])
    return torch.cat([slope * factor, value], dim=-1), inner
