"""The transformer decoder as an ordinary module."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from nasjac.activations import ACTIVATIONS
from nasjac.networks.attention import turn_of
from nasjac.networks.layers import linear, norm_of
from nasjac.placement import PLACEMENTS, residual_block
from nasjac.spec import Block, Spec


class TransformerLM(nn.Module):
    """Token embedding, residual attention and FFN branches, readout: ids [batch, T] -> logits [batch, T, outputs].

    Attention is causal. Weights are as in `ResidualMLP`, queries and keys with `spec.query_gain`; the embedding is standard
    normal, or has half of that variance beside as much from learned positions, `spec.context` of them. The Jacobians that
    nasjac scores are those between `stream`'s tensors h_0 ... h_L, of all tokens to all tokens.
    """

    def __init__(self, spec: Spec, inputs: int, outputs: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        learned = spec.positions == "learned"
        deviation = math.sqrt(0.5) if learned else 1.0
        self.embedding = _table(inputs, spec.width, deviation, generator)
        self.positions = _table(spec.context, spec.width, deviation, generator) if learned else None
        self.blocks = nn.ModuleList(TransformerBlock(spec, block, generator) for block in spec.blocks)
        self.final_norm = norm_of(spec, PLACEMENTS[spec.placement].before_readout)
        self.readout = linear(spec.width, outputs, 1.0, generator)

    def stream(self, ids: Tensor) -> Iterator[Tensor]:
        """h_0 (embedding and positions), h_1, ..., h_L (before final norm and readout), each [batch, T, width]."""
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions.weight[: ids.shape[-1]]
        yield x
        for block in self.blocks:
            x = block(x)
            yield x

    def forward(self, ids: Tensor) -> Tensor:
        *_, last = self.stream(ids)
        return self.readout(self.final_norm(last))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """x -> skip * x + scale * F(x), F attention or an FFN, with the norms of its placement. The gates are buffers."""

    skip: Tensor
    scale: Tensor

    def __init__(self, spec: Spec, block: Block, generator: torch.Generator | None = None) -> None:
        super().__init__()
        placement = PLACEMENTS[spec.placement]
        self.norm_input = norm_of(spec, placement.on_input)
        self.norm_branch = norm_of(spec, placement.on_branch)
        self.norm_sum = norm_of(spec, placement.on_sum)
        self.branch = (Attention if block.op == "attention" else FeedForward)(spec, generator)
        self.register_buffer("skip", torch.tensor(float(block.skip)))
        self.register_buffer("scale", torch.tensor(float(block.scale)))

    def forward(self, x: Tensor) -> Tensor:
        return residual_block(x, (self.norm_input, self.norm_branch, self.norm_sum), self.branch, self.skip, self.scale)


class FeedForward(nn.Module):
    """W2 phi(W1 x), with `ffn_ratio` × width hidden units."""

    def __init__(self, spec: Spec, generator: torch.Generator | None = None) -> None:
        super().__init__()
        units = spec.ffn_ratio * spec.width
        self.inner = linear(spec.width, units, spec.weight_gain, generator)
        self.activation = ACTIVATIONS[spec.activation].function
        self.outer = linear(units, spec.width, spec.weight_gain, generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.activation(self.inner(x)))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Causal softmax attention of `heads` heads (Vaswani et al. 2017)."""

    def __init__(self, spec: Spec, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.heads, units = spec.heads, spec.width // spec.heads
        self.logit_scale = 1 / math.sqrt(units) if spec.logit_scale == "inverse_sqrt" else 1 / units
        self.rotary = spec.positions == "rotary"
        self.query, self.key = (linear(spec.width, spec.width, spec.query_gain, generator) for _ in range(2))
        self.value, self.outer = (linear(spec.width, spec.width, spec.weight_gain, generator) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            layer(x).reshape(*x.shape[:-1], self.heads, -1).transpose(-2, -3)
            for layer in (self.query, self.key, self.value)
        )
        if self.rotary:
            turn = turn_of(x.new_ones(1), x.shape[-2], x.shape[-1] // self.heads)
            query, key = turn(query), turn(key)
        logits = self.logit_scale * (query @ key.mT)
        future = torch.ones(logits.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        mixed = torch.softmax(logits.masked_fill(future, -math.inf), dim=-1) @ value
        return self.outer(mixed.transpose(-2, -3).flatten(-2))  # type: ignore[no-any-return]


def _table(rows: int, width: int, deviation: float, generator: torch.Generator | None) -> nn.Embedding:
    table = nn.Embedding(rows, width, device="meta").to_empty(device="cpu")
    nn.init.normal_(table.weight, std=deviation, generator=generator)
    return table
