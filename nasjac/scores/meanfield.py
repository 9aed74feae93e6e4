"""The closed form as a score: the terms of a measurement without a network and without a sample.

Means are exact or for N → ∞ (`Columns.exact`), where `model_error` is the usual size of what a finite width adds. Spread
and rank are exact where `fluctuations` is, and elsewhere leading order in 1/N without the stream's own fluctuations;
decorrelation is for N → ∞.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nasjac.architecture.ensemble import members, with_members
from nasjac.architecture.measurement import TERMS, Estimate, Layer, Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.kinds.facts import columns
from nasjac.mathematics.meanfield.correlation import output_decorrelation
from nasjac.mathematics.meanfield.expected import model_error
from nasjac.mathematics.meanfield.moments import Array
from nasjac.mathematics.trainability import trainability_cost, trainability_penalty
from nasjac.sampling.estimators import NAMES
from nasjac.scores.base import Score
from nasjac.scores.closed_forms import uncovered
from nasjac.scores.meanfield_terms import NODES, Inputs, Terms, dead_probability, over_sizes


@dataclass(frozen=True)
class Meanfield(Score):
    """Options of the closed-form score.

    `patterns`  skip patterns of an ensemble, at least 3, of which the cheapest is kept; its terms are over all patterns
    `seed`      of those patterns
    """

    patterns: int = 8
    seed: int = 0

    name = "meanfield"
    terms = (*NAMES, "dead_fraction")
    #: 2: in an ensemble E g² = s of a gate g that is there with probability s, where s² was taken before
    formulas = "closed forms 2"

    def __post_init__(self) -> None:
        object.__setattr__(self, "patterns", arguments.whole("score.patterns", self.patterns, 3, 2**12))
        object.__setattr__(self, "seed", arguments.seed("score.seed", self.seed))

    def measure(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> list[Measurement]:
        """Measure each architecture by closed forms: of the inputs their sizes and correlations enter, nothing else.

        Args:
            specs: Architectures; one that the closed forms do not cover gets the status `unsupported` and a reason.
            inputs: [n, features] standardized data, at least 2 rows of which are not zero.
            device: Not used; arrays are NumPy's.

        Returns:
            One Measurement for each architecture, without standard errors.

        Raises:
            InputError: Fewer than 2 rows of `inputs` that are not zero.
        """
        started = time.perf_counter()
        reasons = [uncovered(spec) for spec in specs]
        pairs = list(zip(specs, reasons, strict=True))
        groups = [[] if reason else members(spec, self.patterns, self.seed) for spec, reason in pairs]
        rows = {spec.key: spec.canonical for spec, reason in pairs if reason is None}
        rows |= {member.key: member for group in groups for member in group}
        found = dict(zip(rows, _measure(list(rows.values()), Inputs.of(inputs)), strict=True)) if rows else {}
        seconds = (time.perf_counter() - started) / max(1, len(rows))
        found = {key: replace(measurement, seconds=seconds) for key, measurement in found.items()}
        return [
            _unsupported(spec, reason) if reason else _whole(found, spec, group)
            for spec, group, reason in zip(specs, groups, reasons, strict=True)
        ]


def _unsupported(spec: Spec, reason: str) -> Measurement:
    nothing = dict.fromkeys(TERMS, Estimate(None, None))
    return Measurement(spec.key, "unsupported", reason, nothing)


def _whole(found: dict[str, Measurement], spec: Spec, group: list[Spec]) -> Measurement:
    if not spec.is_ensemble:
        return found[spec.key]
    whole = with_members(found[spec.key], group, found)
    return replace(whole, seconds=whole.seconds + sum(inner.seconds for _, inner in whole.patterns))


def _measure(specs: list[Spec], inputs: Inputs) -> list[Measurement]:
    chains = columns(specs)
    width = np.array([spec.width for spec in specs], dtype=np.float64)
    terms = over_sizes(chains, width, inputs)
    repeated, size = chains.take(np.repeat(np.arange(len(specs)), NODES)), math.exp(inputs.log_size)
    apart = output_decorrelation(repeated, np.tile(inputs.cosines, len(specs)), size)
    with np.errstate(divide="ignore"):
        log_decorrelation = np.log(apart[:, -1].reshape(-1, NODES).mean(axis=1))
    log_mean, mean_log = (profile["forward"][:, -1] for profile in (terms.log_mean, terms.mean_log))
    values = {
        "trainability_cost": trainability_cost(mean_log, terms.sd_log, terms.log_effective_rank, log_decorrelation),
        "trainability_penalty": trainability_penalty(mean_log, terms.sd_log, terms.log_effective_rank, log_decorrelation),
        "log_mean": log_mean,
        "mean_log": mean_log,
        "sd_log": terms.sd_log,
        "log_rank": terms.log_effective_rank,
        "log_decorrelation": log_decorrelation,
        "dead_fraction": dead_probability(chains, width),
        "sd_log_patterns": np.where([spec.is_ensemble for spec in specs], np.sqrt(terms.gate_variance), np.nan),
    }
    errors = model_error(terms.exact, [len(spec.blocks) for spec in specs], width)
    return [_measurement(spec, row, values, terms, float(errors[row])) for row, spec in enumerate(specs)]


def _measurement(spec: Spec, row: int, values: dict[str, Array], terms: Terms, error: float) -> Measurement:
    found = {name: float(value[row]) for name, value in values.items()}
    estimates = dict.fromkeys(TERMS, Estimate(None, None))
    estimates |= {name: Estimate(x, 0.0) for name, x in found.items() if math.isfinite(x)}
    missing = [name for name in found if name != "sd_log_patterns" and estimates[name].value is None]
    return Measurement(
        key=spec.key,
        status="diverged" if missing else "ok",
        reason=f"{missing[-1]} is not finite" if missing else None,
        terms=estimates,
        profile=tuple(_profile(terms, row, len(spec.blocks))),
        model_error=error,
    )


def _profile(terms: Terms, row: int, depth: int) -> Iterator[Layer]:
    """Its own layers: what `columns` padded behind them is the identity."""
    for direction in terms.log_mean:
        log_mean, mean_log = (part[direction][row, : depth + 1].tolist() for part in (terms.log_mean, terms.mean_log))
        for number, (mean, log) in enumerate(zip(log_mean, mean_log, strict=True)):
            yield Layer(f"h_{number}", direction, mean, log, 0.0)
