"""What a score of `nasjac correlate` is: one number an architecture, on its own pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.sampling.draws import Draws

#: how many architectures are done
Done = Callable[[int], None]


@dataclass(frozen=True)
class Scored:
    """A score, higher is better; None where there is none, with the reason. −∞ is a value: below all others."""

    value: float | None
    reason: str | None = None


class TableScore(Protocol):
    """A frozen dataclass of options; `needs_images` says whether it runs networks of its own.

    What it says of an architecture depends on that, the inputs and the options alone, never on the others of the call.
    An attribute `space_method` names what its spaces have, if not every space will do: `network`, of published tables;
    `bound`, of tables of Specs.
    """

    needs_images: ClassVar[bool]

    @property
    def name(self) -> str: ...

    def __call__(
        self, space: Any, architectures: Sequence[Any], images: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        """`space` is a nasjac.tables.space.SampledSpace and `images` are [n, C, H, W], or it is a SpecTable, bound to its
        table, and they are what its networks take: [n, features], or token ids [n, T]. Standardized; empty if not needed.
        """


def one_by_one(score: Callable[[Any], float], architectures: Sequence[Any], done: Done) -> list[Scored]:
    """A score that looks at one architecture at a time; a value that is nan or +∞ is none."""
    found = []
    for number, architecture in enumerate(architectures, 1):
        value = score(architecture)
        ranked = value < torch.inf  # not so for nan
        found.append(Scored(value) if ranked else Scored(None, f"not a finite number: {value}"))
        done(number)
    return found


def only_draw(seed: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Draws:
    """The weights and probes of scores that take one initialization."""
    return Draws(seed, [0], dtype, device)


def batch_of(images: Tensor, count: int, draws: Draws) -> Tensor:
    """`count` of the images [n, C, H, W], chosen by the first of the draws."""
    return draws.samples(images.flatten(1), count)[0].reshape(-1, *images.shape[1:])


def reference_population(space: Any, count: int) -> list[Any]:
    """The frozen population of a space: always the same architectures, drawn uniformly."""
    found: list[Any] = space.random(count, seed=0)
    return found


#: the most of a score's options where they are not seeds: images of a batch, channels, draws, architectures of a reference
MOST = {"images": 2**12, "pixels": 2**10, "channels": 2**10, "draws": 2**10, "norm_draws": 2**10, "reference": 2**16}


def check_at_least(name: str, value: int, least: int) -> None:
    """ValueError that names a score's option, unless it is a whole number from `least` to what `MOST` says."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"`score.{name}` must be a whole number of at least {least}, got {value!r}")
    arguments.whole(f"score.{name}", value, least, MOST.get(name, arguments.LARGEST_SEED))
