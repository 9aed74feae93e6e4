"""Architectures and data for contract tests."""

from __future__ import annotations

import torch
from torch import Tensor

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.datasets.data import Data

#: features where a Spec takes any number of them, and ids of a vocabulary
FEATURES, VOCABULARY = 12, 7


def inputs_of(spec: Spec, count: int = 64) -> Tensor:
    """[count, features] standard normal numbers, or [count, T] ids; the same at every call."""
    generator = torch.Generator().manual_seed(1)
    if spec.inputs.tokens is not None:
        return torch.randint(VOCABULARY, (count, spec.inputs.tokens), generator=generator)
    return torch.randn(count, spec.inputs.features or FEATURES, generator=generator)


def size_of(spec: Spec) -> int:
    """The first size that `nasjac.build` takes: features of an input, or ids of the vocabulary."""
    return VOCABULARY if spec.inputs.takes_ids else inputs_of(spec).shape[1]


def three_blocks() -> Spec:
    """A small residual MLP, one block of which has no skip and one a scaled branch."""
    return Spec.of(width=8, blocks=(Block(), Block(skip=0.0), Block(scale=0.5)), placement="pre")


def clusters(dtype: torch.dtype = torch.float32) -> Data:
    """Two noisy clusters in three dimensions, 40 points in each split; the same at every call."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(80) % 2
    inputs = torch.randn(80, 3, generator=generator, dtype=dtype) + 2 * labels[:, None]
    return Data(inputs[:40], labels[:40], inputs[40:], labels[40:], outputs=2)
