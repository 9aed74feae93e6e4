"""The layers that networks of images are made of, and the law of their weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nasjac.architecture.norm_placement import NORM_EPS
from nasjac.kinds.convolutional.spec import ConvolutionalSpec
from nasjac.kinds.images import Conv
from nasjac.kinds.modules.initialize import initialize
from nasjac.kinds.modules.layers import with_memory
from nasjac.kinds.modules.network import ResidualNetwork
from nasjac.mathematics.activations import ACTIVATIONS

#: most groups of a GroupNorm, and fewest channels of a group
GROUPS, GROUP_CHANNELS = 8, 4


def conv_of(spec: ConvolutionalSpec, conv: Conv) -> nn.Conv2d:
    """Return a convolution with zeros around the image, not initialized; it has biases where the Spec has no norms."""
    padding, bias = conv.kernel // 2, spec.norm == "none"
    return with_memory(nn.Conv2d(*conv, padding=padding, bias=bias, device="meta"))


def readout_of(channels: int, outputs: int) -> nn.Linear:
    """Return the last layer, a linear map that is not initialized."""
    return with_memory(nn.Linear(channels, outputs, device="meta"))


def image_norm_of(spec: ConvolutionalSpec, channels: int) -> nn.Module:
    """Return the Spec's norm of images with so many channels."""
    if spec.norm == "none":
        return nn.Identity()
    if spec.norm == "batchnorm":
        return nn.BatchNorm2d(channels, eps=NORM_EPS)
    return nn.GroupNorm(groups_of(channels), channels, eps=NORM_EPS)


def groups_of(channels: int) -> int:
    """Return the number of groups of a GroupNorm: at most 8, and a single one where a group would have under 4 channels."""
    most = max(1, min(GROUPS, channels // GROUP_CHANNELS))
    return max(count for count in range(1, most + 1) if channels % count == 0)


class Branch(nn.Module):
    """Convolutions with norms and activations: pre, conv(phi(norm(x))) each; post, norm(conv(x)), with phi between them."""

    def __init__(self, spec: ConvolutionalSpec, convs: Sequence[Conv]) -> None:
        super().__init__()
        self.pre, self.activation = spec.order == "pre", ACTIVATIONS[spec.activation].function
        self.convs = nn.ModuleList(conv_of(spec, conv) for conv in convs)
        self.norms = nn.ModuleList(image_norm_of(spec, conv.inputs if self.pre else conv.outputs) for conv in convs)

    def forward(self, x: Tensor) -> Tensor:
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = conv(self.activation(norm(x))) if self.pre else norm(conv(self.activation(x) if number else x))
        return x


class ImageNetwork(ResidualNetwork):
    """The base class of ResNets and DenseNets: stem, blocks and head; images -> [batch, outputs].

    The stem is a 3x3 convolution, in the post order with norm and activation after it; the head averages each channel over
    its pixels and reads out, in the pre order after norm and activation. Images are [batch, *shape], or flat as in a
    dataset, [batch, features].
    """

    def __init__(self, spec: ConvolutionalSpec, blocks: Sequence[nn.Module], outputs: int) -> None:
        super().__init__()
        self.shape, self.pre, self.activation = spec.shape, spec.order == "pre", ACTIVATIONS[spec.activation].function
        channels = spec.steps[-1].end.channels if spec.blocks else spec.width
        self.stem = conv_of(spec, Conv(spec.shape[0], spec.width, 3))
        self.norm = image_norm_of(spec, channels if self.pre else spec.width)
        self.blocks = nn.ModuleList(blocks)
        self.readout = readout_of(channels, outputs)

    def start(self, x: Tensor) -> Tensor:
        """Return h_0 [batch, channels, rows, columns], the output of the stem."""
        x = self.stem(x.reshape(len(x), *self.shape))
        return x if self.pre else self.activation(self.norm(x))

    def features(self, last: Tensor) -> Tensor:
        """Return the readout's input [batch, channels] from h_L [batch, channels, rows, columns]."""
        last = self.activation(self.norm(last)) if self.pre else last
        return last.mean((-2, -1))

    def forward(self, x: Tensor) -> Tensor:
        *_, last = self.stream(x)
        return self.readout(self.features(last))  # type: ignore[no-any-return]


def built_by(network: Callable[..., ImageNetwork]) -> Callable[..., ImageNetwork]:
    """Return a function that makes an initialized module from (spec, inputs, outputs, generator).

    Args:
        network: Makes a module, not initialized, from (spec, outputs).
    """

    def build(spec: ConvolutionalSpec, inputs: int, outputs: int, generator: torch.Generator | None) -> ImageNetwork:
        made = network(spec, outputs)
        initialize(made, spec.weight_gain, lambda _, shape: torch.randn(shape, generator=generator))
        return made

    return build
