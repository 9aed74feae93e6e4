"""The law of the weights, for modules whose layers are linear maps and convolutions."""

from __future__ import annotations

import math

import torch
from torch import nn

from nasjac.kinds.modules.network import Normal

#: layers with gain 1, in the place of an identity or outside the blocks; those inside have the spec's `weight_gain`
PLAIN = ("stem", "embedding", "projection", "readout")


@torch.no_grad()
def initialize(network: nn.Module, weight_gain: float, normal: Normal) -> None:
    """Set weights to N(0, gain² / fan_in), fan_in the input channels times the kernel's pixels, and biases to zero.

    Args:
        network: The module; its layers in `PLAIN` have gain 1, all others `weight_gain`.
        weight_gain: The gain in branches.
        normal: Gives standard normal numbers for the layer of a name.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            gain = 1.0 if name.rpartition(".")[2] in PLAIN else weight_gain
            layer.weight.copy_(normal(name, layer.weight.shape) * (gain / math.sqrt(layer.weight[0].numel())))
            if layer.bias is not None:
                layer.bias.zero_()
