"""A search around a checkpoint: what makes it that search, and what is measured of one network with weights.

The terms are those of the sampled score, with the weights fixed and a pair of data points in the place of a draw; depth is
by the branches' energies at the data. No closed form enters, for after training branches are not independent.
"""

from __future__ import annotations

import hashlib
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
from nasjac.datasets import Data
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import facts
from nasjac.mathematics.meanfield.growth import measured_sum
from nasjac.samplers.options import check_sampler
from nasjac.scores.sampled_terms import measured_at
from nasjac.searching.job import DIGITS, Job, SearchOptions, Verdict, digest_of
from nasjac.searching.objectives import OBJECTIVES, Budget, knee_of, objective_values
from nasjac.searching.options import Chosen
from nasjac.searching.study import Proposal, SamplerFactory
from nasjac.searching.warm_space import Choices, WarmOptions, WarmSpace
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.store.leaderboard import AROUND
from nasjac.store.rows import State, TrialRow
from nasjac.surgery.branches.ours import links_of, measurable
from nasjac.surgery.branches.samples import samples_at
from nasjac.surgery.insertion import Beginning
from nasjac.surgery.paths import branch_norms, chain_of
from nasjac.surgery.sources import folder_of, own_data, own_name
from nasjac.surgery.trained import trained

#: what is known at initialization alone, and why
OF_INITIALIZATION = {
    "merit": "merit ranks among architectures without weights",
    "nonlinear_effective_depth": "the nonlinearity is known at initialization alone",
}
#: terms of a row, each with its standard error
TERMS = ("trainability_cost", "mean_log", "sd_log", "log_rank", "log_decorrelation")


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
    warm: WarmOptions = field(default_factory=WarmOptions)
    options: SearchOptions = field(default_factory=SearchOptions)
    seed: int = 0
    names: Mapping[str, Any] = field(default_factory=dict)
    data: Data = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", self.space.old.data)
        check_sampler(self.sampler, self.seed)
        if other := next((name for name in self.objectives if name in OF_INITIALIZATION), None):
            others = ", ".join(name for name in OBJECTIVES if name not in OF_INITIALIZATION)
            rule = f"of {others} with a checkpoint, for {OF_INITIALIZATION[other]}"
            raise InputError(f"`search.objectives` must be {rule}, got {other}")
        if (held := len(self.data.valid_inputs)) < self.warm.points:
            raise InputError(f"`warm.points` must be at most the {held} validation inputs, got {self.warm.points}")
        most = int(self.budget.max_flops or facts([self.space.old.spec])[0].flops)
        if most < (least := self.space.least_flops):
            raise InputError(f"`budget.max_flops` must be at least {least}, those of the smallest network, got {most}")
        object.__setattr__(self, "budget", replace(self.budget, max_flops=most, min_effective_depth=float_info.min))

    @property
    def default_objectives(self) -> tuple[str, ...]:
        """Cost and depth are those of the trained weights."""
        return ("trainability_cost", "effective_depth")

    @cached_property
    def parts(self) -> Mapping[str, Mapping[str, Any]]:
        """Weights and data count, not the places that they are read from."""
        old = self.space.old
        return {
            AROUND: {"key": old.spec.key, "weights": self.weights},
            "warm": {name: value for name, value in asdict(self.warm).items() if name != "allow_pickle"},
            "sampler": self.names,
            "dataset": {"name": old.provenance.dataset, "digest": self.data.digest},
        }

    @property
    def score_name(self) -> str:
        return AROUND

    @cached_property
    def score_id(self) -> str:
        """Weights, data, and how networks are made and measured."""
        warm = self.warm
        return digest_of([self.weights, self.data.digest, warm.points, warm.init, warm.gain, self.seed])

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
        score_id = digest_of([self.score_id, self.token("", choices)])
        if found.measurement is None:
            most = math.log(self.warm.tau)
            told = f"Σ ln(1 + ‖J_F‖) of the new blocks is {found.growth_sum:.4g}, above ln τ = {most:.4g}"
            return Verdict("infeasible", None, told, score_id, notes=found.notes)
        known = replace(found.facts, effective_depth=found.depth or 0.0)
        values, reason = objective_values(self.objectives, found.measurement, known)
        if found.depth == 0:
            values, reason = None, "failed: no branch has any energy at the data"
        state: State = "complete" if values else "failed"
        return Verdict(state, values, reason, score_id, None, found.measurement.status, found.measurement, found.notes)

    def examine(self, choices: Choices) -> Examined:
        """Measure the network of these choices at the data; of new blocks that are too large their sum alone."""
        began = time.perf_counter()
        found = self.space.network(choices)
        known, module = facts([found.spec])[0], found.module(*self.space.old.sizes).eval()
        network, points = measurable(module), self.space.old.points(self.warm.points)
        norms = branch_norms(links_of(found.spec, network, points), found.new, Generator().manual_seed(self.seed))
        total = measured_sum(float(each.spectral.max()) for each in norms.values())
        measurement, depth = None, None
        if total <= math.log(self.warm.tau):
            measurement = self.measurement(found.spec.key, network)
            if measurement.status == "ok":
                weighed = replace(self.space.old, spec=found.spec, module=module, at=self.warm.points)
                depth = chain_of(weighed, self.seed).paths.effective_depth
        return Examined(found.spec.key, known, total, measurement, depth, time.perf_counter() - began)

    def measurement(self, key: str, network: nn.Module) -> Measurement:
        """The terms of a network with weights, ∂h_L/∂h_0 at the points; as `measurable` makes it."""
        points = self.space.old.points(self.warm.points)
        return measured_at(key, samples_at(network, points, self.seed))

    def recommend(self, store: Store, study: str) -> None:
        """Recommend the knee of the complete trials, whose objectives are those at the weights."""
        rows = [row for row in store.trials(study) if row.state == "complete"]
        if rows:
            index, reason = knee_of([list(row.objectives.values()) for row in rows], self.objectives)
            store.recommend(study, str(rows[index].architecture_key), f"trial {rows[index].number}: {reason}")


def warm_search_of(
    source: str,
    sampler: Chosen,
    dataset: Chosen | None,
    budget: Budget,
    options: SearchOptions,
    warm: WarmOptions,
    seed: int,
) -> WarmSearch:
    """Return the search around the checkpoint in the folder `source`, by default on the data that it was trained on.

    Raises:
        InputError: The folder is no checkpoint, an option is wrong or is of a search at initialization.
    """
    own_depth = budget.min_effective_depth != Budget.min_effective_depth
    for name, differs in (("search.racing", options.racing), ("budget.min_effective_depth", own_depth)):
        if differs:
            rule = "for the architectures searched are those around the checkpoint, at its weights"
            raise InputError(f"`{name}` must be left out with search.warm_start, {rule}")
    folder = folder_of(source, "search.warm_start")
    info = checkpoint.read_info(folder)
    if dataset is None:
        name, data = own_name(info), own_data(info)
    else:
        name, data = dataset.made.name, dataset.made.load()
    beginning = Beginning(warm.init, warm.gain, seed)
    space = WarmSpace(trained(folder, data, warm.allow_pickle, name), warm.insert, beginning)
    names = {"name": sampler.name, **sampler.options}
    return WarmSearch(space, sampler.made, budget, warm, options, seed, names)
