"""A search among architectures at initialization: its options, and how proposals are scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from nasjac.architecture.inputs import Inputs
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.space import Space, as_space
from nasjac.datasets import Data, check_kind
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.kinds.spaces import SPACES
from nasjac.samplers.options import check_sampler
from nasjac.samplers.random_specs import random_specs
from nasjac.samplers.studies import random_study
from nasjac.scores import Score
from nasjac.searching import racing
from nasjac.searching.job import DIGITS, Job, Verdict
from nasjac.searching.objectives import Budget, directions, knee_of, objective_values
from nasjac.searching.options import Chosen
from nasjac.searching.scored import standings
from nasjac.searching.study import Proposal, SamplerFactory
from nasjac.store import Store
from nasjac.store.rows import TrialRow


@dataclass(frozen=True)
class SearchOptions:
    """How a search goes about it.

    `batch`       proposals that are asked for, scored and stored together, at most 16,384, for all are in memory
    `objectives`  what the sampler optimizes (null: what the score is for, merit of the default score)
    `warm_start`  folder of a trained network, whose growths and prunings are searched in the place of a space
    `racing`      stop sampling a candidate that is certain to be dominated: by 4 standard errors of the paired difference
                  to the cheapest architecture so far that is as good in every other objective
    """

    batch: int = 64
    objectives: tuple[str, ...] | None = None
    racing: bool = False
    warm_start: str | None = None

    def __post_init__(self) -> None:
        arguments.whole("search.batch", self.batch, 1, 16_384)
        if self.objectives is not None:
            directions(self.objectives)


@dataclass(frozen=True)
class Search(Job):
    """A search among architectures at initialization, which their keys tell apart.

    `names` labels its open parts (space, score, sampler, dataset) and their options.
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

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise InputError(f"`seed` must be a whole number in [0, 2^32), got {self.seed!r}")
        if not callable(self.space):
            raise InputError(f"`space` must be a callable trial -> Spec, got {self.space!r}")
        check_sampler(self.sampler, self.seed)
        if self.options.racing:
            racing.check(self.score, self.objectives)

    @cached_property
    def objectives(self) -> tuple[str, ...]:
        """What the sampler optimizes."""
        return self.options.objectives or self.score.objectives

    @property
    def batch(self) -> int:
        return self.options.batch

    @property
    def score_name(self) -> str:
        return self.score.name

    @property
    def dataset_digest(self) -> str:
        return self.data.digest

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a study must share to be resumed."""
        search = {"batch": self.batch, "objectives": self.objectives, "racing": self.options.racing}
        options = {"search": search, "seed": self.seed}
        names = {**self.names, "space": self._space_names, "score": self._score_names, "dataset": self._dataset}
        return json.loads(json.dumps({**names, **options}))  # type: ignore[no-any-return]

    @cached_property
    def score_id(self) -> str:
        """Digest of all that a measurement depends on beside the architecture; `score_id_in` where it races."""
        content = {"score": self._score_names, "dataset": self._dataset, "device": self.device.type}
        if self.score.digest is not None:
            content["reference"] = self.score.digest
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:DIGITS]

    @property
    def _score_names(self) -> dict[str, Any]:
        """The score's options without those that no value depends on, and the version of its formulas."""
        incidental, formulas = self.score.incidental, self.score.formulas
        options = {name: value for name, value in self.names["score"].items() if name not in incidental}
        return options if formulas is None else {**options, "formulas": formulas}

    @property
    def _space_names(self) -> dict[str, Any]:
        """The space's options without those that came later and have their defaults: studies of before go on."""
        same = [name for name in self.space.later if getattr(self.space, name) == getattr(type(self.space), name)]
        return {name: value for name, value in self.names["space"].items() if name not in same}

    @cached_property
    def _dataset(self) -> dict[str, Any]:
        digest = hashlib.sha256(self.data.train_inputs.numpy().tobytes()).hexdigest()[:DIGITS]
        return {"name": self.names["dataset"]["name"], "inputs": digest}

    @property
    def default_name(self) -> str:
        """The study's name unless one is given."""
        parts = (str(self.names[part]["name"]).rpartition(":")[2] for part in ("space", "dataset", "sampler"))
        return "-".join((*parts, str(self.seed)))

    def score_id_in(self, study: str) -> str:
        """A racing study has a digest of its own: how far it samples depends on all that it has met before."""
        return racing.score_id(self.score_id, study) if self.options.racing else self.score_id

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
            item = fresh.get(proposal.spec.key) or known[proposal.spec.key]
            values, reason = objective_values(self.objectives, item, proposal.facts)
            state = "complete" if values else "failed"
            measured = fresh.get(proposal.spec.key)
            yield Verdict(state, values, reason, score_id, item.kept_key, item.status, measured)  # type: ignore[arg-type]

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
    """Return the search that these options describe: the space fitted to the data, the score with its population.

    Raises:
        InputError: The dataset cannot be read, space and data do not go together, or an option is wrong.
    """
    chosen = {"space": space, "score": score, "sampler": sampler, "dataset": dataset}
    data = dataset.made.load()
    sample = Inputs(tokens=data.train_inputs.shape[1] if data.is_tokens else None, shape=data.shape)
    fitted = as_space(space.made).for_data(sample)
    if type(fitted) in SPACES.values():  # a space of the user's own is called by the search alone
        check_kind(data, fitted(random_study(0).ask()))
    names = {group: one.label for group, one in chosen.items()}
    job = Search(fitted, score.made, sampler.made, data, names, budget, options, seed, device)
    if not score.made.reference:
        return job
    return replace(job, score=score.made.bind(random_specs(fitted, score.made.reference)))
