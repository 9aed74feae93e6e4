"""Shapes at a budget: a space's plain architectures of one size, from shallow and wide to deep and narrow."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from nasjac.architecture.size import Size, Target
from nasjac.architecture.spec import Spec
from nasjac.kinds.options.sized import SizedOptions
from nasjac.kinds.options.width import Proposal, solved


class Shape(NamedTuple):
    """One architecture of the size.

    `narrow`  makes the same architecture at another width, a multiple of `multiple`
    """

    spec: Spec
    size: Size
    multiple: int
    narrow: Callable[[int], Spec]


class _Plain:
    """A trial that takes the choices it is given, or else what is typical of the space, within the space's ranges."""

    def __init__(self, given: Mapping[str, Any], typical: Mapping[str, Any]) -> None:
        self._choices = {**typical, **given}
        self.ranges: dict[str, Sequence[Any]] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.ranges[name] = range(low, high + 1, step)
        return min(max(int(self._choices.get(name, low)), low), high)

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        self.ranges[name] = (low, high)
        return min(max(float(self._choices.get(name, low)), low), high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.ranges[name] = choices
        value = self._choices.get(name)
        return value if value in choices else choices[0]


def plain(space: SizedOptions) -> Spec:
    """Return the architecture of a space's typical choices, of its first choice where its options leave the typical out."""
    return space(_Plain({}, space.typical))


def shapes(space: SizedOptions, target: Target, count: int) -> list[Shape]:
    """Return up to `count` different architectures of the size, by depth.

    All choices but depth and those of `SizedOptions.shaping` are typical of the space where its options allow it. Depths
    are spread evenly in their logarithm, equal in all stages; then come the other choices of shape, and then stages of
    unequal depths at random. A shape that no width brings to the size is left out.
    """
    found: dict[str, Shape] = {}
    for given in itertools.islice(_choices(space, target, count), 64 * count):
        made = space.proposal(_Plain(given, space.typical), target)
        spec, size = solved(made, made.depths, target, space.usual["widths"][0])
        if target.is_met(size):
            found.setdefault(spec.key, Shape(spec, size, made.multiple, _narrow(made)))
        if len(found) == count:
            break
    return sorted(found.values(), key=lambda shape: (len(shape.spec.blocks), shape.spec.width))


def _narrow(made: Proposal) -> Callable[[int], Spec]:
    return lambda width: made.build(width, made.depths)


def _choices(space: SizedOptions, target: Target, count: int) -> Iterator[Mapping[str, object]]:
    """Yield the choices of depth and shape to try, in order."""
    asked = _Plain({}, space.typical)
    space.proposal(asked, target)
    names = [name for name in asked.ranges if name.startswith("depth")]
    kinds = {name: asked.ranges[name] for name in space.shaping if name in asked.ranges}
    usual = {name: asked.suggest_categorical(name, values) for name, values in kinds.items()}
    orders = [sorted(values, key=lambda value: value != usual[name]) for name, values in kinds.items()]
    others = [dict(zip(kinds, values, strict=True)) for values in itertools.product(*orders)]
    depths = _spread(space.depth_min, space.depth_max, count)
    for other in others:
        yield from ({**dict.fromkeys(names, depth), **other} for depth in depths)
    generator = random.Random(0)
    while len(names) > 1:
        yield {**{name: generator.choice(asked.ranges[name]) for name in names}, **generator.choice(others)}


def _spread(low: int, high: int, count: int) -> list[int]:
    """Whole numbers from low to high, evenly spread in their logarithm, each once."""
    steps = [math.log(low) + (math.log(high) - math.log(low)) * n / max(1, count - 1) for n in range(count)]
    return sorted({round(math.exp(step)) for step in steps})
