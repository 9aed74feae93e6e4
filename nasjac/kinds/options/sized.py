"""Spaces whose widths are solved for, so that every architecture has the size that is asked for."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from nasjac.architecture.inputs import Inputs
from nasjac.architecture.size import LARGE, Size, Target
from nasjac.architecture.space import Space, Trial
from nasjac.architecture.spec import Spec
from nasjac.kinds.options.checks import MOST_UNITS

#: the smallest width that is solved for
LEAST_UNITS = 4
#: widths of large architectures are multiples of the last of these, and of the first ones where the size allows it
HARDWARE = (64, 32, 16, 8)
#: depths around the one that a trial asks for that are looked through for one at which some width has the size
MOST_DEPTHS = 256
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


@dataclass(frozen=True)
class SizedOptions(Space):
    """Options of a space whose widths can be solved for.

    `depth_min`, `depth_max`  layers, or blocks of each stage, chosen stage by stage
    `widths`   one to three widths to choose from (null: solved for at a budget, otherwise the space's usual ones)
    """

    #: by name the choices of options that are null, where no size is asked for; `widths` is one of them
    usual: ClassVar[Mapping[str, tuple[int, ...]]]

    depth_min: int = 1
    depth_max: int = 12
    widths: tuple[int, ...] | None = None

    @abstractmethod
    def proposal(self, trial: Trial, target: Target | None) -> Proposal:
        """Return a trial's choices, the width among them unless there is a `target` that it is solved for."""

    def __call__(self, trial: Trial) -> Spec:
        """Return the architecture of a trial's choices."""
        made = self.proposal(trial, None)
        assert made.width is not None
        return made.build(made.width, made.depths)

    def suggest_width(self, trial: Trial, target: Target | None) -> int | None:
        """Return a trial's choice of width, None where it is solved for."""
        if target is not None:
            return None
        width: int = trial.suggest_categorical("width", self.widths or self.usual["widths"])
        return width

    def at_size(self, target: Target) -> Space:
        """Return the space with widths solved for, unless its options name them."""
        return self if self.widths else SizedSpace(self, target)

    def stored(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a study's identity, the usual choices in the place of null."""
        usual = {name: list(choices) for name, choices in self.usual.items() if getattr(self, name) is None}
        return {**super().stored(options), **usual}


@dataclass(frozen=True)
class SizedSpace(Space):
    """A space at a size: the widths of `space` are solved for, so that its architectures meet `target`.

    Parameters and FLOPs grow with the width. Of the two allowed widths about the exact one the nearer in size is taken that
    is within the bounds. Where neither is, the depth that a trial asks for is changed by as few blocks as needed.
    """

    space: SizedOptions
    target: Target

    def __call__(self, trial: Trial) -> Spec:
        """Return the architecture of a trial's choices; the nearest in size where none has it."""
        made = self.space.proposal(trial, self.target)
        nearest: tuple[float, Spec] | None = None
        for depths in _around(made.depths, self.space.depth_min, self.space.depth_max):
            spec, size = _solved(made, depths, self.target, self.space.usual["widths"][0])
            if self.target.is_met(size):
                return spec
            miss = self.target.miss(size)
            if nearest is None or miss < nearest[0]:
                nearest = miss, spec
        assert nearest is not None
        return nearest[1]

    def for_data(self, inputs: Inputs) -> Self:
        """Return the same sizes for the samples of a dataset."""
        return type(self)(self.space.for_data(inputs), self.target)

    def at_size(self, target: Target) -> Space:
        """Return the space at another size."""
        return type(self)(self.space, target)

    def stored(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a study's identity, and the size."""
        of = self.target
        size = {"params": of.params, "band": of.band, "max_params": of.max_params, "max_flops": of.max_flops}
        null = {name: options[name] for name in self.space.usual}
        return {**self.space.stored(options), **null, "size": {**size, "counts": of.counts}}


def _solved(made: Proposal, depths: tuple[int, ...], target: Target, start: int) -> tuple[Spec, Size]:
    """The architecture of these depths that is nearest to the target, and its size."""
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


def _around(depths: tuple[int, ...], low: int, high: int) -> Iterator[tuple[int, ...]]:
    """Yield depths and those about them within the bounds, by the number of blocks that are added or taken."""
    front, known = [depths], {depths}
    while front and len(known) <= MOST_DEPTHS:
        yield from front
        moved = (
            (*at[:stage], at[stage] + move, *at[stage + 1 :])
            for at in front
            for stage in range(len(at))
            for move in (-1, 1)
            if low <= at[stage] + move <= high
        )
        front = [at for at in dict.fromkeys(moved) if at not in known]
        known |= set(front)
