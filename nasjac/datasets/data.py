"""A dataset in memory, split: standardized features to classify, or token ids to continue."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs and labels in two splits, training and validation: n samples of features, or n windows of T tokens.

    Features: standardized inputs [n, features] float32, and labels [n] int64 in 0 ... outputs − 1.
    Tokens: ids [n, T] int64 in 0 ... outputs − 1, and labels [n, T] int64, the id that follows each.

    `outputs`  number of classes; of tokens, size of the vocabulary
    `shape`    of images (channels, rows, columns), which the features run through in this order, the last one fastest;
               None for tokens, and for features without neighbours

    InputError: splits that are no such tensors, not as many labels as inputs, labels or ids that are none of `outputs`,
    features that are not finite, a shape of another number of features.
    """

    train_inputs: Tensor
    train_labels: Tensor
    valid_inputs: Tensor
    valid_labels: Tensor
    outputs: int
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        arguments.whole("outputs", self.outputs, 1)
        for name in ("train_inputs", "train_labels", "valid_inputs", "valid_labels"):
            given = getattr(self, name)
            if not isinstance(given, Tensor):
                raise InputError(f"`{name}` must be a tensor, got {type(given).__name__}")
            split = given.detach().cpu()
            object.__setattr__(self, name, split)
            choices = (torch.int64,) if name.endswith("labels") else (torch.float32, torch.float64, torch.int64)
            if split.dtype not in choices:
                rule = " or ".join(str(kind).removeprefix("torch.") for kind in choices)
                raise InputError(f"`{name}` must be {rule}, got {str(split.dtype).removeprefix('torch.')}")
        for inputs, labels in ((self.train_inputs, self.train_labels), (self.valid_inputs, self.valid_labels)):
            (self._check_ids if self.is_tokens else self._check_features)(inputs, labels)
        if self.is_tokens and self.shape is not None:
            raise InputError(f"`dataset` must have no shape of images where it has tokens, got {self.shape}")
        if self.shape is not None and math.prod(self.shape) != self.inputs:
            raise InputError(f"`dataset` must have as many features as its shape {self.shape}, got {self.inputs}")

    @property
    def is_tokens(self) -> bool:
        """Whether inputs are token ids."""
        return not self.train_inputs.is_floating_point()

    @property
    def inputs(self) -> int:
        """Number of features; of tokens, size of the vocabulary."""
        return self.outputs if self.is_tokens else self.train_inputs.shape[1]

    @cached_property
    def digest(self) -> str:
        """12 hexadecimal digits of all that decides what is learnt here and how it is judged.

        These are inputs and labels of both splits, with their types and sizes, `outputs` and `shape`. Nothing else tells
        data apart: a dataset's name is the same whatever its file holds.
        """
        splits = (self.train_inputs, self.train_labels, self.valid_inputs, self.valid_labels)
        kinds = [[str(split.dtype), *split.shape] for split in splits]
        found = hashlib.sha256(json.dumps([kinds, self.outputs, self.shape]).encode())
        for split in splits:
            found.update((split + 0).contiguous().numpy().data)  # + 0: the two zeros are one number
        return found.hexdigest()[:12]

    def _check_features(self, inputs: Tensor, labels: Tensor) -> None:
        if inputs.ndim != 2 or labels.shape != inputs.shape[:1] or inputs.shape[1] != self.train_inputs.shape[1]:
            rule = "features [n, features] and labels [n], of as many features in both splits"
            raise InputError(f"`dataset` must hold {rule}, got {[*inputs.shape]} and {[*labels.shape]}")
        if not inputs.isfinite().all():
            found = int((~inputs.isfinite()).sum())
            raise InputError(f"`dataset` must hold finite numbers, got {found} that are not, of {inputs.numel()}")
        self._check_range(labels, "labels below the number of its classes")

    def _check_ids(self, inputs: Tensor, labels: Tensor) -> None:
        if inputs.ndim != 2 or labels.shape != inputs.shape:
            rule = "token ids [n, T] and as many labels"
            raise InputError(f"`dataset` must hold {rule}, got {[*inputs.shape]} and {[*labels.shape]}")
        for ids in (inputs, labels):
            self._check_range(ids, "ids below the size of its vocabulary")

    def _check_range(self, values: Tensor, rule: str) -> None:
        if values.numel() and not (values.min() >= 0 and values.max() < self.outputs):
            got = f"{int(values.min())} to {int(values.max())}"
            raise InputError(f"`dataset` must hold {rule}, {self.outputs}, got {got}")


@runtime_checkable
class Dataset(Protocol):
    """A dataset's options, a frozen dataclass."""

    @property
    def name(self) -> str:
        """The label of the dataset in databases and reports."""

    def load(self) -> Data:
        """Read the dataset, the same at every call.

        Returns:
            Its two splits; features are standardized (`standardized`).

        Raises:
            InputError: It cannot be read; names what must be there.
        """


def standardized(inputs: Tensor, labels: Tensor, valid: Tensor, outputs: int, shape: tuple[int, ...] | None = None) -> Data:
    """`inputs` [n, features] and `labels` [n] of any numeric type, split by the mask `valid` [n] and standardized.

    Each feature loses its mean, and all are divided by one number, so that the training inputs have mean square 1 (not
    feature by feature: a pixel that is almost always blank would become noise). Both are the training split's own.
    """
    train_inputs, valid_inputs = inputs[~valid].float(), inputs[valid].float()
    if not len(train_inputs) or not train_inputs.isfinite().all():
        got = "one that is not" if len(train_inputs) else "no training inputs"
        raise InputError(f"`dataset` must hold training inputs that are finite in float32, got {got}")
    # by numpy's sums in float64: torch's depend on the number of threads, and with them the data's digest would
    mean = torch.from_numpy(train_inputs.numpy().mean(axis=0, dtype=np.float64)).float()
    train_inputs -= mean
    scale = float(np.float32(np.sqrt(np.square(train_inputs.numpy()).mean(dtype=np.float64))))
    if not scale > 0:
        rule = "training inputs that differ from each other"
        raise InputError(f"`dataset` must hold {rule}, got {len(train_inputs)} equal training inputs")
    train_inputs /= scale
    labels = labels.to(torch.int64)
    return Data(train_inputs, labels[~valid], (valid_inputs - mean) / scale, labels[valid], outputs, shape)


def check_kind(data: Data, spec: Spec) -> None:
    """InputError unless the data are what the network takes: features, images of its shape, windows of its context."""
    wanted = spec.inputs
    if data.is_tokens != wanted.takes_ids:
        rule = "tokens (text)" if wanted.takes_ids else "features or images"
        got = f"token ids (a vocabulary of {data.outputs})" if data.is_tokens else f"{data.inputs} features"
        raise InputError(f"`dataset` must hold {rule} for a {spec.kind}, got {got}")
    if wanted.shape is not None and data.shape != wanted.shape:
        got = f"{data.inputs} features without a shape" if data.shape is None else f"images of shape {data.shape}"
        raise InputError(f"`dataset` must hold images of shape {wanted.shape}, the network's, got {got}")
    length = data.train_inputs.shape[1]
    if wanted.tokens is not None and length != wanted.tokens:
        raise InputError(f"`dataset` must hold windows of {wanted.tokens} tokens, the network's context, got {length}")
