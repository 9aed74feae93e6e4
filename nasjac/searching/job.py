"""What a search is made of: the loop is handed a `Job` and knows nothing else of what it searches."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nasjac.architecture.measurement import Measurement, Status
from nasjac.architecture.space import Space
from nasjac.architecture.spec import Spec
from nasjac.datasets import Data
from nasjac.foundation import arguments
from nasjac.kinds.sizes import outside_params
from nasjac.searching.objectives import Budget, directions
from nasjac.searching.study import Proposal, SamplerFactory
from nasjac.store import Store
from nasjac.store.rows import State, TrialRow

#: the first 12 hexadecimal digits of a digest tell scores, data and weights apart
DIGITS = 12


@dataclass(frozen=True)
class Verdict:
    """What is said of one proposal, and what is stored of it.

    `state`       infeasible also where a rule is broken that measuring alone shows
    `objectives`  by name; None where there are none, and `reason` says why
    `score_id`    the digest that its measurement goes by
    `measured`    the measurement, where it was made just now
    `notes`       numbers that its trial keeps beside the sampler's own
    """

    state: State
    objectives: Mapping[str, float] | None
    reason: str | None
    score_id: str
    kept_key: str | None = None
    status: Status | None = None
    measured: Measurement | None = None
    notes: Mapping[str, float | None] = field(default_factory=dict)


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


class Job(ABC):
    """One search: what it proposes, how proposals are measured, and what identifies a network and the study.

    Attributes:
        space: Makes a Spec of a trial's choices.
        sampler: Makes an Optuna sampler, called with `seed=`.
        data: What is measured at.
        budget: When to stop, and the bounds that every proposal keeps.
        options: How the search goes about it.
        seed: Of sampler and measurements.
    """

    space: Space
    sampler: SamplerFactory
    data: Data
    budget: Budget
    options: SearchOptions
    seed: int

    @property
    def objectives(self) -> tuple[str, ...]:
        """What the sampler optimizes, names of `nasjac.searching.objectives.OBJECTIVES`."""
        return self.options.objectives or self.default_objectives

    @cached_property
    def identity(self) -> Mapping[str, Mapping[str, Any] | int]:
        """What a study must share to be resumed, as JSON: its parts, and how it searches."""
        search = {"batch": self.options.batch, "objectives": self.objectives, "racing": self.options.racing}
        content = {**self.parts, "search": search, "seed": self.seed}
        return json.loads(json.dumps(content))  # type: ignore[no-any-return]

    def outside(self, spec: Spec) -> int:
        """Return the number of parameters of an architecture outside its blocks."""
        return outside_params(spec, self.data.inputs, self.data.outputs)

    @property
    @abstractmethod
    def default_objectives(self) -> tuple[str, ...]:
        """The objectives unless others are asked for."""

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Mapping[str, Any]]:
        """What is searched, by part, each with those of its options that tell one study from another."""

    @property
    @abstractmethod
    def score_name(self) -> str:
        """What measurements are called in the database."""

    @property
    @abstractmethod
    def score_id(self) -> str:
        """Digest of all that a measurement depends on beside the network."""

    @property
    @abstractmethod
    def default_name(self) -> str:
        """The study's name unless one is given."""

    def score_id_in(self, study: str) -> str:
        """The digest that the trials of `study` go by unless a verdict says otherwise."""
        return self.score_id

    @abstractmethod
    def token(self, key: str, choices: Mapping[str, Any]) -> Hashable:
        """What tells one network of this search from another.

        Args:
            key: Of its Spec.
            choices: Of its trial.
        """

    @abstractmethod
    def measure(
        self,
        store: Store,
        study: str,
        proposals: Sequence[Proposal],
        told: Sequence[TrialRow],
        over: Callable[[], bool],
    ) -> Iterator[Verdict]:
        """Measure different networks of one batch; yields a verdict each, in order.

        Args:
            store: Where measurements of before are.
            study: Its name.
            proposals: Feasible ones, no two of one token.
            told: The trials that have settled a network so far.
            over: Whether to stop; what measures one network after another may then end early.
        """

    @abstractmethod
    def recommend(self, store: Store, study: str) -> None:
        """Store which architecture the study recommends, and why; nothing where no trial is complete."""


def digest_of(content: object) -> str:
    """Digest of a JSON value, which tells scores and measurements apart."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:DIGITS]
