"""Transformers as ordinary modules: a decoder over token ids, an encoder over the patches of an image."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from nasjac.architecture.block import Block
from nasjac.architecture.norm_placement import PLACEMENTS, residual_block
from nasjac.kinds.modules.layers import factor, gate_of, linear, norm_of, with_memory
from nasjac.kinds.modules.network import ResidualNetwork
from nasjac.kinds.transformer.branches import Attention, FeedForward
from nasjac.kinds.transformer.patches import patches
from nasjac.kinds.transformer.spec import Decoder, Transformer, VisionTransformer


class TransformerNetwork(ResidualNetwork):
    """The base class of decoders and encoders: embedding, positions, residual branches, final norm and readout.

    Weights are as in `ResidualMLP`, queries and keys with `spec.query_gain`. Embedded tokens of standard normal inputs have
    unit variance, half of it from learned positions, `spec.context` of them, where the spec has those. The Jacobians that
    nasjac scores are those between `stream`'s tensors h_0 ... h_L, of all tokens to all tokens.
    """

    def __init__(self, spec: Transformer, embedding: nn.Module, outputs: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.embedding = embedding
        learned = spec.positions == "learned"
        self.positions = _table(spec.context, spec.width, embedding_gain(spec), generator) if learned else None
        self.blocks = nn.ModuleList(TransformerBlock(spec, block, generator) for block in spec.blocks)
        self.final_norm = norm_of(spec, PLACEMENTS[spec.placement].before_readout)
        self.readout = linear(spec.width, outputs, 1.0, generator)

    @abstractmethod
    def embed(self, inputs: Tensor) -> Tensor:
        """Return embedded tokens [batch, T, width], without their positions."""

    def start(self, x: Tensor) -> Tensor:
        """Return h_0 [batch, T, width], the embedding with learned positions."""
        x = self.embed(x)
        return x if self.positions is None else x + self.positions.weight[: x.shape[-2]]


class DecoderNetwork(TransformerNetwork):
    """A causal decoder: ids [batch, T] -> logits [batch, T, outputs]."""

    def __init__(self, spec: Decoder, inputs: int, outputs: int, generator: torch.Generator | None = None) -> None:
        super().__init__(spec, _table(inputs, spec.width, embedding_gain(spec), generator), outputs, generator)

    def embed(self, inputs: Tensor) -> Tensor:
        return self.embedding(inputs)  # type: ignore[no-any-return]

    def forward(self, ids: Tensor) -> Tensor:
        *_, last = self.stream(ids)
        return self.readout(self.final_norm(last))  # type: ignore[no-any-return]


class VisionTransformerNetwork(TransformerNetwork):
    """An encoder over patches (Dosovitskiy et al. 2021): images [batch, *shape], or flat, -> [batch, outputs].

    The readout takes in the mean over tokens behind the final norm.
    """

    def __init__(self, spec: VisionTransformer, outputs: int, generator: torch.Generator | None = None) -> None:
        units = spec.shape[0] * spec.patch**2
        super().__init__(spec, linear(units, spec.width, embedding_gain(spec), generator), outputs, generator)
        self.shape, self.patch = spec.shape, spec.patch

    def embed(self, inputs: Tensor) -> Tensor:
        images = inputs.reshape(len(inputs), -1)
        return self.embedding(patches(images, self.shape, self.patch))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        *_, last = self.stream(images)
        return self.readout(self.final_norm(last).mean(-2))  # type: ignore[no-any-return]


def embedding_gain(spec: Transformer) -> float:
    """Return the standard deviation of embedded tokens, and of learned positions where a Spec has them."""
    return math.sqrt(0.5) if spec.positions == "learned" else 1.0


class TransformerBlock(nn.Module):
    """x -> skip * x + scale * F(x), F attention or an FFN, with the norms of its placement. The gates are buffers."""

    skip: Tensor
    scale: Tensor

    def __init__(self, spec: Transformer, block: Block, generator: torch.Generator | None = None) -> None:
        super().__init__()
        placement = PLACEMENTS[spec.placement]
        self.norm_input = norm_of(spec, placement.on_input)
        self.norm_branch = norm_of(spec, placement.on_branch)
        self.norm_sum = norm_of(spec, placement.on_sum)
        self.branch = (Attention if block.op == "attention" else FeedForward)(spec, generator)
        self.register_buffer("skip", torch.tensor(float(block.skip)))
        self.register_buffer("scale", torch.tensor(float(block.scale)))
        self.gate = gate_of(block)

    def forward(self, x: Tensor) -> Tensor:
        norms = (self.norm_input, self.norm_branch, self.norm_sum)
        return residual_block(x, norms, self.branch, self.skip, factor(self.scale, self.gate))


def _table(rows: int, width: int, deviation: float, generator: torch.Generator | None) -> nn.Embedding:
    table = with_memory(nn.Embedding(rows, width, device="meta"))
    nn.init.normal_(table.weight, std=deviation, generator=generator)
    return table


def vision_transformer(
    spec: VisionTransformer, inputs: int, outputs: int, generator: torch.Generator | None = None
) -> VisionTransformerNetwork:
    """Return an encoder's module; `inputs` is not used, for the Spec's shape says how many numbers an image has."""
    return VisionTransformerNetwork(spec, outputs, generator)
