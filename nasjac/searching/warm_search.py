"""A search around a checkpoint: its options, and what is measured of one network with weights."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from sys import float_info
from typing import Any

from torch import Generator, nn

from nasjac.architecture.measurement import Measurement
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import Facts, facts
from nasjac.mathematics.meanfield.growth import edge_time, measured_sum
from nasjac.samplers.options import check_sampler
from nasjac.scores.apjn import measured_at
from nasjac.searching.objectives import OBJECTIVES, Budget, directions
from nasjac.searching.search import objective_values
from nasjac.searching.study import SamplerFactory
from nasjac.searching.warm_space import Choices, WarmSpace
from nasjac.surgery.branches.ours import branch_norms, measurable
from nasjac.surgery.branches.samples import samples_at
from nasjac.surgery.growth import Beginning
from nasjac.surgery.paths import chain_of

#: cost and depth are those of the trained weights
OBJECTIVES_OF_WEIGHTS = ("trainability_cost", "effective_depth")
#: terms of a row, each with its standard error
TERMS = ("trainability_cost", "mean_log", "sd_log", "log_rank", "log_decorrelation")
Row = dict[str, Any]


@dataclass(frozen=True)
class WarmOptions:
    """Options of a search from a checkpoint.

    `points`  validation inputs at which Jacobians are taken, an even number
    `insert`  most new blocks at each place (layers, in a transformer), at most 64
    `init`, `gain`  how they begin: small_gain (fresh) or copy, their branch `gain` times as large
    `tau`     they keep Σ ln(1 + ‖J_F‖₂) ≤ ln τ, measured
    `allow_pickle`  take a pickled state_dict
    """

    points: int = 64
    insert: int = 1
    init: str = "small_gain"
    gain: float = 0.1
    tau: float = 2.0
    allow_pickle: bool = False

    def __post_init__(self) -> None:
        if self.points < 16 or self.points % 2:
            raise InputError(f"`warm.points` must be an even number of at least 16, got {self.points!r}")
        arguments.whole("warm.insert", self.insert, 0, 64)
        edge_time(self.tau)  # its own check
        Beginning(self.init, self.gain)


@dataclass(frozen=True)
class WarmSearch:
    """Everything that makes a search around a checkpoint."""

    space: WarmSpace
    sampler: SamplerFactory
    budget: Budget
    options: WarmOptions = field(default_factory=WarmOptions)
    objectives: tuple[str, ...] = OBJECTIVES_OF_WEIGHTS
    batch: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        directions(self.objectives)
        check_sampler(self.sampler, self.seed)
        if "nonlinear_effective_depth" in self.objectives:
            others = ", ".join(name for name in OBJECTIVES if name != "nonlinear_effective_depth")
            rule = f"of {others} with a checkpoint, for the nonlinearity is known at initialization alone"
            raise InputError(f"`search.objectives` must be {rule}, got nonlinear_effective_depth")
        if (there := len(self.space.old.data.valid_inputs)) < self.options.points:
            raise InputError(f"`warm.points` must be at most the {there} validation inputs, got {self.options.points}")
        least, most = self.space.least_flops, self.bounds.max_flops
        if most is not None and most < least:
            raise InputError(f"`budget.max_flops` must be at least {least}, those of the smallest network, got {most}")

    @property
    def bounds(self) -> Budget:
        """The budget: no more FLOPs than the checkpoint has unless others are given, and a branch at least."""
        most = self.budget.max_flops or facts([self.space.old.spec])[0].flops
        return replace(self.budget, max_flops=most, min_effective_depth=float_info.min)

    def measure(self, choices: Choices) -> Row:
        """What a network is at the data, as a row: state, reason, terms, depth; of blocks too large the reason alone."""
        began = time.perf_counter()
        found = self.space.network(choices)
        known, module = facts([found.spec])[0], found.module(*self.space.old.sizes).eval()
        network, points = measurable(module), self.space.old.points(self.options.points)
        norms = branch_norms(network, points, found.new, Generator().manual_seed(self.seed))
        total = measured_sum(float(each.spectral.max()) for each in norms.values())
        row: Row = {"key": found.spec.key, "growth_sum": total, "flops": known.flops, "params": known.params}
        if total > math.log(self.options.tau):
            told = f"Σ ln(1 + ‖J_F‖) of the new blocks is {total:.4g}, above ln τ = {math.log(self.options.tau):.4g}"
            return {**row, "state": "infeasible", "reason": told, "seconds": time.perf_counter() - began}
        measurement = self.measurement(found.spec.key, network)
        depth = None
        if measurement.status == "ok":
            depth = float(chain_of(found.spec, module, points, self.seed).content["effective_depth"])
        values, reason = self._values(measurement, known, depth)
        terms = {name: measurement.terms[name] for name in TERMS}
        return {
            **row,
            "state": "complete" if values else "failed",
            "reason": reason,
            "objectives": values,
            "effective_depth": depth,
            **{name: term.value for name, term in terms.items()},
            **{f"{name}_error": term.standard_error for name, term in terms.items()},
            "seconds": time.perf_counter() - began,
        }

    def measurement(self, key: str, network: nn.Module) -> Measurement:
        """The terms of a network with weights, ∂h_L/∂h_0 at the points; as `measurable` makes it."""
        points = self.space.old.points(self.options.points)
        return measured_at(key, samples_at(network, points, self.seed))

    def _values(self, found: Measurement, known: Facts, depth: float | None) -> tuple[dict[str, float] | None, str | None]:
        if depth == 0:
            return None, "failed: no branch has any energy at the data"
        return objective_values(self.objectives, found, replace(known, effective_depth=depth or 0.0))
