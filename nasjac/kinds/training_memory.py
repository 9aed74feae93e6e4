"""The memory that training takes, counted on a module without memory of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.kinds.table import kind_of

#: bytes of a number, and of a parameter with its gradient and Adam's two moments
NUMBER, PARAMETER = 4, 16


def training_bytes(spec: Spec, inputs: int, outputs: int, batch: int) -> int:
    """Return the bytes that a step of AdamW takes in float32: parameters, gradients, moments and what is kept to go back.

    What is kept is counted on torch's own record of a forward pass of shapes, with each tensor once. What a kernel needs
    for a moment is not counted, and a fused kernel may keep less.

    Args:
        spec: A concrete architecture.
        inputs: The number of features of a sample, of numbers of an image, or of ids in a vocabulary.
        outputs: The number of classes, or of ids in a vocabulary.
        batch: Samples, or sequences, of a step.
    """
    spec = spec.canonical
    with torch.device("meta"):
        module = kind_of(spec).network(spec, inputs, outputs, None).train()
        tokens = spec.inputs.tokens
        sample = (tokens,) if tokens is not None else (inputs,)
        x = torch.empty(batch, *sample, dtype=torch.float32 if tokens is None else torch.int64)
    parameters = {part.untyped_storage()._cdata: part for part in module.parameters()}
    kept: dict[Any, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in parameters:
            kept[storage] = tensor
        return tensor

    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        end = module(x)
    activations = sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) + NUMBER * end.numel()
    return int(PARAMETER * sum(part.numel() for part in module.parameters()) + activations)
