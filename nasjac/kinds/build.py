"""Building the module of a Spec: `nasjac.build`."""

from __future__ import annotations

import torch
from torch import nn

from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import LARGEST, instance, whole
from nasjac.foundation.errors import InputError
from nasjac.foundation.memory import free
from nasjac.kinds.table import kind_of


def build(spec: Spec, inputs: int, outputs: int, generator: torch.Generator | None = None) -> nn.Module:
    """Build an ordinary module, initialized by the law that scores assume; pruned blocks are left out.

    Args:
        spec: An architecture whose skips are 0 or 1.
        inputs: The number of features of a sample, of numbers of an image, or of ids in a decoder's vocabulary.
        outputs: The number of classes, or of ids in a decoder's vocabulary.
        generator: The generator of the weights; None is torch's global one.

    Returns:
        A module: of features [batch, inputs] -> [batch, outputs]; of token ids [batch, T], T at most the Spec's context,
        -> [batch, T, outputs]; of images [batch, inputs] or [batch, *shape] -> [batch, outputs].

    Raises:
        InputError: an ensemble, which stands for many networks; another number of inputs than the images have; a network
            that is too large for the memory.
    """
    instance("spec", spec, Spec, "a Spec")
    inputs, outputs = whole("inputs", inputs, 1, LARGEST), whole("outputs", outputs, 1, LARGEST)
    if generator is not None:
        instance("generator", generator, torch.Generator, "a torch.Generator")
    if spec.is_ensemble:
        raise InputError("`skip` must be 0 or 1 in every block of a network to build, got a probability (an ensemble)")
    numbers = spec.inputs.features
    if numbers is not None and inputs != numbers:
        raise InputError(
            f"`inputs` must be the numbers of an image of `shape` {spec.inputs.shape}, {numbers}, got {inputs}"
        )
    spec = spec.canonical
    _check_memory(spec, inputs if numbers is None else 0, outputs)
    return kind_of(spec).network(spec, inputs, outputs, generator)


def _check_memory(spec: Spec, inputs: int, outputs: int) -> None:
    """Raise InputError where a lower bound of the weights is more than the free memory."""
    needed, there = 4 * (spec.width * (inputs + outputs) + spec.least_weights), free(torch.device("cpu"))
    if needed > there:
        got = f"at least {needed / 2**30:.3g} GiB of weights with {there / 2**30:.3g} GiB free"
        raise InputError(f"`spec` must be of a network that fits into memory, got {got} (`width` {spec.width})")
