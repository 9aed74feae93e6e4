"""The residual MLP as an ordinary module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nasjac.architecture.block import Block
from nasjac.architecture.norm_placement import PLACEMENTS, residual_block
from nasjac.kinds.modules.implicit import SolvingBlock, bdf2
from nasjac.kinds.modules.layers import factor, gate_of, linear, norm_of
from nasjac.kinds.modules.network import ResidualNetwork
from nasjac.kinds.residual_mlp.spec import ResidualMLP
from nasjac.mathematics.activations import ACTIVATIONS


class ResidualMLPNetwork(ResidualNetwork):
    """A residual MLP of embedding, residual blocks and readout: [batch, inputs] -> [batch, outputs].

    Weights are N(0, gain² / fan_in), the gain being `spec.weight_gain` inside blocks and 1 in embedding and readout; biases
    are zero. The Jacobians that nasjac scores are those between `stream`'s tensors h_0 ... h_L.
    """

    def __init__(self, spec: ResidualMLP, inputs: int, outputs: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.embedding = linear(inputs, spec.width, 1.0, generator)
        self.blocks = nn.ModuleList(
            ResidualBlock(spec, block, spec.solves(number), generator) for number, block in enumerate(spec.blocks)
        )
        self.implicit = [spec.solves(number) for number in range(len(spec.blocks))]
        self.final_norm = norm_of(spec, PLACEMENTS[spec.placement].before_readout)
        self.readout = linear(spec.width, outputs, 1.0, generator)

    def start(self, x: Tensor) -> Tensor:
        """Return h_0 [batch, width], the output of the embedding."""
        return self.embedding(x)  # type: ignore[no-any-return]

    def takes_before(self, number: int) -> bool:
        """An implicit block is a step of BDF-2, which goes on from two states."""
        return self.implicit[number]

    def forward(self, x: Tensor) -> Tensor:
        *_, last = self.stream(x)
        return self.readout(self.final_norm(last))  # type: ignore[no-any-return]


class ResidualBlock(SolvingBlock):
    """x -> skip * x + scale * F(x), with the norms of its placement. The gates `skip` and `scale` are buffers; the factors
    of leaky and explicit steps are in them. An `implicit` block is a step of BDF-2 instead
    (`nasjac.kinds.modules.implicit`), and takes the input of the block before too where that is a step itself.

    `residual` is what was left of its equation the last time: not above `nasjac.kinds.modules.implicit.TOLERANCES`, or the
    output is not a number.
    """

    skip: Tensor
    scale: Tensor

    def __init__(
        self, spec: ResidualMLP, block: Block, implicit: bool = False, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.implicit, self.step, self.leak, self.residual = implicit, spec.step, spec.leak, 0.0
        placement = PLACEMENTS[spec.placement]
        self.norm_input = norm_of(spec, placement.on_input)
        self.norm_branch = norm_of(spec, placement.on_branch)
        self.norm_sum = norm_of(spec, placement.on_sum)
        two, units = spec.branch == "two_matrix", spec.ffn_ratio * spec.width
        self.inner = linear(spec.width, units, spec.weight_gain, generator) if two else nn.Identity()
        self.activation = ACTIVATIONS[spec.activation].function
        self.outer = linear(units, spec.width, spec.weight_gain, generator)
        held, moved = (1.0, 1.0) if implicit else spec.gates
        self.register_buffer("skip", torch.tensor(float(block.skip * held)))
        self.register_buffer("scale", torch.tensor(float(block.scale * moved)))
        self.gate = gate_of(block)

    def branch(self, x: Tensor) -> Tensor:
        """F: W2 phi(W1 x) with `ffn_ratio` × width hidden units, or W phi(x) where the branch has one matrix."""
        return self.outer(self.activation(self.inner(x)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor, before: Tensor | None = None) -> Tensor:
        if not self.implicit:
            norms = (self.norm_input, self.norm_branch, self.norm_sum)
            return residual_block(x, norms, self.branch, self.skip, factor(self.scale, self.gate))
        y, self.residual = bdf2(self.slope, x, before, self.step, self.leak)
        return self.norm_sum(y)  # type: ignore[no-any-return]

    def slope(self, x: Tensor) -> Tensor:
        """F with its scale and its norms, but that on the sum: dx/dt without the leak."""
        branch = self.norm_branch(self.branch(self.norm_input(x)))
        return factor(self.scale, self.gate) * branch  # type: ignore[no-any-return]
