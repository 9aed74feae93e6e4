"""From a Spec to a network: one file a kind."""

from __future__ import annotations

import math

import torch
from torch import nn

from nasjac.errors import InputError
from nasjac.networks.convolutions import ImageNetwork, initialize
from nasjac.networks.densenet import DenseNet
from nasjac.networks.mlp import ResidualMLP
from nasjac.networks.resnet import ResNet
from nasjac.networks.transformer import TransformerLM, VisionTransformer
from nasjac.spec import Spec


def build(spec: Spec, inputs: int, outputs: int, generator: torch.Generator | None = None) -> nn.Module:
    """An ordinary module, initialized by the law that scores assume; pruned blocks are left out.

    residual_mlp    [batch, inputs] -> [batch, outputs]
    transformer_lm  ids below `inputs` [batch, T] -> [batch, T, outputs]; T at most the spec's `context`
    resnet, densenet, vit  images of the spec's `shape`, `inputs` numbers each, [batch, inputs] or [batch, *shape] ->
                    [batch, outputs]

    ValueError: an ensemble, which stands for many networks; another number of inputs than the images have.
    """
    if spec.is_ensemble:
        raise InputError("`skip` must be 0 or 1 in every block of a network to build, got a probability (an ensemble)")
    if spec.takes_images and inputs != math.prod(spec.shape):
        rule = f"the numbers of an image of `shape` {spec.shape}, {math.prod(spec.shape)}"
        raise InputError(f"`inputs` must be {rule}, got {inputs}")
    spec = spec.canonical
    if spec.kind == "residual_mlp":
        return ResidualMLP(spec, inputs, outputs, generator)
    if spec.kind == "transformer_lm":
        return TransformerLM(spec, inputs, outputs, generator)
    if spec.kind == "vit":
        return VisionTransformer(spec, outputs, generator)
    return _convolutional(spec, outputs, generator)


def _convolutional(spec: Spec, outputs: int, generator: torch.Generator | None) -> ImageNetwork:
    network = (ResNet if spec.kind == "resnet" else DenseNet)(spec, outputs)
    initialize(network, spec, lambda _, shape: torch.randn(shape, generator=generator))
    return network
