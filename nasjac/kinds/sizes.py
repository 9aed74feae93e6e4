"""The size of Specs of any kinds: of their blocks alone, or with embedding, stem, last norm and readout."""

from __future__ import annotations

import torch

from nasjac.architecture.size import Size
from nasjac.architecture.spec import Spec
from nasjac.kinds.table import kind_of


def size_of(spec: Spec) -> Size:
    """Return parameters and FLOPs of a Spec's blocks."""
    spec = spec.canonical
    return kind_of(spec).size_of(spec)


def outside_params(spec: Spec, inputs: int, outputs: int) -> int:
    """Return the number of parameters outside the blocks, counted on a module without memory.

    Args:
        spec: An architecture.
        inputs: The number of features of a sample, of numbers of an image, or of ids in a vocabulary.
        outputs: The number of classes, or of ids in a vocabulary.
    """
    spec = spec.canonical
    with torch.device("meta"):
        module = kind_of(spec).network(spec, inputs, outputs, None)
    inside = {id(parameter) for parameter in module.blocks.parameters()}
    return sum(parameter.numel() for parameter in module.parameters() if id(parameter) not in inside)


def whole_size_of(spec: Spec, inputs: int, outputs: int) -> Size:
    """Return all parameters of a network, and the FLOPs of its blocks; arguments as of `outside_params`."""
    size = size_of(spec)
    return Size(size.params + outside_params(spec, inputs, outputs), size.flops)
