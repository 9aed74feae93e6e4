"""merit: expressivity, by log-percentiles in a frozen population of the space, or trainability, whichever is less."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasjac.architecture.ensemble import members
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.kinds.common_probe import independent_inputs, input_correlations
from nasjac.kinds.facts import facts
from nasjac.mathematics.decorrelation import decorrelation_of
from nasjac.mathematics.log_percentile import log_percentiles
from nasjac.mathematics.trainability import merit_parts
from nasjac.sampling.draws import Draws
from nasjac.scores.apjn import Apjn
from nasjac.scores.merit_terms import Rank, place, with_merit
from nasjac.scores.sample_bank import DTYPES

Array = NDArray[np.float64]

#: the most of an option: its draws and images go through a network together, its reference is measured at once
MOST = {"decorrelation_draws": 2**10, "images": 2**10, "reference": 2**16}
#: in every merit's identity: values by another are not compared with
FORMULA = "harmonic, squares, independent images"


@dataclass(frozen=True)
class Merit(Apjn):
    """Options of merit; those of `Apjn` are of the Jacobian terms.

    merit = −log(e^−E + e^P) in nats (`nasjac.mathematics.trainability.merit`), E = log-percentile of FLOPs + mean over
    draws of the log-percentile of decorrelation, P = trainability_penalty. The log-percentiles are among `reference`
    architectures drawn once from the space (`bind`), so that the merit of an architecture never moves. Decorrelation is
    −Σ (log λ + 1/λ), λ the eigenvalues of the correlations of Jᵀv over `images` inputs, one random v for all
    (`nasjac.kinds.common_probe`), half as many as h_0 has units where that is less: about as many vectors as units are
    nearly dependent, and then it would measure the width. The penalty is absolute.

    `decorrelation_draws`  initializations, each with inputs and a v of its own
    `images`               of each of these
    `reference`            architectures in the population, at least 256
    """

    decorrelation_draws: int = 4
    images: int = 16
    reference: int = 256

    name = "merit"
    terms = tuple([*Apjn.terms, "jacobian_decorrelation", "merit"])
    objectives = ("merit",)
    formulas = f"{Apjn.formulas}; {FORMULA}"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("decorrelation_draws", 2), ("images", 2), ("reference", 256)):
            object.__setattr__(self, name, arguments.whole(f"score.{name}", getattr(self, name), least, MOST[name]))
        if self.plan != "independent":
            raise InputError(f"`score.plan` must be independent for merit, got {self.plan!r}")

    def bind(self, population: Sequence[Spec]) -> BoundMerit:
        """Return the score with its frozen population.

        Args:
            population: Architectures of one kind, at least 8; concrete ones, not ensembles.

        Returns:
            A Merit that can measure; its `digest` is that of the population.

        Raises:
            InputError: Something in the population is no Spec.
        """
        specs = arguments.items("population", population, Spec, "Spec")
        options = {entry.name: getattr(self, entry.name) for entry in fields(Merit)}
        return BoundMerit(**options, population=tuple(spec.canonical for spec in specs))

    def decorrelations(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> Array:
        """[n, draws] of canonical, concrete specs, by input; −∞ where there is none, NaN where there is no memory."""
        draws = Draws(self.seed, range(self.decorrelation_draws), DTYPES[self.dtype], device)
        found = input_correlations(specs, inputs, draws, self.images)
        missing = np.full(self.decorrelation_draws, math.nan)
        values = [missing if one is None else np.array([_of_living(draw) for draw in one]) for one in found]
        return np.array(values).reshape(len(specs), self.decorrelation_draws)

    def race(
        self, specs: Sequence[Spec], inputs: Tensor, device: torch.device, rivals: Sequence[Spec | None]
    ) -> list[Measurement]:
        """Raise InputError: merit ranks in a population, and this score has none."""
        how = "bound to one by score.bind(population), as nasjac.measure and nasjac.search do"
        raise InputError(f"`score` must have a reference population to rank in, {how}, got {self.name} without one")


@dataclass(frozen=True)
class BoundMerit(Merit):
    """Merit in a population of canonical architectures."""

    population: tuple[Spec, ...] = ()

    @property
    def provenance(self) -> Mapping[str, float | None]:
        """`least_images` is how many the narrowest of the population has in `jacobian_decorrelation`."""
        least = min((independent_inputs(spec, self.images) for spec in self.population), default=None)
        return {**super().provenance, "least_images": least}

    @cached_property
    def digest(self) -> str:
        """Of the population: what merit depends on beside its options and formulas."""
        return hashlib.sha256(" ".join(spec.key for spec in self.population).encode()).hexdigest()[:12]

    def race(
        self, specs: Sequence[Spec], inputs: Tensor, device: torch.device, rivals: Sequence[Spec | None]
    ) -> list[Measurement]:
        """Measure each architecture, as `Apjn` does, which races by the cost, with its decorrelation and its merit.

        One that is not `ok` has no merit, an ensemble has the mean of its patterns'. InputError: there is no memory for
        some of the population, or as for `Apjn`.
        """
        measured = Apjn.race(self, specs, inputs, device, rivals)
        groups, ranks = self._ranked(specs, inputs, device)
        return [with_merit(item, keys, ranks) for item, keys in zip(measured, groups, strict=True)]

    def parts(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> dict[str, Array]:
        """Return the parts of the merit of architectures [n] by name; NaN where there is none, as of a zero Jacobian."""
        measured = Apjn.race(self, specs, inputs, device, [None] * len(specs))
        groups, ranks = self._ranked(specs, inputs, device)
        places = [place([ranks[key] for key in keys]) for keys in groups]
        capacity = np.array([capacity for capacity, _ in places], dtype=float)
        decorrelation = np.array([ranked.value for _, ranked in places], dtype=float)
        names = ("mean_log", "sd_log", "log_rank", "log_decorrelation")
        terms = np.array([[item.terms[name].value for item in measured] for name in names], dtype=float)
        return merit_parts(capacity, decorrelation, terms)

    def _ranked(
        self, specs: Sequence[Spec], inputs: Tensor, device: torch.device
    ) -> tuple[list[list[str]], dict[str, Rank]]:
        """Keys of the networks that each architecture stands for, and by key their places in the population."""
        groups = [members(spec, self.patterns, self.seed) for spec in specs]
        unique = {member.key: member for group in groups for member in group}
        known = self._known(inputs, device)
        started = time.perf_counter()
        own = self._values(list(unique.values()), inputs, device)
        seconds = (time.perf_counter() - started) / max(1, len(unique))
        sizes, *by_draw = log_percentiles(known, own)
        columns = zip(unique, sizes, own[1:].T, np.transpose(by_draw), strict=True)
        ranks = {key: Rank(size, decorrelation, ranked, seconds) for key, size, decorrelation, ranked in columns}
        return [[member.key for member in group] for group in groups], ranks

    def _known(self, inputs: Tensor, device: torch.device) -> Array:
        """The `_values` of the population."""
        seen, values = self._measured.get(device, (None, np.empty(0)))
        if seen is not inputs:
            values = self._values(self.population, inputs, device)
            if lacking := int(np.isnan(values).any(axis=0).sum()):  # without them every merit would be another
                rule = f"architectures that there is memory for, all {len(self.population)} of them"
                raise InputError(f"`score.reference` must be {rule}, got {lacking} that there is none for on {device}")
            self._measured[device] = inputs, values
        return values

    def _values(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> Array:
        """[1 + draws, n] FLOPs of canonical, concrete specs, and the decorrelation of each draw."""
        flops = [float(fact.flops) for fact in facts(specs)]
        return np.vstack([flops, self.decorrelations(specs, inputs, device).T])

    @cached_property
    def _measured(self) -> dict[torch.device, tuple[Tensor, Array]]:
        """By device the inputs that the population was measured on last, and what was measured."""
        return {}


def _of_living(correlations: Tensor) -> float:
    """Decorrelation by input of one draw's correlations [B, B], over the inputs whose Jacobian is not zero.

    −∞ where fewer than two have one.
    """
    living = correlations.diagonal().isfinite()
    count = int(living.sum())
    return float(decorrelation_of(correlations[living][:, living])) / count if count > 1 else -math.inf
