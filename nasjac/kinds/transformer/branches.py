"""The branches of a transformer's blocks as ordinary modules: an FFN and attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nasjac.architecture.norm_placement import NORM_EPS
from nasjac.kinds.modules.layers import linear
from nasjac.kinds.tiles.attention import turn_of
from nasjac.kinds.transformer.spec import Transformer
from nasjac.mathematics.activations import ACTIVATIONS


class FeedForward(nn.Module):
    """W2 phi(W1 x), or gated W2 (phi(W1 x) ∘ V x), with `ffn_units` hidden units; W1 is `inner`, V `up`, W2 `outer`."""

    def __init__(self, spec: Transformer, generator: torch.Generator | None = None) -> None:
        super().__init__()
        units = spec.ffn_units
        self.inner = linear(spec.width, units, spec.weight_gain, generator)
        self.activation = ACTIVATIONS[spec.activation].function
        self.up = linear(spec.width, units, spec.weight_gain, generator) if spec.ffn == "gated" else None
        self.outer = linear(units, spec.width, spec.weight_gain, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return the branch's output [..., T, N] for its input of the same shape."""
        hidden = self.activation(self.inner(x))
        return self.outer(hidden if self.up is None else hidden * self.up(x))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Softmax attention of `heads` heads (Vaswani et al. 2017), causal in a decoder.

    Queries of `heads / kv_heads` consecutive heads share the keys and values of one (Ainslie et al. 2023).
    """

    def __init__(self, spec: Transformer, generator: torch.Generator | None = None) -> None:
        super().__init__()
        units = spec.width // spec.heads
        self.logit_scale = 1 / math.sqrt(units) if spec.logit_scale == "inverse_sqrt" else 1 / units
        self.rotary, self.causal = spec.positions == "rotary", spec.causal
        self.units, self.shared = units, spec.width // spec.kv_width
        self.query = linear(spec.width, spec.width, spec.query_gain, generator)
        self.key = linear(spec.width, spec.kv_width, spec.query_gain, generator)
        self.value = linear(spec.width, spec.kv_width, spec.weight_gain, generator)
        self.outer = linear(spec.width, spec.width, spec.weight_gain, generator)
        norms = (nn.RMSNorm(units, eps=NORM_EPS) if spec.qk_norm else nn.Identity() for _ in range(2))
        self.query_norm, self.key_norm = norms

    def forward(self, x: Tensor) -> Tensor:
        """Return the branch's output [..., T, N] for its input of the same shape."""
        query, key, value = (
            layer(x).reshape(*x.shape[:-1], -1, self.units).transpose(-2, -3)
            for layer in (self.query, self.key, self.value)
        )
        query, key = self.query_norm(query), self.key_norm(key)
        if self.rotary:
            turn = turn_of(x.new_ones(1), x.shape[-2], self.units)
            query, key = (turn(part).reshape(part.shape) for part in (query, key))  # without the axes of draws
        if self.shared > 1:
            key, value = (part.repeat_interleave(self.shared, dim=-3) for part in (key, value))
        logits = self.logit_scale * (query @ key.mT)
        if self.causal:
            future = torch.ones(logits.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
            logits = logits.masked_fill(future, -math.inf)
        mixed = torch.softmax(logits, dim=-1) @ value
        return self.outer(mixed.transpose(-2, -3).flatten(-2))  # type: ignore[no-any-return]
