"""The contract of a kind's surgery: how its networks grow and lose branches, with rules that kinds share.

A block maps its input x to `bypassed(x)` + `added(x)`; without its branch it maps x to `bypassed(x)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from torch import Tensor, nn

from nasjac.architecture.block import Block
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.kinds.modules.layers import factor


class Surgery:
    """The rules by which a kind of network grows and loses branches.

    The defaults hold for any module whose list `blocks` holds modules x -> x + F(x).
    """

    #: how many residual branches make one layer, which is inserted as one
    layer_size = 1
    #: what F is in the first block of a network that had none
    first_op = "ffn"
    #: the dataset of a checkpoint that names none
    dataset = "digits"

    def growth_refusal(self, spec: Spec) -> str | None:
        """Return the sentence why no block can be put into the network of `spec`, or None where one can."""
        return self.skip_refusal(spec)

    def skip_refusal(self, spec: Spec) -> str | None:
        """Return why F(x) is not block(x) − x in the network of `spec`, as `added` has it, or None where it is."""
        cut = any(block.keep and block.skip != 1 for block in spec.blocks)
        return f"`checkpoint` must be of blocks that all have their skip in a {spec.kind}, got one without" if cut else None

    def pruning_refusal(self, spec: Spec) -> str | None:
        """Return the sentence why no branch can be taken out of the network of `spec`, or None where one can."""
        return self.skip_refusal(spec)

    def identity_fault(self, spec: Spec) -> str | None:
        """Return why no new block of the network is the identity, whatever its branch is, or None where one may be."""
        return None

    def held(self, spec: Spec) -> float:
        """Return the factor of the skips beside the blocks' own; a block that has lost its branch has none."""
        return 1.0

    def new_op(self, spec: Spec, before: Sequence[Block], place: int) -> str:
        """Return the op of a new block, which says what its branch F is.

        Args:
            spec: The network's canonical Spec before it grows.
            before: The blocks that precede the new one, new ones included.
            place: The number of the Spec's blocks among them.
        """
        near = [*before[-1:], *spec.blocks[place : place + 1]]
        return near[0].op if spec.blocks else self.first_op

    def zero_last(self, spec: Spec, block: nn.Module) -> None:
        """Zero the last layer of the branch of `block`, so that the block is the identity.

        Raises:
            InputError: The kind does not say which layer that is.
        """
        raise InputError(
            f"`init` must be another one in a {spec.kind}, which does not name its last layer, got 'zero_last'"
        )

    def added(self, block: nn.Module, x: Tensor) -> Tensor:
        """Return F(x), what the block adds to its identity or shortcut at x [G, ...], scale and norms included."""
        return cast(Tensor, block(x)) - x

    def bypassed(self, block: nn.Module, x: Tensor) -> Tensor:
        """Return what is left of the block at x [G, ...] without its branch."""
        return x


class PlacedBlock(Protocol):
    """A block whose norms are placed as `nasjac.architecture.norm_placement` says."""

    skip: Tensor
    scale: Tensor
    gate: nn.Parameter | None
    norm_input: nn.Module
    norm_branch: nn.Module
    norm_sum: nn.Module

    def branch(self, x: Tensor) -> Tensor: ...


class PlacedSurgery(Surgery):
    """Rules for blocks whose norms are placed as `nasjac.architecture.norm_placement` says."""

    #: the name of a branch's last layer in its block
    last = "outer"

    def skip_refusal(self, spec: Any) -> str | None:
        return None  # `added` knows the skip

    def identity_fault(self, spec: Any) -> str | None:
        on_sum = PLACEMENTS[spec.placement].on_sum
        return f"`placement` {spec.placement} ends a block with a norm of the sum" if on_sum else None

    def zero_last(self, spec: Any, block: nn.Module) -> None:
        # behind a norm on the branch a zero vector would have a slope of 1/√ε
        zero(block.get_submodule("norm_branch" if PLACEMENTS[spec.placement].on_branch else self.last))

    def added(self, block: nn.Module, x: Tensor) -> Tensor:
        placed = cast(PlacedBlock, block)
        if not isinstance(placed.norm_sum, nn.Identity):  # J_F is J − I then, the norm included
            return cast(Tensor, block(x)) - placed.skip * x
        branch = placed.norm_branch(placed.branch(placed.norm_input(x)))
        return cast(Tensor, factor(placed.scale, placed.gate) * branch)


class SteppedSurgery(Surgery):
    """Rules for blocks that may be steps in time: leaky and implicit ones are no sums of identity and branch."""

    def growth_refusal(self, spec: Any) -> str | None:
        block = spec.canonical.block
        return (
            None if block == "explicit" else f"`checkpoint` must be of explicit blocks x + F(x) to grow, got {block} ones"
        )

    def pruning_refusal(self, spec: Any) -> str | None:
        solved = spec.canonical.block == "implicit"
        return "`checkpoint` must be of explicit or leaky blocks to prune, got implicit ones" if solved else None

    def held(self, spec: Any) -> float:
        held: float = spec.gates[0]
        return held


def zero(layer: nn.Module) -> None:
    """Set all parameters of a layer to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
