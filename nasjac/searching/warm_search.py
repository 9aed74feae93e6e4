"""A search around a checkpoint: its options, and what is measured of one network with weights.

The terms are those of the sampled score, with the weights fixed and a pair of data points in the place of a draw; depth is
by the branches' energies at the data. No closed form enters, for after training branches are not independent.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from sys import float_info
from typing import Any

from torch import Generator, nn

from nasjac.architecture.facts import Facts
from nasjac.architecture.measurement import Measurement
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import facts
from nasjac.mathematics.meanfield.growth import edge_time, measured_sum
from nasjac.samplers.options import check_sampler
from nasjac.scores.sampled_terms import measured_at
from nasjac.searching.job import DIGITS, Job, Verdict
from nasjac.searching.objectives import OBJECTIVES, Budget, directions, knee_of, objective_values
from nasjac.searching.study import Proposal, SamplerFactory
from nasjac.searching.warm_space import Choices, WarmSpace
from nasjac.store import Store
from nasjac.store.leaderboard import AROUND
from nasjac.store.rows import TrialRow
from nasjac.surgery.branches.ours import links_of, measurable
from nasjac.surgery.branches.samples import samples_at
from nasjac.surgery.insertion import Beginning
from nasjac.surgery.paths import branch_norms, chain_of

#: cost and depth are those of the trained weights
OBJECTIVES_OF_WEIGHTS = ("trainability_cost", "effective_depth")
#: what is known at initialization alone, and why
OF_INITIALIZATION = {
    "merit": "merit ranks among architectures without weights",
    "nonlinear_effective_depth": "the nonlinearity is known at initialization alone",
}
#: terms of a row, each with its standard error
TERMS = ("trainability_cost", "mean_log", "sd_log", "log_rank", "log_decorrelation")


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


Token = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Examined:
    """One network with weights, at the data.

    `growth_sum`   Σ ln(1 + ‖J_F‖₂) of its new blocks
    `measurement`  None where that breaks the growth rule
    `depth`        by the branches' energies; None where there is no measurement
    """

    key: str
    facts: Facts
    growth_sum: float
    measurement: Measurement | None
    depth: float | None
    seconds: float

    @property
    def notes(self) -> dict[str, float | None]:
        """What its trial keeps, for no column of the database has it."""
        return {"growth_sum": self.growth_sum, "effective_depth": self.depth, "seconds": self.seconds}


@dataclass(frozen=True)
class WarmSearch(Job):
    """A search around a checkpoint. Its networks are told apart by their choices: equal Specs have different weights.

    `names` labels the sampler and its options. The budget is completed: no more FLOPs than the checkpoint has unless
    others are given, and a branch at least.
    """

    space: WarmSpace
    sampler: SamplerFactory
    budget: Budget
    options: WarmOptions = field(default_factory=WarmOptions)
    objectives: tuple[str, ...] = OBJECTIVES_OF_WEIGHTS
    batch: int = 64
    seed: int = 0
    names: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        directions(self.objectives)
        check_sampler(self.sampler, self.seed)
        if other := next((name for name in self.objectives if name in OF_INITIALIZATION), None):
            others = ", ".join(name for name in OBJECTIVES if name not in OF_INITIALIZATION)
            rule = f"of {others} with a checkpoint, for {OF_INITIALIZATION[other]}"
            raise InputError(f"`search.objectives` must be {rule}, got {other}")
        if (held := len(self.space.old.data.valid_inputs)) < self.options.points:
            raise InputError(f"`warm.points` must be at most the {held} validation inputs, got {self.options.points}")
        most = self.budget.max_flops or facts([self.space.old.spec])[0].flops
        if most < (least := self.space.least_flops):
            raise InputError(f"`budget.max_flops` must be at least {least}, those of the smallest network, got {most}")
        object.__setattr__(self, "budget", replace(self.budget, max_flops=most, min_effective_depth=float_info.min))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Weights and data count, not the places that they are read from."""
        old, options = self.space.old, asdict(self.options)
        options.pop("allow_pickle")
        content = {
            AROUND: {"key": old.spec.key, "weights": self.weights},
            "warm": options,
            "sampler": self.names,
            "dataset": {"name": old.provenance.dataset, "digest": self.dataset_digest},
            "search": {"batch": self.batch, "objectives": self.objectives, "racing": False},
            "seed": self.seed,
        }
        return json.loads(json.dumps(content))  # type: ignore[no-any-return]

    @property
    def score_name(self) -> str:
        return AROUND

    @cached_property
    def score_id(self) -> str:
        parts = [self.weights, self.dataset_digest, self.options.points, self.options.init, self.options.gain, self.seed]
        return _digest(parts)

    @property
    def dataset_digest(self) -> str:
        return self.space.old.data.digest

    @property
    def default_name(self) -> str:
        return f"{AROUND}-{self.space.old.spec.key}-{self.weights}-{self.seed}"

    @cached_property
    def weights(self) -> str:
        """Digest of the checkpoint's tensors."""
        found = hashlib.sha256()
        for name, tensor in sorted(self.space.old.module.state_dict().items()):
            found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            found.update(tensor.detach().cpu().contiguous().numpy().data)
        return found.hexdigest()[:DIGITS]

    def token(self, key: str, choices: Mapping[str, Any]) -> Token:
        return tuple(sorted(choices.items()))

    def measure(
        self,
        store: Store,
        study: str,
        proposals: Sequence[Proposal],
        told: Sequence[TrialRow],
        over: Callable[[], bool],
    ) -> Iterator[Verdict]:
        """Build and measure one network after another, until it is `over`."""
        for proposal in proposals:
            if over():
                return
            choices = proposal.trial.params
            yield self.verdict(choices, self.examine(choices))

    def verdict(self, choices: Choices, found: Examined) -> Verdict:
        """What is said of the network of these choices, whose measurement goes by weights and choices too."""
        score_id = _digest([self.score_id, self.token("", choices)])
        if found.measurement is None:
            most = math.log(self.options.tau)
            told = f"Σ ln(1 + ‖J_F‖) of the new blocks is {found.growth_sum:.4g}, above ln τ = {most:.4g}"
            return Verdict("infeasible", None, told, score_id, notes=found.notes)
        known = replace(found.facts, effective_depth=found.depth or 0.0)
        values, reason = objective_values(self.objectives, found.measurement, known)
        if found.depth == 0:
            values, reason = None, "failed: no branch has any energy at the data"
        state, item = "complete" if values else "failed", found.measurement
        return Verdict(state, values, reason, score_id, None, item.status, item, found.notes)  # type: ignore[arg-type]

    def examine(self, choices: Choices) -> Examined:
        """Measure the network of these choices at the data; of new blocks that are too large their sum alone."""
        began = time.perf_counter()
        found = self.space.network(choices)
        known, module = facts([found.spec])[0], found.module(*self.space.old.sizes).eval()
        network, points = measurable(module), self.space.old.points(self.options.points)
        norms = branch_norms(links_of(found.spec, network, points), found.new, Generator().manual_seed(self.seed))
        total = measured_sum(float(each.spectral.max()) for each in norms.values())
        measurement, depth = None, None
        if total <= math.log(self.options.tau):
            measurement = self.measurement(found.spec.key, network)
            if measurement.status == "ok":
                weighed = replace(self.space.old, spec=found.spec, module=module, at=self.options.points)
                depth = chain_of(weighed, self.seed).paths.effective_depth
        return Examined(found.spec.key, known, total, measurement, depth, time.perf_counter() - began)

    def measurement(self, key: str, network: nn.Module) -> Measurement:
        """The terms of a network with weights, ∂h_L/∂h_0 at the points; as `measurable` makes it."""
        points = self.space.old.points(self.options.points)
        return measured_at(key, samples_at(network, points, self.seed))

    def recommend(self, store: Store, study: str) -> None:
        """Recommend the knee of the complete trials, whose objectives are those at the weights."""
        rows = [row for row in store.trials(study) if row.state == "complete"]
        if rows:
            index, reason = knee_of([list(row.objectives.values()) for row in rows], self.objectives)
            store.recommend(study, str(rows[index].architecture_key), f"trial {rows[index].number}: {reason}")


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:DIGITS]
