"""merit: expressivity, by log-percentiles in a frozen population of the space, or trainability, whichever is less."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

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
from nasjac.mathematics.decorrelation import decorrelation_of
from nasjac.mathematics.log_percentile import LogPercentile
from nasjac.mathematics.trainability import merit, merit_parts
from nasjac.sampling.draws import Draws
from nasjac.scores.apjn import Apjn
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

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("decorrelation_draws", 2), ("images", 2), ("reference", 256)):
            object.__setattr__(self, name, arguments.whole(f"score.{name}", getattr(self, name), least, MOST[name]))
        if self.plan != "independent":
            raise InputError(f"`score.plan` must be independent for merit, got {self.plan!r}")

    @property
    def name(self) -> str:
        """The label of this score's measurements."""
        return "merit"

    @property
    def terms(self) -> tuple[str, ...]:
        """Those of `Apjn`, decorrelation and merit."""
        return (*super().terms, "jacobian_decorrelation", "merit")

    @property
    def objectives(self) -> tuple[str, ...]:
        """What a search optimizes unless it is told."""
        return ("merit",)

    @property
    def formulas(self) -> str:
        """Which estimators, and which formula of merit."""
        return f"{super().formulas}; {FORMULA}"

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
    def provenance(self) -> Mapping[str, Any]:
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
        """Measure each architecture, as `Apjn` does, with its decorrelation and its merit.

        Args:
            specs: As for `Apjn`.
            inputs: As for `Apjn`.
            device: As for `Apjn`.
            rivals: As for `Apjn`: it is the cost that is raced by.

        Returns:
            Measurements; one that is not `ok` has no merit, an ensemble has the mean of its patterns'.

        Raises:
            InputError: There is no memory for some of the population, or as for `Apjn`.
        """
        measured, groups = Apjn.race(self, specs, inputs, device, rivals), self._groups(specs)
        ranks = self._ranks([member for group in groups for member in group], inputs, device)
        return [
            _with_merit(item, [member.key for member in group], ranks) for item, group in zip(measured, groups, strict=True)
        ]

    def parts(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> dict[str, Array]:
        """Return the parts of the merit of architectures [n] by name; NaN where there is none, as of a zero Jacobian."""
        measured, groups = Apjn.measure(self, specs, inputs, device), self._groups(specs)
        ranks = self._ranks([member for group in groups for member in group], inputs, device)
        places = [_place([ranks[member.key] for member in group]) for group in groups]
        capacity = np.array([capacity for capacity, _ in places], dtype=float)
        decorrelation = np.array([ranked.value for _, ranked in places], dtype=float)
        names = ("mean_log", "sd_log", "log_rank", "log_decorrelation")
        terms = np.array([[item.terms[name].value for item in measured] for name in names], dtype=float)
        return merit_parts(capacity, decorrelation, terms)

    def _groups(self, specs: Sequence[Spec]) -> list[list[Spec]]:
        """The networks that each architecture stands for."""
        return [members(spec, self.patterns, self.seed) for spec in specs]

    def _ranks(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> dict[str, _Rank]:
        """By key the place of each of the canonical, concrete specs in the population, on `inputs`."""
        capacity, *by_draw = self._percentiles(inputs, device)
        unique = {spec.key: spec for spec in specs}
        started = time.perf_counter()
        own = self.decorrelations(list(unique.values()), inputs, device)
        seconds = (time.perf_counter() - started) / max(1, len(unique))
        sizes = capacity([fact.flops for fact in facts(list(unique.values()))])
        ranked = np.array([percentile(values) for percentile, values in zip(by_draw, own.T, strict=True)])
        ranks = [_Rank(*one, seconds) for one in zip(sizes, own, ranked.T, strict=True)]
        return dict(zip(unique, ranks, strict=True))

    def _percentiles(self, inputs: Tensor, device: torch.device) -> list[LogPercentile]:
        """Of the population: FLOPs, and the decorrelation of each draw."""
        seen, percentiles = self._measured.get(device, (None, []))
        if seen is not inputs:
            values = self.decorrelations(self.population, inputs, device)
            if lacking := int(np.isnan(values).any(axis=1).sum()):  # without them every merit would be another
                rule = f"architectures that there is memory for, all {len(self.population)} of them"
                raise InputError(f"`score.reference` must be {rule}, got {lacking} that there is none for on {device}")
            flops = [float(fact.flops) for fact in facts(self.population)]
            percentiles = [LogPercentile(flops), *map(LogPercentile, values.T)]
            self._measured[device] = inputs, percentiles
        return percentiles

    @cached_property
    def _measured(self) -> dict[torch.device, tuple[Tensor, list[LogPercentile]]]:
        """By device the inputs that the population was measured on last, and its percentiles."""
        return {}


@dataclass(frozen=True)
class _Rank:
    """The place of one network in the population.

    `capacity` is the log-percentile of FLOPs; `decorrelation` [draws] per input and `by_draw` [draws] its log-percentiles;
    `seconds` the network's share of the time.
    """

    capacity: float
    decorrelation: Array
    by_draw: Array
    seconds: float


def _of_living(correlations: Tensor) -> float:
    """Decorrelation by input of one draw's correlations [B, B], over the inputs whose Jacobian is not zero.

    −∞ where fewer than two have one.
    """
    living = correlations.diagonal().isfinite()
    count = int(living.sum())
    return float(decorrelation_of(correlations[living][:, living])) / count if count > 1 else -math.inf


def _with_merit(item: Measurement, keys: Sequence[str], ranks: Mapping[str, _Rank]) -> Measurement:
    """The measurement of the networks of these `keys`; an ensemble keeps the pattern of most merit."""
    group = [ranks[key] for key in keys]
    if item.status == "ok" and any(np.isnan(rank.decorrelation).any() for rank in group):
        item = replace(item, status="out_of_memory", reason="there is no memory for its decorrelation, even alone")
    decorrelation = _over_draws(np.array([rank.decorrelation for rank in group]))
    terms = {**item.terms, "jacobian_decorrelation": decorrelation}
    if item.status == "ok":
        terms["merit"] = _merit(*_place(group), item.terms["trainability_penalty"])
    seconds = item.seconds + sum(ranks[key].seconds for key in set(keys))
    if not item.patterns:
        return replace(item, terms=terms, seconds=seconds)
    inner = tuple((text, _with_merit(one, [one.key], ranks)) for text, one in item.patterns)
    merits = {one.key: value for _, one in inner if (value := one.terms["merit"].value) is not None}
    kept = max(merits, key=merits.__getitem__, default=None)
    return replace(item, terms=terms, patterns=inner, kept_key=kept, seconds=seconds)


def _place(group: Sequence[_Rank]) -> tuple[float, Estimate]:
    """Log-percentiles of FLOPs and of decorrelation, means over the networks that an architecture stands for."""
    return float(np.mean([rank.capacity for rank in group])), _over_draws(np.array([rank.by_draw for rank in group]))


def _merit(capacity: float, ranked: Estimate, penalty: Estimate) -> Estimate:
    """Merit and its standard error, from the log-percentiles of capacity and decorrelation and from the penalty."""
    if ranked.value is None or penalty.value is None:
        return Estimate(None, None)
    expressivity = capacity + ranked.value
    score = float(merit(expressivity, penalty.value))
    share = math.exp(score - expressivity)  # of a change of expressivity in that of merit; the rest is the penalty's
    error = math.hypot(share * (ranked.standard_error or 0.0), (1 - share) * (penalty.standard_error or 0.0))
    return Estimate(score, error)


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
