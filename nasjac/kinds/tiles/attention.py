"""Attention of a tile's rows, linearized: streams and tangents forward, cotangents back.

Letters: D draws, r rows of the route, I inputs, V vectors of an input (its stream first, then its tangents; or
cotangents), T tokens, N width, H heads of d = N / H units.

With S = c Q Kᵀ (masked), A = softmax S and O = A V̂ the tangents are

    dS = c (dQ Kᵀ + Q dKᵀ),   dA = A ∘ (dS − rowsum(A ∘ dS)),   dO = dA V̂ + A dV̂

and the cotangents the same in reverse. Where queries of several heads share K and V̂, these are repeated, and their
cotangents added up. A norm on queries and keys (Henry et al. 2020) has the symmetric Jacobian (1/σ)(I − x̂ x̂ᵀ / d).
Rotary positions (Su et al. 2021) turn queries and keys, and their cotangents back.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nasjac.architecture.norm_placement import NORM_EPS

#: base of the wavelengths of rotary positions
ROTARY_BASE = 10_000.0


class HeadNorm(NamedTuple):
    """An RMSNorm of heads' vectors, linearized: x̂ [D, r, I, 1, H, T, d] and 1/σ [D, r, I, 1, H, T, 1]."""

    unit: Tensor
    inverse: Tensor

    def __call__(self, vectors: Tensor) -> Tensor:
        """Apply the norm's symmetric Jacobian to vectors [D, r, I, V, H, T, d]."""
        return (vectors - self.unit * (vectors * self.unit).mean(-1, keepdim=True)) * self.inverse


class Attended(NamedTuple):
    """Attention at its linearization: weights A [D, r, I, 1, H, T, T], queries, keys and values [D, r, I, 1, H, T, d].

    Queries are turned and scaled by c, keys are turned; `turn` is what turned them, and `norms` are those of queries and
    keys before. `shared` heads have the same keys and values, which are there once for each.
    """

    weights: Tensor
    queries: Tensor
    keys: Tensor
    values: Tensor
    scale: Tensor
    turn: Turn | None
    norms: tuple[HeadNorm, HeadNorm] | None
    shared: int


class Turn(NamedTuple):
    """Cosines and sines [r, 1, 1, 1, T, d]: by rotary positions, or 1 and 0 for rows that have learned ones."""

    cosine: Tensor
    sine: Tensor

    def __call__(self, vectors: Tensor, back: bool = False) -> Tensor:
        """Return vectors [D, r, I, V, H, T, d] turned by their positions, or turned back."""
        first, second = vectors.chunk(2, dim=-1)
        turned = torch.cat([second, -first] if back else [-second, first], dim=-1)
        return vectors * self.cosine + turned * self.sine


def turn_of(rotary: Tensor, tokens: int, units: int) -> Turn:
    """Return the turn of heads of `units` units; rows where `rotary` [r] is 0 are not turned."""
    frequency = ROTARY_BASE ** (-torch.arange(units // 2, dtype=torch.float64, device=rotary.device) * 2 / units)
    angle = (torch.arange(tokens, device=rotary.device)[:, None] * frequency).repeat(1, 2)
    gate = rotary.to(torch.float64).reshape(-1, 1, 1, 1, 1, 1) * angle
    return Turn(gate.cos().to(rotary), gate.sin().to(rotary))


def attend(
    triple: Tensor, heads: tuple[int, int], scale: Tensor, turn: Turn | None, causal: bool, qk_norm: bool = False
) -> tuple[Attended, Tensor]:
    """Return the attention and the mixed values [D, r, I, V, T, N] of streams and tangents.

    `triple` [D, r, I, V, T, N + 2 M] holds queries, keys and values.

    `heads`  of queries, and of keys and values, which have M units together
    `scale`  c of each row, [r, 1, 1, 1, 1]
    """
    queries, keys, values = _parts(triple, *heads)
    norms = None
    if qk_norm:
        (first, queries), (second, keys) = _normed(queries), _normed(keys)
        norms = first, second
    if turn is not None:
        queries, keys = turn(queries), turn(keys)
    queries = queries * scale[..., None]
    shared = heads[0] // heads[1]
    if shared > 1:
        keys, values = (part.repeat_interleave(shared, dim=-3) for part in (keys, values))
    query, key, value = (part[..., :1, :, :, :] for part in (queries, keys, values))
    logits = query @ key.mT
    if causal:
        tokens = logits.shape[-1]
        future = torch.ones(tokens, tokens, dtype=torch.bool, device=logits.device).triu(1)
        logits = logits.masked_fill(future, -math.inf)
    weights = torch.softmax(logits, dim=-1)
    state = Attended(weights, query, key, value, scale, turn, norms, shared)
    moved = (part[..., 1:, :, :, :] for part in (queries, keys, values))
    return state, _joined(torch.cat([weights @ value, _tangents(state, *moved)], dim=3))


def _tangents(at: Attended, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    slopes = _softmax_slopes(at.weights, queries @ at.keys.mT + at.queries @ keys.mT)
    return slopes @ at.values + at.weights @ values


def _normed(vectors: Tensor) -> tuple[HeadNorm, Tensor]:
    """The norm of heads' vectors [D, r, I, V, H, T, d] at the streams, and what it makes of streams and tangents."""
    stream = vectors[..., :1, :, :, :]
    inverse = torch.rsqrt(stream.square().mean(-1, keepdim=True) + NORM_EPS)
    norm = HeadNorm(stream * inverse, inverse)
    return norm, torch.cat([norm.unit, norm(vectors[..., 1:, :, :, :])], dim=-4)


def pull_back(at: Attended, mixed: Tensor, heads: int) -> Tensor:
    """Return cotangents [D, r, I, V, T, N + 2 M] of queries, keys and values from those of the mixed values `mixed`."""
    outer = _split(mixed, heads)
    values = at.weights.mT @ outer
    logits = _softmax_slopes(at.weights, outer @ at.values.mT)
    queries, keys = (logits @ at.keys) * at.scale[..., None], logits.mT @ at.queries
    if at.shared > 1:
        keys, values = (_added_up(part, at.shared) for part in (keys, values))
    if at.turn is not None:
        queries, keys = at.turn(queries, back=True), at.turn(keys, back=True)
    if at.norms is not None:
        queries, keys = at.norms[0](queries), at.norms[1](keys)
    return torch.cat([_joined(part) for part in (queries, keys, values)], dim=-1)


def _softmax_slopes(weights: Tensor, logits: Tensor) -> Tensor:
    """A ∘ (X − rowsum(A ∘ X)): the derivative of softmax, which is symmetric."""
    moved = weights * logits
    return moved.addcmul_(weights, moved.sum(-1, keepdim=True), value=-1)


def _added_up(vectors: Tensor, shared: int) -> Tensor:
    """[..., H, T, d] of heads that are repeated: the sums over each `shared` of them."""
    return vectors.reshape(*vectors.shape[:-3], -1, shared, *vectors.shape[-2:]).sum(-3)


def _parts(triple: Tensor, heads: int, kv_heads: int) -> list[Tensor]:
    """Queries, keys and values by head, of heads of d = (N + 2 M) / (heads + 2 kv_heads) units."""
    units = triple.shape[-1] // (heads + 2 * kv_heads)
    parts = torch.split_with_sizes(triple, [units * heads, units * kv_heads, units * kv_heads], dim=-1)
    return [_split(part, count) for part, count in zip(parts, (heads, kv_heads, kv_heads), strict=True)]


def _split(vectors: Tensor, heads: int) -> Tensor:
    """[..., T, N] as [..., H, T, d]."""
    return vectors.reshape(*vectors.shape[:-1], heads, -1).transpose(-2, -3)


def _joined(vectors: Tensor) -> Tensor:
    """[..., H, T, d] as [..., T, N]."""
    return vectors.transpose(-2, -3).flatten(-2)
