"""merit: expressivity, by log-ranks in a frozen population of the space, or trainability, whichever there is less of."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasjac.architecture.ensemble import members
from nasjac.architecture.measurement import Estimate, Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.kinds.common_probe import independent_inputs, input_correlations
from nasjac.kinds.facts import facts
from nasjac.mathematics.decorrelation import of_correlations
from nasjac.mathematics.log_percentile import LogRank
from nasjac.mathematics.trainability import merit
from nasjac.sampling.draws import Draws
from nasjac.scores.apjn import DTYPES, Apjn

Array = NDArray[np.float64]

#: the most of an option: its draws and images go through a network together, its reference is measured at once
MOST = {"decorrelation_draws": 2**10, "images": 2**10, "reference": 2**16}
#: in every merit's identity: values by another are not compared with
FORMULA = "harmonic, squares, independent images"


@dataclass(frozen=True)
class Merit(Apjn):
    """Options of merit; those of `Apjn` are of the Jacobian terms.

    merit = −log(e^−E + e^P) in nats (`nasjac.mathematics.trainability.merit`), E = log-rank of FLOPs + mean over draws
    of the log-rank of
    decorrelation, P = trainability_penalty. The log-ranks are among `reference` architectures drawn once from the space
    (`nasjac.mathematics.log_percentile`), so that the merit of an architecture never moves. Decorrelation is −Σ (log λ +
    1/λ), λ the
    eigenvalues of the correlations of Jᵀv over `images` inputs, one random v for all (`nasjac.kinds.common_probe`),
    half as many as h_0 has units where that is less: about as many vectors as units are nearly dependent, and then it would
    measure the width. The penalty is absolute (`nasjac.mathematics.trainability`). Only what `among` makes knows a
    merit; without a population there are the terms of `Apjn` alone.

    `decorrelation_draws`  initializations, each with inputs and a v of its own
    `images`               of each of these
    `reference`            architectures in the population, at least 256
    """

    decorrelation_draws: int = 4
    images: int = 16
    reference: int = 256

    #: what a search optimizes unless it is told
    objectives: ClassVar[tuple[str, ...]] = ("merit",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("decorrelation_draws", 2), ("images", 2), ("reference", 256)):
            object.__setattr__(self, name, arguments.whole(f"score.{name}", getattr(self, name), least, MOST[name]))
        if self.plan != "independent":
            raise InputError(f"`score.plan` must be independent for merit, got {self.plan!r}")

    @property
    def name(self) -> str:
        return "merit"

    @property
    def formulas(self) -> str:
        return f"{super().formulas}; {FORMULA}"

    def among(self, population: Sequence[Spec]) -> MeritAmong:
        """The score with its frozen population of concrete architectures, all of one kind."""
        return MeritAmong(self, tuple(spec.canonical for spec in population))

    def decorrelations(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> Array:
        """[n, draws] of canonical, concrete specs, by input; −∞ where there is none, NaN where there is no memory."""
        draws = Draws(self.seed, range(self.decorrelation_draws), DTYPES[self.dtype], device)
        found = input_correlations(specs, inputs, draws, self.images)
        missing = np.full(self.decorrelation_draws, math.nan)
        values = [missing if one is None else np.array([_of_living(draw) for draw in one]) for one in found]
        return np.array(values).reshape(len(specs), self.decorrelation_draws)


@dataclass(frozen=True)
class MeritAmong:
    """Merit among a population."""

    options: Merit
    population: tuple[Spec, ...]

    @property
    def name(self) -> str:
        return self.options.name

    @property
    def formulas(self) -> str:
        return self.options.formulas

    @property
    def objective(self) -> str:
        return self.options.objective

    @property
    def objectives(self) -> tuple[str, ...]:
        return self.options.objectives

    @property
    def incidental(self) -> tuple[str, ...]:
        return self.options.incidental

    @property
    def provenance(self) -> Mapping[str, Any]:
        """`least_images` is how many the narrowest of the population has in `jacobian_decorrelation`."""
        least = min((independent_inputs(spec, self.options.images) for spec in self.population), default=None)
        return {**self.options.provenance, "least_images": least}

    @cached_property
    def digest(self) -> str:
        """Of the population: what merit depends on beside its options and formulas."""
        return hashlib.sha256(" ".join(spec.key for spec in self.population).encode()).hexdigest()[:12]

    def __call__(
        self, specs: Sequence[Spec], inputs: Tensor, device: torch.device, rivals: Sequence[Spec | None] | None = None
    ) -> list[Measurement]:
        """Measure each spec, as `Apjn` does; one that is not `ok` has no merit, an ensemble the mean of its patterns'."""
        measured = self.options(specs, inputs, device, rivals)
        patterns, seed = self.options.patterns, self.options.seed
        groups = [members(spec, patterns, seed) for spec in specs]
        unique = {member.key: member for group in groups for member in group}
        ranks = self.ranks(list(unique.values()), inputs, device)
        parts = dict(zip(unique, ranks, strict=True))
        return [
            _with_merit(item, [member.key for member in group], parts) for item, group in zip(measured, groups, strict=True)
        ]

    def ranks(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> list[Parts]:
        """What ranks each of the canonical, concrete specs among the population, on standardized `inputs` [n, features]."""
        capacity, *by_draw = self._reference(inputs, device)
        started = time.perf_counter()
        own = self.options.decorrelations(specs, inputs, device)
        seconds = (time.perf_counter() - started) / max(1, len(specs))
        sizes = capacity([fact.flops for fact in facts(specs)])
        ranked = np.array([rank(values) for rank, values in zip(by_draw, own.T, strict=True)])
        return [Parts(*one, seconds) for one in zip(sizes, own, ranked.T, strict=True)]

    def _reference(self, inputs: Tensor, device: torch.device) -> list[LogRank]:
        """Log-ranks among the population of FLOPs and of the decorrelation of each draw."""
        seen, ranks = self._measured.get(device, (None, []))
        if seen is not inputs:
            values = self.options.decorrelations(self.population, inputs, device)
            if lacking := int(np.isnan(values).any(axis=1).sum()):  # without them every merit would be another
                rule = f"architectures that there is memory for, all {len(self.population)} of them"
                raise InputError(f"`score.reference` must be {rule}, got {lacking} that there is none for on {device}")
            flops = [float(fact.flops) for fact in facts(self.population)]
            ranks = [LogRank(flops), *map(LogRank, values.T)]
            self._measured[device] = inputs, ranks
        return ranks

    @cached_property
    def _measured(self) -> dict[torch.device, tuple[Tensor, list[LogRank]]]:
        """By device the inputs that the population was measured on last, and its log-ranks."""
        return {}


def _of_living(correlations: Tensor) -> float:
    """Decorrelation by input of one draw's correlations [B, B], over the inputs whose Jacobian is not zero.

    −∞ where fewer than two have one.
    """
    living = correlations.diagonal().isfinite()
    count = int(living.sum())
    return float(of_correlations(correlations[living][:, living])) / count if count > 1 else -math.inf


class Parts(NamedTuple):
    """What ranks one network: the log-rank of FLOPs, and by draw the decorrelation per input and its log-rank.

    `seconds` is its share of the time.
    """

    capacity: float
    decorrelation: Array
    rank: Array
    seconds: float


def _with_merit(item: Measurement, keys: Sequence[str], parts: Mapping[str, Parts]) -> Measurement:
    """The measurement of the networks of these `keys`; an ensemble keeps the pattern of most merit."""
    group = [parts[key] for key in keys]
    if item.status == "ok" and any(np.isnan(part.decorrelation).any() for part in group):
        item = replace(item, status="out_of_memory", reason="there is no memory for its decorrelation, even alone")
    capacity = np.mean([part.capacity for part in group])
    decorrelation = _over_draws(np.array([part.decorrelation for part in group]))
    ranked = _over_draws(np.array([part.rank for part in group]))
    terms, penalty = {**item.terms, "jacobian_decorrelation": decorrelation}, item.terms["trainability_penalty"]
    if item.status == "ok" and penalty.value is not None and ranked.value is not None:
        expressivity = float(capacity) + ranked.value
        score = float(merit(expressivity, penalty.value))
        share = math.exp(score - expressivity)  # of a change of expressivity in that of merit; the rest is the penalty's
        error = math.hypot(share * (ranked.standard_error or 0.0), (1 - share) * (penalty.standard_error or 0.0))
        terms["merit"] = Estimate(score, error)
    seconds = item.seconds + sum(parts[key].seconds for key in set(keys))
    if not item.patterns:
        return replace(item, terms=terms, seconds=seconds)
    inner = tuple((text, _with_merit(one, [one.key], parts)) for text, one in item.patterns)
    merits = {one.key: value for _, one in inner if (value := one.terms["merit"].value) is not None}
    kept = max(merits, key=merits.__getitem__, default=None)
    return replace(item, terms=terms, patterns=inner, kept_key=kept, seconds=seconds)


def _over_draws(values: Array) -> Estimate:
    """Mean over patterns and draws [S, D] and its standard error over draws, of those that have a value; none of few.

    A draw has none where (nearly) every input's Jacobian is zero. At least half of the draws must have one, and two.
    """
    known = np.isfinite(values)
    draws = known.any(axis=0)
    if draws.sum() < max(2, values.shape[1] / 2):
        return Estimate(None, None)
    by_draw = np.where(known, values, 0.0).sum(axis=0)[draws] / known.sum(axis=0)[draws]
    return Estimate(float(by_draw.mean()), float(by_draw.std(ddof=1) / math.sqrt(len(by_draw))))
