"""Spaces whose widths are solved for, so that every architecture has the size that is asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from nasjac.architecture.inputs import Inputs
from nasjac.architecture.size import Target
from nasjac.architecture.space import Space, Trial
from nasjac.architecture.spec import Spec
from nasjac.kinds.options.width import Proposal, solved

#: depths around the one that a trial asks for that are looked through for one at which some width has the size
MOST_DEPTHS = 256


@dataclass(frozen=True)
class SizedOptions(Space):
    """Options of a space whose widths can be solved for.

    `depth_min`, `depth_max`  layers, or blocks of each stage, chosen stage by stage
    `widths`   one to three widths to choose from (null: solved for at a budget, otherwise the space's usual ones)
    """

    #: by name the choices of options that are null, where no size is asked for; `widths` is one of them
    usual: ClassVar[Mapping[str, tuple[int, ...]]]
    #: the names of choices that, beside the depth, make another shape of the same size
    shaping: ClassVar[tuple[str, ...]] = ()

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

    def stored(self, options: Mapping[str, object]) -> Mapping[str, object]:
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
            spec, size = solved(made, depths, self.target, self.space.usual["widths"][0])
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

    def stored(self, options: Mapping[str, object]) -> Mapping[str, object]:
        """Return the options of a study's identity, and the size."""
        of = self.target
        size = {"params": of.params, "band": of.band, "max_params": of.max_params, "max_flops": of.max_flops}
        null = {name: options[name] for name in self.space.usual}
        return {**self.space.stored(options), **null, "size": {**size, "counts": of.counts}}


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
