"""Sampling of transformers: as rows of tiles, behind an embedding of token ids or of patches."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from nasjac.kinds.sampler import Network
from nasjac.kinds.tiles.rows import Row, row_of
from nasjac.kinds.tiles.sampler import TileSampler
from nasjac.kinds.tiles.tile import Embed, projected
from nasjac.kinds.transformer.patches import patches
from nasjac.kinds.transformer.spec import Decoder, Transformer, VisionTransformer


class TransformerSampler(TileSampler[Transformer]):
    """A sampler that puts transformers with the same width, context and embedding into tiles.

    Args:
        network: Makes a module from (spec, inputs, outputs, generator).
        embed: Makes the embedding of a tile's inputs from one of its Specs.
        alike: Gives what the embedding of a Spec depends on beside width and context.
    """

    def __init__(
        self,
        network: Network,
        embed: Callable[..., Embed],
        alike: Callable[..., tuple[object, ...]],
    ) -> None:
        super().__init__(network)
        self._embed, self._alike = embed, alike

    def common(self, spec: Transformer) -> tuple[object, ...] | None:
        """Return width, context and what the embedding depends on."""
        return spec.width, spec.context, *self._alike(spec)

    def row(self, spec: Transformer) -> Row:
        """Return a Spec as a row of a tile."""
        units = spec.width // spec.heads
        return row_of(
            spec,
            spec,
            units=spec.ffn_units,
            gated=spec.ffn == "gated",
            heads=spec.heads,
            kv_heads=spec.kv_heads or spec.heads,
            qk_norm=spec.qk_norm,
            query_gain=spec.query_gain,
            logit_factor=1 / math.sqrt(units) if spec.logit_scale == "inverse_sqrt" else 1 / units,
            rotary=spec.positions == "rotary",
            learned=spec.positions == "learned",
            causal=spec.causal,
        )

    def embed(self, spec: Transformer) -> Embed:
        """Return the embedding of the inputs of a Spec's tile."""
        return self._embed(spec)


def embedded_ids(spec: Decoder) -> Embed:
    """Return the embedding of token ids by a table that is drawn for the vocabulary."""
    return lambda samples, draws, vocabulary: torch.stack(
        [rows[ids] for rows, ids in zip(draws.normal("tokens", vocabulary or 0, spec.width), samples.long(), strict=True)]
    )


def embedded_patches(spec: VisionTransformer) -> Embed:
    """Return the embedding of images by a linear map of each patch's pixels."""
    return lambda samples, draws, _: projected(patches(samples, spec.shape, spec.patch), draws, spec.width)
