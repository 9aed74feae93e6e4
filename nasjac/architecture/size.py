"""How large an architecture is, and the size that a space's architectures are to have."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from nasjac.architecture.spec import Spec

#: from so many parameters on widths are such as hardware likes
LARGE = 10**6


class Size(NamedTuple):
    """Trainable parameters, and FLOPs of one forward pass of one sample, a multiply-add counted as two."""

    params: int
    flops: int


@dataclass(frozen=True)
class Target:
    """The size that the architectures of a space are to have; at least one of its three numbers is given.

    Args:
        size_of: Gives the size of an architecture, in those parameters that count.
        params: The number of parameters to have, within the relative `band`; None for any number.
        band: The largest share by which `params` may be missed.
        max_params: The largest number of parameters; None for any.
        max_flops: The largest number of FLOPs; None for any.
        counts: Which parameters `size_of` counts, blocks or all.
    """

    size_of: Callable[[Spec], Size]
    params: int | None = None
    band: float = 0.1
    max_params: int | None = None
    max_flops: int | None = None
    counts: str = "blocks"

    def is_met(self, size: Size) -> bool:
        """Return whether a size is within all bounds."""
        near = self.params is None or abs(size.params / self.params - 1) <= self.band
        small = self.max_params is None or size.params <= self.max_params
        return near and small and (self.max_flops is None or size.flops <= self.max_flops)

    def scale(self, size: Size) -> float:
        """Return the size in targets, 1 where `params` are met or the first of the largest numbers is reached."""
        bounds = ((size.params, self.params), (size.params, self.max_params), (size.flops, self.max_flops))
        return max(part / most for part, most in bounds if most is not None)

    def miss(self, size: Size) -> float:
        """Return by how much a size misses the target, |log scale|: 0 where it is met exactly."""
        scale = self.scale(size)
        return abs(math.log(scale)) if scale > 0 else math.inf

    @property
    def is_large(self) -> bool:
        """Whether so many parameters are asked for that hardware likes some widths better than others."""
        return (self.params or self.max_params or 0) >= LARGE
