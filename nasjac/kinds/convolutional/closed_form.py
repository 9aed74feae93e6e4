"""Closed forms of networks of images: expected energies of their branches, and the facts that follow from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from nasjac.architecture.facts import Facts, facts_of
from nasjac.architecture.size import Size
from nasjac.kinds.convolutional.energies import Energies, ImageStack, ImageUnit
from nasjac.kinds.convolutional.spec import ConvolutionalSpec
from nasjac.kinds.options.stepped import passes

S = TypeVar("S", bound=ConvolutionalSpec)


def image_stack(spec: ConvolutionalSpec, growth: int = 0) -> ImageStack:
    """Return the units of a network of images; each block of a DenseNet adds `growth` channels."""
    units = []
    for block, step in zip(spec.blocks, spec.steps, strict=True):
        strength, moved = spec.gates if block.keep else (1.0, 1.0)
        channels, changes = step.inside.channels, step.change is not None
        scale, skip = block.scale * moved, block.skip if block.keep else 1.0
        units.append(ImageUnit(len(step.branch), changes, skip, scale, channels, growth, strength))
    return ImageStack(spec.activation, spec.norm, spec.order == "pre", spec.weight_gain**2, units)


def facts(specs: Sequence[S], energies: Callable[[S], Energies], size: Callable[[S], Size]) -> list[Facts]:
    """Return the facts of canonical Specs, in order.

    Args:
        specs: Specs of one kind.
        energies: Gives the energies of a Spec's branches.
        size: Gives the parameters and FLOPs of a Spec's blocks.
    """
    return [_facts(spec, energies(spec), size(spec)) for spec in specs]


def _facts(spec: ConvolutionalSpec, energies: Energies, size: Size) -> Facts:
    effective, nonlinear = math.fsum(energies.share), math.fsum(energies.share * energies.nonlinearity)
    return facts_of(spec, effective, nonlinear, *size)


def image_size(spec: ConvolutionalSpec, has_norm: Callable[[bool], bool]) -> Size:
    """Return parameters and FLOPs of the blocks of a network of images.

    Args:
        spec: The network.
        has_norm: Says whether a convolution has a norm; its argument is whether it changes the shape.
    """
    params = flops = 0
    for number, step in enumerate(spec.steps):
        for conv, layer in step.placed():
            weights = conv.inputs * conv.outputs * conv.kernel**2
            biases = conv.outputs if spec.norm == "none" else 0
            normed = (conv.inputs if spec.order == "pre" else conv.outputs) * has_norm(conv is step.change)
            params += weights + biases + 2 * normed
            flops += 2 * weights * layer.pixels * passes(spec, number)
    return Size(params, flops)
