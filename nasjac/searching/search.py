"""A search among architectures at initialization: what makes it that search, and how proposals are scored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from nasjac.architecture.inputs import Inputs
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.space import Space, as_space
from nasjac.datasets import Data, check_kind
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import facts
from nasjac.kinds.options.sized import SizedSpace
from nasjac.kinds.spaces import SPACES
from nasjac.samplers.options import check_sampler
from nasjac.samplers.random_specs import random_specs
from nasjac.samplers.studies import random_study
from nasjac.scores import Score
from nasjac.searching import racing
from nasjac.searching.job import DIGITS, Job, SearchOptions, Verdict, digest_of
from nasjac.searching.objectives import Budget, knee_of, objective_values
from nasjac.searching.options import Chosen
from nasjac.searching.reach import check_reach
from nasjac.searching.scored import standings
from nasjac.searching.study import Proposal, SamplerFactory
from nasjac.store import Store
from nasjac.store.rows import State, TrialRow


@dataclass(frozen=True)
class Search(Job):
    """A search among architectures at initialization, which their keys tell apart.

    `names` labels its open parts (space, score, sampler, dataset) and their options; `bends` says whether the nonlinear
    effective depth of its architectures is known.
    """

    space: Space
    score: Score
    sampler: SamplerFactory
    data: Data
    names: Mapping[str, Mapping[str, Any]]
    budget: Budget = field(default_factory=Budget)
    options: SearchOptions = field(default_factory=SearchOptions)
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    bends: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise InputError(f"`seed` must be a whole number in [0, 2^32), got {self.seed!r}")
        if not callable(self.space):
            raise InputError(f"`space` must be a callable trial -> Spec, got {self.space!r}")
        check_sampler(self.sampler, self.seed)
        if self.options.racing:
            racing.check(self.score, self.objectives)

    @property
    def default_objectives(self) -> tuple[str, ...]:
        """What the score is for, with the effective depth where the nonlinear one is not known."""
        if self.bends:
            return self.score.objectives
        plain = {"nonlinear_effective_depth": "effective_depth"}
        return tuple(dict.fromkeys(plain.get(name, name) for name in self.score.objectives))

    def space_at(self, budget: Budget) -> Space:
        """Return the space at the size of another budget, where widths are solved for; otherwise the space itself."""
        target = budget.target(self.data.inputs, self.data.outputs)
        if target is None or not isinstance(self.space, SizedSpace):
            return self.space
        return self.space.at_size(target)

    @property
    def score_name(self) -> str:
        return self.score.name

    @cached_property
    def parts(self) -> Mapping[str, Mapping[str, Any]]:
        """Without the score's options that no value depends on, and what `Space.stored` leaves out of the space's.

        So older studies can be resumed. The score has the version of its formulas, and the data count, not their options.
        """
        score = {name: value for name, value in self.names["score"].items() if name not in self.score.incidental}
        inputs = hashlib.sha256(self.data.train_inputs.numpy().tobytes()).hexdigest()[:DIGITS]
        return {
            **self.names,
            "space": as_space(self.space).stored(self.names["space"]),
            "score": score if self.score.formulas is None else {**score, "formulas": self.score.formulas},
            "dataset": {"name": self.names["dataset"]["name"], "inputs": inputs},
        }

    @cached_property
    def score_id(self) -> str:
        """Digest of all that a measurement depends on beside the architecture; `score_id_in` where it races."""
        content = {"score": self.parts["score"], "dataset": self.parts["dataset"], "device": self.device.type}
        return digest_of(content if self.score.digest is None else {**content, "reference": self.score.digest})

    @property
    def default_name(self) -> str:
        """The study's name unless one is given."""
        parts = (str(self.names[part]["name"]).rpartition(":")[2] for part in ("space", "dataset", "sampler"))
        return "-".join((*parts, str(self.seed)))

    def score_id_in(self, study: str) -> str:
        """A racing study has a digest of its own: how far a candidate is sampled depends on all that it has met before."""
        return digest_of([self.score_id, study]) if self.options.racing else self.score_id

    def token(self, key: str, choices: Mapping[str, Any]) -> str:
        """The key: equal Specs are one network here."""
        return key

    def measure(
        self,
        store: Store,
        study: str,
        proposals: Sequence[Proposal],
        told: Sequence[TrialRow],
        over: Callable[[], bool],
    ) -> Iterator[Verdict]:
        """Take what the store has, and measure the others all together, whatever `over` says."""
        score_id = self.score_id_in(study)
        known = store.reusable([proposal.spec.key for proposal in proposals], score_id)
        unknown = [proposal for proposal in proposals if proposal.spec.key not in known]
        fresh = {item.key: item for item in (self._score(store, unknown, told) if unknown else [])}
        for proposal in proposals:
            measured = fresh.get(proposal.spec.key)
            item = measured or known[proposal.spec.key]
            values, reason = objective_values(self.objectives, item, proposal.facts)
            state: State = "complete" if values else "failed"
            yield Verdict(state, values, reason, score_id, item.kept_key, item.status, measured)

    def _score(self, store: Store, proposals: Sequence[Proposal], told: Sequence[TrialRow]) -> list[Measurement]:
        specs = [proposal.spec for proposal in proposals]
        if not self.options.racing:
            return self.score.measure(specs, self.data.train_inputs, self.device)
        rivals = racing.rivals(store, proposals, told, self.objectives)
        return self.score.race(specs, self.data.train_inputs, self.device, rivals)

    def recommend(self, store: Store, study: str) -> None:
        """Recommend the knee of the front; objectives whose ratios matter enter by their logarithm.

        The cost is in nats already, so both axes are: a doubled depth is worth the same anywhere.
        """
        keys, values = standings(store, study, self.objectives)
        if keys:
            index, reason = knee_of(values, self.objectives)
            store.recommend(study, keys[index], reason)


def search_of(
    space: Chosen,
    score: Chosen,
    sampler: Chosen,
    dataset: Chosen,
    budget: Budget,
    options: SearchOptions,
    seed: int,
    device: torch.device,
) -> Search:
    """Return the search that these options describe: the space fitted to data and budget, the score with its population.

    The population is drawn from the space at its usual widths, whatever the budget is.

    Raises:
        InputError: The dataset cannot be read, space and data do not go together, an option is wrong, or no
            architecture of the space has the size of the budget.
    """
    chosen = {"space": space, "score": score, "sampler": sampler, "dataset": dataset}
    data = dataset.made.load()
    sample = Inputs(tokens=data.train_inputs.shape[1] if data.is_tokens else None, shape=data.shape)
    fitted = as_space(space.made).for_data(sample)
    if type(fitted) in SPACES.values():
        check_kind(data, fitted(random_study(0).ask()))
    target = budget.target(data.inputs, data.outputs)
    sized = fitted if target is None else fitted.at_size(target)
    if isinstance(sized, SizedSpace):
        check_reach(sized)
    names = {group: {"name": one.name, **one.options} for group, one in chosen.items()}
    bends = type(fitted) in SPACES.values() or "nonlinear_effective_depth" not in score.made.objectives
    bends = bends or facts(random_specs(fitted, 1))[0].nonlinear_effective_depth is not None
    job = Search(sized, score.made, sampler.made, data, names, budget, options, seed, device, bends)
    if not score.made.reference:
        return job
    return replace(job, score=score.made.bind(random_specs(fitted, score.made.reference)))
