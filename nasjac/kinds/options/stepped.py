"""Specs whose blocks may be steps in time of dx/dt = F(x) − D x, F the branch and D the leak."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from nasjac.architecture.block import Block
from nasjac.architecture.fields import check_choice, settle
from nasjac.architecture.spec import Spec
from nasjac.foundation.arguments import number
from nasjac.foundation.errors import InputError

#: passes through F that an implicit block counts as: 4 Newton steps of two each, 14 products with its Jacobian and one
#: more, as counted at h = 1/2 and gain 1; fewer at smaller steps, and several times as many at h = 1
IMPLICIT_PASSES = 23
BLOCK_TYPES = ("explicit", "leaky", "implicit")


@dataclass(frozen=True, repr=False)
class SteppedSpec(Spec):
    """The fields of Specs whose blocks may be steps in time.

    Args:
        block: How a block steps along dx/dt = F(x) − D x, F with its scale and norms, h being `step` and D `leak`:
            explicit, x + h F(x), which has no leak; leaky, (1 − hD) x + h F(x); implicit, the solution y of
            y − hβ (F(y) − D y) = history by BDF-2 (`nasjac.kinds.modules.implicit`). A norm on the sum, or an activation
            after it, comes behind the step. An implicit block whose skip is cut, or that changes the shape of images,
            has no equation and is (skip x + h F(x)) / (1 + hD).
        step: h, above 0.
        leak: D, at least 0; with leaky blocks hD below 1, so that the skip keeps its sign.
    """

    block: str = "explicit"
    step: float = 1.0
    leak: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("block", self.block, BLOCK_TYPES)
        settle(self, "step", number("step", self.step, low=0.0, open_low=True))
        settle(self, "leak", number("leak", self.leak, low=0.0))
        if self.block == "leaky" and self.step * self.leak >= 1:
            raise InputError(f"`leak` must be below 1 / `step` in leaky blocks, 1 / {self.step:g}, got {self.leak!r}")

    @property
    def gates(self) -> tuple[float, float]:
        """Factors of skip and branch beside the blocks' own: 1 and h; leaky 1 − hD and h; implicit 1/(1 + hD) and
        h/(1 + hD), the step whose leak alone is implicit, which is the solution to first order in F.
        """
        if self.block == "implicit":
            return 1 / (1 + self.step * self.leak), self.step / (1 + self.step * self.leak)
        return 1 - self.step * self.leak if self.block == "leaky" else 1.0, self.step

    def solves(self, number: int) -> bool:
        """Whether a block is the solution of an equation."""
        block = self.blocks[number]
        return self.block == "implicit" and block.keep and block.skip > 0 and not self.changes_shape(number)

    def _without_unused(self) -> Self:
        """A step is in the blocks' scales, and a leaky block's leak is hD, at step 1: h · scale and 1 − hD are what is
        computed. The step of an equation that is solved stays apart (h enters by hβ/(1 + hβD)).
        """
        return super(SteppedSpec, self._at_step_1())._without_unused()

    def _at_step_1(self) -> Self:
        """Return the Spec with step and leak in its blocks, unless an equation is solved or a scale leaves (0, ∞)."""
        kept = [block for block in self.blocks if block.keep]
        moved = self.gates[1]
        if self.block == "implicit":
            solved = any(self.solves(number) for number in range(len(self.blocks)))
            if solved or (self.leak > 0 and any(block.skip > 0 for block in kept)):
                return self
        if not all(0 < block.scale * moved < math.inf for block in kept):
            return self
        if moved == 1 and self.block != "implicit":
            return self
        scaled = {block: replace(block, scale=block.scale * moved) for block in set(kept)}  # most blocks are equal
        blocks = tuple(scaled.get(block, block) for block in self.blocks)
        if self.block == "leaky":
            return replace(self, blocks=blocks, step=1.0, leak=self.step * self.leak)
        return replace(self, blocks=blocks, block="explicit", step=1.0, leak=0.0)

    def _unused(self, blocks: tuple[Block, ...]) -> list[str]:
        """Without a leak, or without a skip that it takes from, leaky is explicit; without an equation so is implicit."""
        kept = any(block.keep for block in blocks)
        leaks = kept and self.leak > 0
        if self.block == "implicit":
            left = replace(self, blocks=blocks)
            matters = leaks or any(left.solves(number) for number in range(len(blocks)))
        else:
            matters = self.block == "leaky" and leaks and any(block.keep and block.skip > 0 for block in blocks)
        return [*([] if kept else ["step"]), *([] if matters else ["block", "leak"])]


def passes(spec: Spec, number: int) -> int:
    """Return how many passes through its branch a block takes."""
    return IMPLICIT_PASSES if spec.solves(number) else 1


def check_products(specs: Sequence[SteppedSpec], products: str | None) -> None:
    """Raise InputError where implicit blocks are to be sampled with matrix products in bf16 or TF32."""
    if products in ("bf16", "tf32") and any(spec.block == "implicit" for spec in specs):
        rule = "float32 or float64 for implicit blocks, whose equations are solved to more digits"
        raise InputError(f"`products` (`score.dtype`) must be {rule}, got {products!r}")
