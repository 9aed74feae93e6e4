"""Solving for the width at which an architecture has the size that is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from nasjac.architecture.size import LARGE, Size, Target
from nasjac.architecture.spec import Spec
from nasjac.kinds.options.checks import MOST_UNITS

#: the smallest width that is solved for
LEAST_UNITS = 4
#: widths of large architectures are multiples of the last of these, and of the first ones where the size allows it
HARDWARE = (64, 32, 16, 8)
#: steps towards the exact width, of which four are usual
MOST_SECANTS = 16


class Proposal(NamedTuple):
    """A trial's choices but for what the size settles.

    `width`      the width, None where it is to be solved for
    `depths`     blocks of each stage, or layers, as the trial asks for
    `multiple`   what the width must be a multiple of
    `build`      makes the architecture of a width and depths
    """

    width: int | None
    depths: tuple[int, ...]
    multiple: int
    build: Callable[[int, tuple[int, ...]], Spec]


def solved(made: Proposal, depths: tuple[int, ...], target: Target, start: int) -> tuple[Spec, Size]:
    """Return the architecture of these depths whose width is nearest to the target's, and its size.

    Args:
        made: A trial's choices without a width.
        depths: Layers, or blocks of each stage.
        target: The size to have.
        start: A width to begin the search with.
    """
    known: dict[int, tuple[Spec, Size]] = {}

    def at(width: int) -> tuple[Spec, Size]:
        if width not in known:
            spec = made.build(width, depths)
            known[width] = spec, target.size_of(spec)
        return known[width]

    smallest = math.lcm(made.multiple, HARDWARE[-1]) if target.is_large else made.multiple
    root = _root(lambda width: target.scale(at(width)[1]), smallest, start)
    is_large = target.is_large or at(_about(root, smallest)[0])[1].params >= LARGE
    for step in [math.lcm(made.multiple, likes) for likes in HARDWARE] if is_large else [smallest]:
        best = min((at(width) for width in _about(root, step)), key=lambda found: _rank(found[1], target))
        if target.is_met(best[1]):
            break
    return best


def _rank(size: Size, target: Target) -> tuple[bool, float]:
    return not target.is_met(size), target.miss(size)


def _about(root: float, step: int) -> tuple[int, ...]:
    """The multiples of `step` next to a real width, within the bounds of a width."""
    least, most = _ends(step)
    below = int(root // step) * step
    return tuple({min(max(width, least), most): None for width in (below, below + step)})


def _ends(step: int) -> tuple[int, int]:
    """The smallest and the largest multiple of `step` that a width may be."""
    return step * math.ceil(LEAST_UNITS / step), max(step, MOST_UNITS // step * step)


def _root(scale: Callable[[int], float], step: int, start: int) -> float:
    """The real width of scale 1, from multiples of `step` from `start` on.

    Sizes are sums of terms of degree 1 and 2 in the width (matrices; norms and biases), so that log scale has slopes from 1
    to 2 in log width, and secants between the logarithms end next to the root in a few steps.
    """
    least, most = _ends(step)
    width, slope = min(max(least, start // step * step), most), 2.0
    before: tuple[float, float] | None = None
    for _ in range(MOST_SECANTS):
        size = scale(width)
        if size <= 0:
            return float(most)
        here = math.log(width), math.log(size)
        if before is not None:
            slope = min(max((here[1] - before[1]) / (here[0] - before[0]), 1.0), 2.0)
        root = min(max(math.exp(here[0] - here[1] / slope), least), most)
        before, nearest = here, round(root / step) * step
        if nearest == width:
            break
        width = nearest
    return root
