"""The contract of a score of tables: one number an architecture, on its own pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nasjac.architecture.fields import settle
from nasjac.foundation import arguments
from nasjac.sampling.draws import Draws
from nasjac.tables.space import Material, TableSpace

#: how many architectures are done
Done = Callable[[int], None]


@dataclass(frozen=True)
class Scored:
    """A score, higher is better; None where there is none, with the reason. −∞ is a value: below all others."""

    value: float | None
    reason: str | None = None


class TableScore(ABC):
    """A score that returns one number an architecture: derive a frozen dataclass of options from it.

    `needs` says what its spaces offer, one of these at least; one that needs no more than facts is given no inputs.
    """

    needs: ClassVar[Material]

    @property
    @abstractmethod
    def name(self) -> str:
        """The label of the score in answers."""

    @abstractmethod
    def measure(
        self, space: Any, architectures: Sequence[Any], inputs: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        """Score architectures.

        What is said of one depends on that, the inputs and the options alone; results do not depend on which other
        architectures are in the call.

        Args:
            space: A `TableSpace`, which offers what the score `needs`, bound to its table.
            architectures: As the space's `parse` returns them.
            inputs: Standardized images [n, C, H, W], features [n, features] or token ids [n, T], as the space's `inputs`
                returns them; empty where the score needs facts alone.
            device: Where networks run.
            done: Told how many architectures are scored, now and then.

        Returns:
            One Scored for each architecture, in order.
        """

    @property
    def needs_inputs(self) -> bool:
        """Whether the score runs networks."""
        return Material.FACTS not in self.needs


def one_by_one(score: Callable[[Any], float], architectures: Sequence[Any], done: Done) -> list[Scored]:
    """Score one architecture at a time; a value that is nan or +∞ is none."""
    scored = []
    for number, architecture in enumerate(architectures, 1):
        value = score(architecture)
        is_ranked = value < torch.inf  # not so for nan
        scored.append(Scored(value) if is_ranked else Scored(None, f"not a finite number: {value}"))
        done(number)
    return scored


def only_draw(seed: int, device: torch.device) -> Draws:
    """Return the weights and probes of scores that take one initialization."""
    return Draws(seed, [0], torch.float32, device)


def batch_of(images: Tensor, count: int, draws: Draws) -> Tensor:
    """Return `count` of the images [n, C, H, W], chosen by the first of the draws."""
    return draws.samples(images.flatten(1), count)[0].reshape(-1, *images.shape[1:])


def reference_population(space: TableSpace, count: int) -> list[Any]:
    """Return the frozen population of a space: always the same architectures, drawn uniformly."""
    return space.random(count, seed=0)


#: the most of a score's options where they are not seeds: images of a batch, channels, draws, architectures of a reference
MOST = {"images": 2**12, "pixels": 2**10, "channels": 2**10, "draws": 2**10, "norm_draws": 2**10, "reference": 2**16}


def check_at_least(score: TableScore, **leasts: int) -> None:
    """Check options that are whole numbers, each from its least to what `MOST` says. InputError: names the option."""
    for name, least in leasts.items():
        most = MOST.get(name, arguments.LARGEST_SEED)
        settle(score, name, arguments.whole(f"score.{name}", getattr(score, name), least, most))
