"""The residual network of images as an ordinary module (He et al. 2016a, b)."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn

from nasjac.architecture.block import Block
from nasjac.kinds.convolutional.network import Branch, ImageNetwork, conv_of, image_norm_of
from nasjac.kinds.images import Conv, Step
from nasjac.kinds.modules.implicit import SolvingBlock, bdf2
from nasjac.kinds.modules.layers import factor, gate_of
from nasjac.kinds.resnet.spec import ResNet
from nasjac.mathematics.activations import ACTIVATIONS


class ResNetNetwork(ImageNetwork):
    """Stem, residual blocks in stages, head: images [batch, *shape] -> [batch, outputs].

    Stage n has 2^n × width channels and 1/2^n of the rows and columns, rounded up. Weights are N(0, gain² / fan_in), the
    gain being `spec.weight_gain` in branches and 1 elsewhere. The Jacobians that nasjac scores are those between
    `stream`'s tensors h_0 ... h_L. Convolutions see zeros around the image, as people use them: at the border a share of
    the energy is lost in each, 1 − ((3H − 2)/(3H))² of H × H pixels, which looks like a vanishing gradient in small images.
    """

    def __init__(self, spec: ResNet, outputs: int) -> None:
        blocks = [
            ResNetBlock(spec, block, step, spec.solves(number))
            for number, (block, step) in enumerate(zip(spec.blocks, spec.steps, strict=True))
        ]
        super().__init__(spec, blocks, outputs)
        self.implicit = [spec.solves(number) for number in range(len(spec.blocks))]

    def takes_before(self, number: int) -> bool:
        """An implicit block is a step of BDF-2, which goes on from two states."""
        return self.implicit[number]


class ResNetBlock(SolvingBlock):
    """x -> skip * P(x) + scale * F(x), in the post order with an activation after it. The gates are buffers.

    The shortcut P is the identity; where a stage begins it is a 1x1 convolution of stride 2, in the post order with a norm.
    A pruned block has no F. Steps, leaks and `implicit` blocks are as in `nasjac.kinds.residual_mlp.network.ResidualBlock`;
    with BatchNorm the equation of a block couples the batch, and running statistics are updated by its solution alone.
    """

    skip: Tensor
    scale: Tensor

    def __init__(self, spec: ResNet, block: Block, step: Step, implicit: bool = False) -> None:
        super().__init__()
        self.implicit, self.step, self.leak, self.residual = implicit, spec.step, spec.leak, 0.0
        self.pre, self.activation = spec.order == "pre", ACTIVATIONS[spec.activation].function
        identity = nn.Identity() if step.start == step.end else None  # cut where it cannot be
        self.shortcut = Shortcut(spec, step.change) if step.change else identity
        self.branch = Branch(spec, step.branch) if step.branch else None
        held, moved = (1.0, 1.0) if implicit or not block.keep else spec.gates
        self.register_buffer("skip", torch.tensor(float(block.skip * held)))
        self.register_buffer("scale", torch.tensor(float(block.scale * moved)))
        self.gate = gate_of(block)

    def forward(self, x: Tensor, before: Tensor | None = None) -> Tensor:
        if self.implicit:
            norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
            total, self.residual = bdf2(self.slope, x, before, self.step, self.leak, norms)
            return total if self.pre else self.activation(total)
        paths = ((self.skip, self.shortcut), (factor(self.scale, self.gate), self.branch))
        total = reduce(torch.add, [gate * path(x) for gate, path in paths if path is not None])
        return total if self.pre else self.activation(total)

    def slope(self, x: Tensor) -> Tensor:
        """F with its scale: dx/dt without the leak."""
        assert self.branch is not None
        return factor(self.scale, self.gate) * self.branch(x)  # type: ignore[no-any-return]


class Shortcut(nn.Module):
    """The projection that takes the identity's place between stages."""

    def __init__(self, spec: ResNet, conv: Conv) -> None:
        super().__init__()
        self.projection = conv_of(spec, conv)
        self.norm = nn.Identity() if spec.order == "pre" else image_norm_of(spec, conv.outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.projection(x))  # type: ignore[no-any-return]
