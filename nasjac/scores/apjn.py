"""The averaged partial Jacobian norm by sampling, to a stated precision: terms, cost and layer profile.

Source: Doshi, He & Gromov 2023 (arXiv:2111.12143) for the norm; Hutchinson 1990 for the probes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from nasjac.architecture.ensemble import members
from nasjac.architecture.fields import check_choice
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.kinds.population import Tally
from nasjac.sampling.estimators import NAMES, TOKEN_TERMS, VERSION
from nasjac.sampling.samples import FORWARD, INDEPENDENT
from nasjac.scores.base import Score
from nasjac.scores.candidate import Candidate, Precision
from nasjac.scores.sample_bank import DTYPES, SampleBank, Sampling

#: draws of the weights; a standard error falls with their square root, and is a thousandth of a nat by then
MOST_DRAWS = 2**16
#: skip patterns of an ensemble, each a network
MOST_PATTERNS = 2**12
PLANS = {"independent": INDEPENDENT, "forward": FORWARD}


@dataclass(frozen=True)
class Apjn(Score):
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

    name = "apjn"
    #: those of tokens are of transformers alone
    terms = tuple([*NAMES, "dead_fraction", *TOKEN_TERMS])
    incidental = ("max_memory",)
    #: measurements by other estimators are not compared with
    formulas = f"estimators {VERSION}"
    #: draws are paired: those of all architectures share weights, inputs and probes
    races = True

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
    def objective(self) -> str:
        """The term whose precision is asked for."""
        return "trainability_cost" if self.plan == "independent" else "mean_log"

    @property
    def provenance(self) -> Mapping[str, float | None]:
        """How the work so far was cut; `mean_group_size` is how many architectures shared a product."""
        tally = self._tally
        return {
            "mean_group_size": tally.mean_rows,
            "largest_tile": max(tally.tiles, default=None),
            "tiles_halved": tally.halvings,
        }

    def measure(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> list[Measurement]:
        """Measure each architecture on inputs [n, features] or [n, T], n at least 2, that are drawn at random.

        Args:
            specs: Architectures; an ensemble is the mean over `patterns` of its skip patterns.
            inputs: Standardized data, or token ids.
            device: Where networks are sampled.

        Returns:
            One Measurement for each architecture, with standard errors over draws, and with a profile by layer.

        Raises:
            InputError: The inputs do not fit; tf32 without a GPU; all samples together need more memory than there is.
        """
        return self.race(specs, inputs, device, [None] * len(specs))

    def race(
        self, specs: Sequence[Spec], inputs: Tensor, device: torch.device, rivals: Sequence[Spec | None]
    ) -> list[Measurement]:
        """Measure each architecture; one with a rival stops early if it is certainly worse, and is then `raced`.

        Worse is an objective above the rival's by more than 4 standard errors of the paired difference (the same draws).
        """
        if self.dtype == "tf32" and device.type != "cuda":
            raise InputError(f"`score.dtype` tf32 must be computed on a GPU, got device {device}")
        started = time.perf_counter()
        bank = self._bank_of(inputs, device)
        groups = [members(spec, self.patterns, self.seed) for spec in specs]
        measured: dict[int, Measurement] = {}
        draws = 0
        while waiting := [index for index in range(len(specs)) if index not in measured]:
            draws = min(2 * draws, max(self.max_draws, self.draws)) if draws else self.draws
            bank.reach(draws, [member for index in waiting for member in groups[index]])
            candidates = {index: Candidate(self._wanted, groups[index], bank.samples, draws) for index in waiting}
            ended = {index for index, candidate in candidates.items() if candidate.is_done}
            racing = {index: rival for index in waiting if index not in ended and (rival := rivals[index])}
            lost = self._lost(candidates, racing, bank, draws)
            measured |= {index: candidates[index].measurement(specs[index], raced=index in lost) for index in ended | lost}
        bank.keep({member.key for rival in rivals if rival for member in members(rival, self.patterns, self.seed)})
        seconds = (time.perf_counter() - started) / max(1, sum(map(len, groups)))
        return [_timed(measured[index], seconds) for index in range(len(specs))]

    def _lost(
        self, candidates: Mapping[int, Candidate], racing: Mapping[int, Spec], bank: SampleBank, draws: int
    ) -> set[int]:
        """The candidates that are certain to be worse than their rivals, both over the first `draws` draws."""
        groups = {rival.key: members(rival, self.patterns, self.seed) for rival in racing.values()}
        bank.reach(draws, [member for group in groups.values() for member in group])
        rivals = {key: Candidate(self._wanted, group, bank.samples, draws) for key, group in groups.items()}
        return {index for index, rival in racing.items() if candidates[index].is_worse_than(rivals[rival.key])}

    @property
    def _wanted(self) -> Precision:
        return Precision(self.objective, self.rel_error, self.max_draws)

    def _bank_of(self, inputs: Tensor, device: torch.device) -> SampleBank:
        """What is sampled already on these very inputs: the rivals of the last call."""
        if not self._banks or self._banks[0].inputs is not inputs or self._banks[0].device != device:
            how = Sampling(self.draws, PLANS[self.plan], self.seed, self.dtype, self.max_memory)
            self._banks[:] = [SampleBank(how, inputs, device, self._tally)]
        return self._banks[0]

    @cached_property
    def _banks(self) -> list[SampleBank]:
        return []

    @cached_property
    def _tally(self) -> Tally:
        return Tally()


def _timed(measurement: Measurement, seconds: float) -> Measurement:
    """With its share of the time: `seconds` for each network sampled."""
    patterns = tuple((text, replace(inner, seconds=seconds)) for text, inner in measurement.patterns)
    return replace(measurement, seconds=seconds * max(1, len(patterns)), patterns=patterns)
