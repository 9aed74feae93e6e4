"""The densely connected network of images as an ordinary module (Huang et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasjac.architecture.block import Block
from nasjac.kinds.convolutional.network import Branch, ImageNetwork
from nasjac.kinds.densenet.spec import DenseNet
from nasjac.kinds.images import Conv, Step
from nasjac.mathematics.activations import ACTIVATIONS


class DenseNetNetwork(ImageNetwork):
    """Stem, dense blocks in stages, head: images [batch, *shape] -> [batch, outputs].

    Every block adds `spec.growth` channels to those it sees; each stage after the first begins with a transition. Weights,
    padding and the scored Jacobians are as in `ResNet`, the gain being `spec.weight_gain` in transitions too. Layers grow:
    raw norms of Jacobians grow with them, those per unit of the later layer need not.
    """

    def __init__(self, spec: DenseNet, outputs: int) -> None:
        super().__init__(spec, [DenseBlock(spec, *pair) for pair in zip(spec.blocks, spec.steps, strict=True)], outputs)


class DenseBlock(nn.Module):
    """x -> [z, scale * F(z)], z = x or its transition; in the post order F ends with its activation.

    The gate `scale` is a buffer. A pruned block has no F.
    """

    scale: Tensor

    def __init__(self, spec: DenseNet, block: Block, step: Step) -> None:
        super().__init__()
        self.pre, self.activation = spec.order == "pre", ACTIVATIONS[spec.activation].function
        self.transition = Transition(spec, step.change) if step.change else nn.Identity()
        self.branch = Branch(spec, step.branch) if step.branch else None
        self.register_buffer("scale", torch.tensor(float(block.scale)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.transition(x)
        if self.branch is None:
            return x
        fresh = self.branch(x)
        return torch.cat([x, self.scale * (fresh if self.pre else self.activation(fresh))], dim=1)


class Transition(nn.Module):
    """A 1x1 convolution to half the channels, with its norm and activation, and then the mean of each 2 x 2 pixels."""

    def __init__(self, spec: DenseNet, conv: Conv) -> None:
        super().__init__()
        self.pre, self.activation = spec.order == "pre", ACTIVATIONS[spec.activation].function
        self.branch = Branch(spec, [conv])

    def forward(self, x: Tensor) -> Tensor:
        x = self.branch(x)
        return F.avg_pool2d(x if self.pre else self.activation(x), 2)
