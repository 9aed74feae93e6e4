"""The contract of a score: it maps architectures to measurements without training them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nasjac.architecture.measurement import TERMS, Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError


class Score(ABC):
    """A score of architectures at initialization: derive a frozen dataclass of options from it.

    Only `name` and `measure` must be written; every other member has a default. A subclass may write a member as a class
    attribute, a property or a field of its dataclass.

    >>> import torch
    >>> from nasjac.architecture.measurement import Estimate
    >>> class Depth(Score):
    ...     name = "depth"
    ...     objectives = ("merit",)
    ...     def measure(self, specs, inputs, device):
    ...         return [Measurement(s.key, "ok", terms={"merit": Estimate(len(s.blocks), 0.0)}) for s in specs]
    >>> [found] = Depth().measure([Spec.of(width=8, blocks=())], torch.ones(2, 3), torch.device("cpu"))
    >>> found.terms["merit"].value
    0
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The label of the score's measurements in databases and reports."""

    @property
    def terms(self) -> tuple[str, ...]:
        """Names among `TERMS` that a measurement may have a value of; by default all of them."""
        return tuple(TERMS)

    @property
    def objectives(self) -> tuple[str, ...]:
        """What a search optimizes by this score unless it is told: names among `nasjac.searching.objectives.OBJECTIVES`."""
        return ("trainability_cost", "nonlinear_effective_depth")

    @property
    def objective(self) -> str | None:
        """The term whose precision can be asked for, and by which candidates are raced; None where there is none."""
        return None

    @property
    def incidental(self) -> tuple[str, ...]:
        """Names of options that no value depends on: they are no part of a study's identity."""
        return ()

    @property
    def formulas(self) -> str | None:
        """The version of the score's formulas: measurements of different versions are not compared. None: only one."""
        return None

    @property
    def provenance(self) -> Mapping[str, float | None]:
        """How the work so far was done, for the notes of a run in the database: numbers by name."""
        return {}

    @property
    def reference(self) -> int:
        """How many architectures the reference population has in which this score ranks; 0: it needs none."""
        return 0

    @property
    def digest(self) -> str | None:
        """Digest of the population that the score is bound to, None if it is bound to none: values depend on it."""
        return None

    @property
    def races(self) -> bool:
        """Whether `race` stops sampling candidates early."""
        return False

    def bind(self, population: Sequence[Spec]) -> Score:
        """Return this score with a reference population, which never changes; the score itself if it needs none.

        Args:
            population: `reference` architectures of one kind, such as `nasjac.samplers.random_specs` draws from a space.
                An architecture may occur several times.

        Returns:
            A score with the same options whose `digest` is that of the population.

        Raises:
            InputError: The population is one that the score cannot rank in.
        """
        return self

    @abstractmethod
    def measure(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> list[Measurement]:
        """Measure architectures at initialization.

        What is said of an architecture depends on that, the inputs, the options and the population alone; results do not
        depend on which other architectures are in the call, nor on how often the score was called before.

        Args:
            specs: Architectures, canonical or not; an ensemble of skip patterns too.
            inputs: [n, features] standardized data, n at least 2, or [n, T] token ids of a transformer_lm.
            device: Where networks are sampled.

        Returns:
            One Measurement for each architecture, in order. An architecture that cannot be measured has another status
            than "ok", with the reason.

        Raises:
            InputError: The inputs are not what the architectures take; or the score needs a reference population
                (`reference` is above 0) and is bound to none.
        """

    def race(
        self, specs: Sequence[Spec], inputs: Tensor, device: torch.device, rivals: Sequence[Spec | None]
    ) -> list[Measurement]:
        """Measure architectures, and stop early where one is certain to have a larger `objective` than its rival.

        Args:
            specs: As in `measure`.
            inputs: As in `measure`.
            device: As in `measure`.
            rivals: For each of `specs` the architecture that it must not be certainly worse than, or None.

        Returns:
            As `measure` does; a measurement that was stopped early is `raced`. Those without a rival are as by `measure`.

        Raises:
            InputError: The score does not race (`races` is False), or as in `measure`.
        """
        raise InputError(f"`search.racing` must be false for a score that does not sample, got true with {self.name}")
