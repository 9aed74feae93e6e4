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
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasjac.architecture.ensemble import members, with_members
from nasjac.architecture.measurement import TERMS, Estimate, Layer, Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import columns
from nasjac.mathematics.logarithms import mean_of_log
from nasjac.mathematics.meanfield import Columns, expected_norms, fluctuations
from nasjac.mathematics.meanfield.columns import Mask
from nasjac.mathematics.meanfield.correlation import output_decorrelation
from nasjac.mathematics.meanfield.expected import model_error
from nasjac.mathematics.meanfield.moments import Array
from nasjac.mathematics.trainability import trainability_cost, trainability_penalty
from nasjac.sampling.estimators import NAMES
from nasjac.scores.base import Score
from nasjac.scores.closed_forms import uncovered

Direction = Literal["forward", "backward"]

NODES = 5  # quadrature nodes over inputs
ROWS = 2048  # inputs that are looked at, at most


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
        found = dict(zip(rows, _measure(list(rows.values()), _Inputs.of(inputs)), strict=True)) if rows else {}
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


class _Inputs(NamedTuple):
    """What the closed forms know of the data: mean and variance of log ‖x‖² / features, and quantiles of the cosines."""

    log_size: float
    log_size_variance: float
    cosines: Array  # [NODES]

    @staticmethod
    def of(inputs: Tensor) -> _Inputs:
        """Of at most `ROWS` inputs [n, features], spread evenly. An input that is zero has no direction and is left out."""
        picked = inputs[torch.linspace(0, len(inputs) - 1, min(ROWS, len(inputs))).long()].to("cpu", torch.float64)
        size = picked.square().mean(dim=1)
        picked, size = picked[size > 0], size[size > 0]
        if len(picked) < 2:
            raise InputError(f"`inputs` must hold at least 2 rows that are not zero, got {len(picked)}")
        order = torch.randperm(len(picked), generator=torch.Generator().manual_seed(0))
        unit = torch.nn.functional.normalize(picked[order], dim=1)
        cosines = (unit * unit.roll(1, dims=0)).sum(dim=1).clamp(-1, 1)
        levels = (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES
        logs = size.log()
        return _Inputs(float(logs.mean()), float(logs.var(correction=0)), torch.quantile(cosines, levels).numpy())


class _Terms(NamedTuple):
    """Of each spec [B] or [B, L + 1], averaged over initializations and inputs."""

    log_mean: dict[Direction, Array]
    mean_log: dict[Direction, Array]
    sd_log: Array
    log_effective_rank: Array
    gate_variance: Array
    exact: Mask


def _measure(specs: list[Spec], inputs: _Inputs) -> list[Measurement]:
    chains = columns(specs)
    width = np.array([spec.width for spec in specs], dtype=np.float64)
    terms = _over_sizes(chains, width, inputs)
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
        "dead_fraction": _dead(chains, width),
        "sd_log_patterns": np.where([spec.is_ensemble for spec in specs], np.sqrt(terms.gate_variance), np.nan),
    }
    errors = model_error(terms.exact, [len(spec.blocks) for spec in specs], width)
    return [_measurement(spec, row, values, terms, float(errors[row])) for row, spec in enumerate(specs)]


def _over_sizes(chains: Columns, width: Array, inputs: _Inputs) -> _Terms:
    """Means over the size of h_0, whose logarithm has the variance of the data's and of χ²_N / N (the embedding's).

    Gauss-Hermite nodes in that logarithm, taken as normal.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    half = torch.from_numpy(width / 2)
    center = inputs.log_size + torch.digamma(half).numpy() - np.log(width / 2)
    spread = np.sqrt(inputs.log_size_variance + torch.polygamma(1, half).numpy())
    size = np.exp(center[:, None] + spread[:, None] * nodes).ravel()  # [B NODES]
    repeated = chains.take(np.repeat(np.arange(len(width)), NODES))
    means, moments = expected_norms(repeated, size), fluctuations(repeated, np.repeat(width, NODES), size)

    def at_nodes(values: Array) -> Array:
        return values.reshape(len(width), NODES, *values.shape[1:])

    def average(values: Array) -> Array:
        return np.asarray((at_nodes(values) * weights.reshape(-1, *[1] * (values.ndim - 1))).sum(axis=1))

    log_mean: dict[Direction, Array] = {}
    mean_log: dict[Direction, Array] = {}
    directions: tuple[tuple[Direction, Array, Array, Array], ...] = (
        ("forward", means.forward, means.forward_typical, moments.forward),
        ("backward", means.backward, means.backward_typical, moments.backward),
    )
    for direction, log, typical, gap in directions:
        top = at_nodes(log).max(axis=1)
        log_mean[direction] = top + np.log(average(np.exp(log - np.repeat(top, NODES, axis=0))))
        mean_log[direction] = average(mean_of_log(typical, gap))
    deviation = mean_of_log(means.forward_typical, moments.forward)[:, -1] - np.repeat(mean_log["forward"][:, -1], NODES)
    sd_log = np.sqrt(average(moments.forward[:, -1] + deviation**2))
    return _Terms(
        log_mean, mean_log, sd_log, average(moments.log_effective_rank), average(means.gate_variance), chains.exact
    )


def _dead(chains: Columns, width: Array) -> Array:
    """[B] probability that some relu layer without a skip is dead, 2^-N each. `log_mean` counts such networks in.

    E log 𝒥 is strictly −∞ then; what stands for it is the log-normal law's, which they do not move at usual widths.
    """
    cuts = np.zeros(len(chains))
    for block in range(chains.depth):  # not one sum: its rounding would depend on the padding
        cuts += chains.keep[:, block] * (1 - chains.skip[:, block])
    cuts *= np.asarray(chains.activation) == "relu"
    return np.asarray(-np.expm1(cuts * np.log1p(-(2.0**-width))))


def _measurement(spec: Spec, row: int, values: dict[str, Array], terms: _Terms, error: float) -> Measurement:
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


def _profile(terms: _Terms, row: int, depth: int) -> Iterator[Layer]:
    """Its own layers: what `columns` padded behind them is the identity."""
    for direction in terms.log_mean:
        log_mean, mean_log = (part[direction][row, : depth + 1].tolist() for part in (terms.log_mean, terms.mean_log))
        for number, (mean, log) in enumerate(zip(log_mean, mean_log, strict=True)):
            yield Layer(f"h_{number}", direction, mean, log, 0.0)
