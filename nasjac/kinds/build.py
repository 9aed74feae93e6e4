"""From a Spec to a network: one file a kind."""

from __future__ import annotations

import math

import torch
from torch import nn

from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import LARGEST, instance, whole
from nasjac.foundation.errors import InputError
from nasjac.foundation.memory import free
from nasjac.kinds.convolutional.network import ImageNetwork, initialize
from nasjac.kinds.densenet.network import DenseNet
from nasjac.kinds.residual_mlp.network import ResidualMLP
from nasjac.kinds.resnet.network import ResNet
from nasjac.kinds.transformer.network import TransformerLM, VisionTransformer


def build(spec: Spec, inputs: int, outputs: int, generator: torch.Generator | None = None) -> nn.Module:
    """An ordinary module, initialized by the law that scores assume; pruned blocks are left out.

    residual_mlp    [batch, inputs] -> [batch, outputs]
    transformer_lm  ids below `inputs` [batch, T] -> [batch, T, outputs]; T at most the spec's `context`
    resnet, densenet, vit  images of the spec's `shape`, `inputs` numbers each, [batch, inputs] or [batch, *shape] ->
                    [batch, outputs]

    InputError: an ensemble, which stands for many networks; another number of inputs than the images have; a network that
    is too large for the memory.
    """
    instance("spec", spec, Spec, "a Spec")
    inputs, outputs = whole("inputs", inputs, 1, LARGEST), whole("outputs", outputs, 1, LARGEST)
    if generator is not None:
        instance("generator", generator, torch.Generator, "a torch.Generator")
    if spec.is_ensemble:
        raise InputError("`skip` must be 0 or 1 in every block of a network to build, got a probability (an ensemble)")
    if spec.takes_images and inputs != math.prod(spec.shape):
        rule = f"the numbers of an image of `shape` {spec.shape}, {math.prod(spec.shape)}"
        raise InputError(f"`inputs` must be {rule}, got {inputs}")
    spec = spec.canonical
    _check_memory(spec, inputs, outputs)
    if spec.kind == "residual_mlp":
        return ResidualMLP(spec, inputs, outputs, generator)
    if spec.kind == "transformer_lm":
        return TransformerLM(spec, inputs, outputs, generator)
    if spec.kind == "vit":
        return VisionTransformer(spec, outputs, generator)
    return _convolutional(spec, outputs, generator)


def _check_memory(spec: Spec, inputs: int, outputs: int) -> None:
    """InputError if the weights are certain not to fit, of which this counts fewer than there are."""
    matrix = {"densenet": spec.growth, "resnet": spec.width**2 // 16}.get(spec.kind, spec.width**2)
    weights = spec.width * (outputs if spec.convolves else inputs + outputs) + matrix * sum(b.keep for b in spec.blocks)
    needed, there = 4 * weights, free(torch.device("cpu"))
    if needed > there:
        got = f"at least {needed / 2**30:.3g} GiB of weights with {there / 2**30:.3g} GiB free"
        raise InputError(f"`spec` must be of a network that fits into memory, got {got} (`width` {spec.width})")


def _convolutional(spec: Spec, outputs: int, generator: torch.Generator | None) -> ImageNetwork:
    network = (ResNet if spec.kind == "resnet" else DenseNet)(spec, outputs)
    initialize(network, spec, lambda _, shape: torch.randn(shape, generator=generator))
    return network
