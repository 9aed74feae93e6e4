"""A classification dataset in memory, split and standardized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Data:
    """Standardized inputs [n, features] float32 and labels [n] int64 in 0 ... outputs − 1, in two splits."""

    train_inputs: Tensor
    train_labels: Tensor
    valid_inputs: Tensor
    valid_labels: Tensor
    outputs: int

    @property
    def inputs(self) -> int:
        """Number of features."""
        return self.train_inputs.shape[1]


class Dataset(Protocol):
    """A dataset's options: `name` is what the store calls it, `load()` reads it (ValueError: it cannot be read)."""

    @property
    def name(self) -> str: ...

    def load(self) -> Data: ...


def standardized(inputs: Tensor, labels: Tensor, valid: Tensor, outputs: int) -> Data:
    """`inputs` [n, features] and `labels` [n] of any numeric type, split by the mask `valid` [n] and standardized.

    Each feature loses its mean, and all are divided by one number, so that the training inputs have mean square 1 (not
    feature by feature: a pixel that is almost always blank would become noise). Both are the training split's own.
    """
    train_inputs, valid_inputs = inputs[~valid].float(), inputs[valid].float()
    mean = train_inputs.mean(dim=0)
    train_inputs -= mean
    scale = train_inputs.square().mean().sqrt()
    if not scale > 0:
        raise ValueError(f"`inputs` must differ from each other, got {len(train_inputs)} equal training inputs")
    labels = labels.to(torch.int64)
    return Data(train_inputs / scale, labels[~valid], (valid_inputs - mean) / scale, labels[valid], outputs)
