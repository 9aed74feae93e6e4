"""Inputs that a Spec takes, for contract tests."""

from __future__ import annotations

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec

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
