"""The averaged partial Jacobian norm by sampling, to a stated precision: terms, cost and layer profile.

Source: Doshi, He & Gromov 2023 (arXiv:2111.12143) for the norm; Hutchinson 1990 for the probes.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasjac.architecture.ensemble import members, with_members
from nasjac.architecture.fields import check_choice
from nasjac.architecture.measurement import TERMS, Estimate, Layer, Measurement, Status
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.foundation.memory import free
from nasjac.kinds.population import Tally, sampled
from nasjac.sampling.draws import Draws
from nasjac.sampling.estimators import NAMES, VERSION, Terms, profile, terms, token_terms
from nasjac.sampling.samples import FORWARD, INDEPENDENT, Array, Samples, joined

#: precision -> dtype of everything but the matrix products, and theirs
DTYPES = {"float32": torch.float32, "float64": torch.float64, "tf32": torch.float32, "bf16": torch.float32}
#: draws whose weights are in memory together
TOGETHER = 256
#: draws of the weights; a standard error falls with their square root, and is a thousandth of a nat by then
MOST_DRAWS = 2**16
#: skip patterns of an ensemble, each a network
MOST_PATTERNS = 2**12
PLANS = {"independent": INDEPENDENT, "forward": FORWARD}
#: paired standard errors beyond which a candidate is certain to be dominated
RACING_ERRORS = 4.0
#: An architecture is diverged where a larger share of draws (of an ensemble, of draws of its patterns) has a zero Jacobian,
#: at one input at least. Below it the terms are those of the other draws: E log 𝒥 of the draws with 𝒥 > 0.
DEAD_DRAWS = 0.1


@dataclass(frozen=True)
class Apjn:
    """Options of the sampled score.

    `draws`      draws of the weights in the first round, at least 16; each carries 2 inputs × 2 probes in both directions
    `rel_error`  further rounds double the draws until the objective's standard error over draws, in nats, is at most this
                 (null: one round)
    `max_draws`  and there may be so many draws
    `patterns`   skip patterns that an ensemble is averaged over, at least 3
    `seed`       of weights, inputs, probes and patterns
    `dtype`      float32 or float64; tf32 (GPUs alone) and bf16 round the matrix products' factors
    `plan`       independent: all terms, the objective is trainability_cost; forward: norm and spread alone, for half the
                 time, the objective is mean_log
    `max_memory` GiB that the sampling in work may take (null: half of what is free); no value depends on it
    """

    draws: int = 16
    rel_error: float | None = 0.25
    max_draws: int = 64
    patterns: int = 8
    seed: int = 0
    dtype: str = "float32"
    plan: str = "independent"
    max_memory: float | None = None

    #: options that no value depends on
    incidental: ClassVar[tuple[str, ...]] = ("max_memory",)

    def __post_init__(self) -> None:
        for name, least, most in (("draws", 16, MOST_DRAWS), ("max_draws", 0, MOST_DRAWS), ("patterns", 3, MOST_PATTERNS)):
            object.__setattr__(self, name, arguments.whole(f"score.{name}", getattr(self, name), least, most))
        object.__setattr__(self, "seed", arguments.seed("score.seed", self.seed))
        for name in ("rel_error", "max_memory"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, arguments.number(f"score.{name}", value, 0.0, open_low=True))
        check_choice("score.dtype", self.dtype, DTYPES)
        check_choice("score.plan", self.plan, PLANS)

    @property
    def name(self) -> str:
        """The label of this score's measurements."""
        return "apjn"

    @property
    def formulas(self) -> str:
        """Which estimators: measurements by others are not compared with."""
        return f"estimators {VERSION}"

    @property
    def objective(self) -> str:
        """The term whose precision is asked for."""
        return "trainability_cost" if self.plan == "independent" else "mean_log"

    @property
    def provenance(self) -> Mapping[str, Any]:
        """How the work so far was cut; `mean_group_size` is how many architectures shared a product."""
        tally = self._tally
        return {
            "mean_group_size": tally.mean_rows,
            "largest_tile": max(tally.tiles, default=None),
            "tiles_halved": tally.halvings,
        }

    def __call__(
        self, specs: Sequence[Spec], inputs: Tensor, device: torch.device, rivals: Sequence[Spec | None] | None = None
    ) -> list[Measurement]:
        """Measure each spec on standardized `inputs` [n, features], n at least 2, drawn from at random.

        A spec with a rival stops early if its objective is above the rival's by more than 4 standard errors of the paired
        difference (the same draws), and is then `raced`. Without rivals a measurement depends on nothing but its own spec.
        """
        if self.dtype == "tf32" and device.type != "cuda":
            raise InputError(f"`score.dtype` tf32 must be computed on a GPU, got device {device}")
        started = time.perf_counter()
        bank = self._bank_of(inputs, device)
        groups = [members(spec, self.patterns, self.seed) for spec in specs]
        found: dict[int, Measurement] = {}
        draws = 0
        while waiting := [index for index in range(len(specs)) if index not in found]:
            draws = self._stop(draws)
            bank.reach(draws, [member for index in waiting for member in groups[index]])
            candidates = {index: _Candidate(self, specs[index], groups[index], bank, draws) for index in waiting}
            found |= {index: candidate.measurement() for index, candidate in candidates.items() if candidate.is_done}
            racing = {index: rival for index in waiting if rivals and index not in found and (rival := rivals[index])}
            found |= {
                index: candidates[index].measurement(raced=True) for index in self._lost(candidates, racing, bank, draws)
            }
        seconds = (time.perf_counter() - started) / max(1, sum(map(len, groups)))
        rows = [members(rival, self.patterns, self.seed) for rival in rivals or () if rival is not None]
        bank.keep({member.key for group in rows for member in group})
        return [_timed(found[index], seconds) for index in range(len(specs))]

    def _lost(self, candidates: Mapping[int, _Candidate], racing: Mapping[int, Spec], bank: _Bank, draws: int) -> list[int]:
        """The candidates that are certain to be worse than their rivals, both over the first `draws` draws."""
        groups = {rival.key: members(rival, self.patterns, self.seed) for rival in racing.values()}
        bank.reach(draws, [member for group in groups.values() for member in group])
        rivals = {key: _Candidate(self, group[0], group, bank, draws).terms for key, group in groups.items()}
        lost = []
        for index, rival in racing.items():
            own, other = candidates[index].terms, rivals[rival.key]
            if own is not None and other is not None:
                excess, error = own.excess(other, self.objective)
                lost += [index] if excess > RACING_ERRORS * error else []
        return lost

    def _stop(self, draws: int) -> int:
        """The draws after the round that begins when there are `draws`: late rounds have few candidates, but many draws."""
        return min(2 * draws, max(self.max_draws, self.draws)) if draws else self.draws

    def _bank_of(self, inputs: Tensor, device: torch.device) -> _Bank:
        """What is sampled already on these very inputs: the rivals of the last call."""
        if not self._sampled or self._sampled[0].inputs is not inputs or self._sampled[0].device != device:
            self._sampled[:] = [_Bank(self, inputs, device)]
        return self._sampled[0]

    @cached_property
    def _sampled(self) -> list[_Bank]:
        return []

    @cached_property
    def _tally(self) -> Tally:
        return Tally()


class _Bank:
    """The samples on one set of inputs, a round of draws at a time; None for an architecture that is out of memory."""

    def __init__(self, score: Apjn, inputs: Tensor, device: torch.device) -> None:
        self.score, self.inputs, self.device = score, inputs, device
        self.samples: dict[str, Samples | None] = {}
        self._drawn: Counter[str] = Counter()

    def reach(self, draws: int, specs: Sequence[Spec]) -> None:
        """Sample until each of these has that many draws, few at a time: all share the weights while they are there."""
        score, unique = self.score, {spec.key: spec for spec in specs}
        memory = None if score.max_memory is None else score.max_memory * 2**30
        self._check_room(draws, list(unique.values()), memory)
        start, together = 0, min(score.draws, TOGETHER)
        while start < draws:
            stop = min(start + together, draws)
            behind = [spec for key, spec in unique.items() if self._drawn[key] == start]
            numbers = Draws(score.seed, range(start, stop), DTYPES[score.dtype], self.device)
            run = sampled(behind, self.inputs, numbers, PLANS[score.plan], score.dtype, memory, score._tally)
            for position, samples in run if behind else ():
                key = behind[position].key
                before = self.samples.get(key)
                self.samples[key] = samples if before is None or samples is None else joined([before, samples])
                self._drawn[key] = stop
            start = stop

    def _check_room(self, draws: int, specs: Sequence[Spec], memory: float | None) -> None:
        """Refuse what would not fit beside the sampling: all samples stay until their architectures are measured."""
        plan = PLANS[self.score.plan]
        numbers = 1 + 2 * (plan.tangents + plan.cotangents) if any(spec.tokens > 1 for spec in specs) else 1
        numbers += plan.tangents + plan.cotangents
        needed = 8 * draws * plan.inputs * numbers * sum(len(spec.blocks) + 1 for spec in specs)
        room = free(torch.device("cpu")) / 2 if memory is None else memory
        if needed > room:
            rule = f"few enough for {room / 2**30:.3g} GiB, half of what is free or `score.max_memory`"
            told = f"{draws} draws of {len(specs)} architectures, whose samples take {needed / 2**30:.3g} GiB"
            raise InputError(f"`score.draws`, `score.max_draws` and `search.batch` must be {rule}, got {told}")

    def keep(self, keys: Collection[str]) -> None:
        """Forget the others."""
        for key in self.samples.keys() - keys:
            del self.samples[key], self._drawn[key]


class _Candidate:
    """One architecture over the first `draws` draws: its terms, or why it has none."""

    def __init__(self, score: Apjn, spec: Spec, group: Sequence[Spec], bank: _Bank, draws: int) -> None:
        self.score, self.spec, self.group, self.draws = score, spec, group, draws
        held = {member.key: bank.samples[member.key] for member in group}
        self.samples = {key: None if item is None else item.first(draws) for key, item in held.items()}
        self.result = _result([self.samples[member.key] for member in group], _solves(spec), score.objective)
        self.terms = self.result.terms if self.result.status == "ok" else None
        self.precise = self._precise(self.result)

    def _precise(self, result: _Result) -> bool | None:
        """Whether the objective is as precise as was asked for; None if nothing was, or there is none."""
        if self.score.rel_error is None or result.status != "ok" or result.terms is None:
            return None
        return result.terms.draw_error(self.score.objective) <= self.score.rel_error

    @property
    def is_done(self) -> bool:
        """Whether another round is of no use, or not allowed."""
        return self.precise is not False or self.draws >= self.score.max_draws

    def measurement(self, raced: bool = False) -> Measurement:
        """The measurement, with those of its patterns if it is an ensemble."""
        whole = self._measurement(self.spec.key, self.result, [self.samples[member.key] for member in self.group], raced)
        if not self.spec.is_ensemble:
            return whole
        inner = {}
        for key, samples in self.samples.items():
            result = _result([samples], _solves(self.spec), self.score.objective)
            inner[key] = self._measurement(key, result, [samples], raced)
        return with_members(whole, self.group, inner)

    def _measurement(self, key: str, result: _Result, samples: Sequence[Samples | None], raced: bool) -> Measurement:
        single = samples[0] if len(samples) == 1 and result.status == "ok" else None
        return Measurement(
            key=key,
            status=result.status,
            reason=result.reason,
            terms=_estimates(result, [item for item in samples if item is not None]),
            profile=_profile(single, result.living) if single is not None else (),
            draws=self.draws,
            kept_key=key,
            precision_reached=self._precise(result),
            raced=raced,
        )


class _Result(NamedTuple):
    """What samples say: a status with its reason, the share of zero Jacobians, and terms where all is finite.

    `living` [S, D] are the draws of each pattern without a zero Jacobian, of which the terms and the profile speak.
    """

    status: Status
    reason: str | None
    dead: Estimate
    terms: Terms | None
    living: NDArray[np.bool_]


def measured_at(key: str, samples: Samples) -> Measurement:
    """What samples of one network with fixed weights say, a pair of points a draw.

    The terms are those of the sampled score, their spread and their standard errors over points and probes.
    """
    result = _result([samples], False, "trainability_cost")
    lines = _profile(samples, result.living) if result.status == "ok" else ()
    draws, terms_of = len(samples.decorrelation), _estimates(result, [samples])
    return Measurement(key, result.status, result.reason, terms_of, lines, draws, kept_key=key)


def _estimates(result: _Result, held: Sequence[Samples]) -> dict[str, Estimate]:
    estimates = dict.fromkeys(TERMS, Estimate(None, None)) | {"dead_fraction": result.dead}
    if result.terms is not None:
        values = zip(NAMES, result.terms.values, result.terms.errors, strict=True)
        estimates |= {name: _estimate(value, error) for name, value, error in values}
        estimates |= {name: _estimate(value, error) for name, (value, error) in token_terms(held, result.living).items()}
    return estimates


def _result(samples: Sequence[Samples | None], solves: bool, objective: str) -> _Result:
    """Of the samples of each pattern of an architecture."""
    unknown, nothing = Estimate(None, None), np.zeros((0, 0), dtype=bool)
    held = [item for item in samples if item is not None]
    if len(held) < len(samples):
        return _Result("out_of_memory", "there is no memory for it, even alone", unknown, None, nothing)
    failure = next((reason for item in held if (reason := _failure(item))), None)
    if failure is not None and solves:
        failure += ": Newton's method finds no solution of the block, or it has none"
    dead_SDI = np.stack([_is_dead(item) for item in held])
    dead_D, living = dead_SDI.mean(axis=(0, 2)), np.logical_not(dead_SDI.any(axis=2))
    dead = _estimate(dead_D.mean(), dead_D.std(ddof=1) / math.sqrt(len(dead_D)))
    lost = 1 - float(living.mean())
    if failure is None and lost > DEAD_DRAWS:
        failure = f"{lost:.3g} of the draws have a zero Jacobian, more than {DEAD_DRAWS:g}"
    if failure is not None:
        return _Result("diverged", failure, dead, None, living)
    found = terms(held, living)
    known = NAMES[:-1] if objective == "trainability_cost" else ("log_mean", "mean_log", "sd_log", "log_decorrelation")
    missing = [name for name in known if not np.isfinite(found.values[NAMES.index(name)])]
    failure = f"{missing[-1]} is not finite" if missing else None
    return _Result("diverged" if missing else "ok", failure, dead, found, living)


def _solves(spec: Spec) -> bool:
    """Whether some block is the solution of an equation."""
    return any(spec.solves(number) for number in range(len(spec.blocks)))


def _is_dead(samples: Samples) -> NDArray[np.bool_]:
    """[D, I] where the Jacobian is zero, in one direction at least: in the other it may be round-off."""
    ends = np.concatenate([samples.forward[..., -1], samples.backward[..., 0], samples.round_trip], axis=-1)
    return np.asarray(np.isneginf(ends).any(axis=-1))


def _failure(samples: Samples) -> str | None:
    """Where activations or Jacobian first stop being finite, or None."""
    bad = np.isnan(samples.stream) | np.isposinf(samples.stream)
    if bad.any():
        return f"the activations are not finite at layer {np.flatnonzero(bad.any(axis=(0, 1)))[0]}"
    for name, energies in (("forward", samples.forward), ("backward", samples.backward)):
        bad = np.isnan(energies) | np.isposinf(energies)
        if bad.any():
            layers = np.flatnonzero(bad.any(axis=(0, 1, 2)))
            return f"the {name} Jacobian is not finite at layer {layers[0] if name == 'forward' else layers[-1]}"
    return None


def _timed(measurement: Measurement, seconds: float) -> Measurement:
    """With its share of the time: `seconds` for each network sampled."""
    patterns = tuple((text, replace(inner, seconds=seconds)) for text, inner in measurement.patterns)
    return replace(measurement, seconds=seconds * max(1, len(patterns)), patterns=patterns)


def _profile(samples: Samples, living: NDArray[np.bool_]) -> tuple[Layer, ...]:
    """The norms of the draws that are `living` [1, D], by layer; from a layer to itself the Jacobian is the identity."""
    last = samples.stream.shape[-1] - 1
    directions: tuple[tuple[Literal["forward", "backward"], Array, int], ...] = (
        ("forward", samples.forward, 0),
        ("backward", samples.backward, last),
    )
    return tuple(
        Layer(f"h_{number}", direction, *((0.0, 0.0, 0.0) if number == origin else map(_finite, row)))
        for direction, energies, origin in directions
        if energies.size
        for number, row in enumerate(zip(*profile(energies[living[0]]), strict=True))
    )


def _estimate(value: float, error: float) -> Estimate:
    return Estimate(_finite(value), _finite(error))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
