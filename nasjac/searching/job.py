"""What a search is made of: the loop is handed a `Job` and knows nothing else of what it searches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nasjac.architecture.measurement import Measurement, Status
from nasjac.architecture.space import Space
from nasjac.searching.objectives import Budget
from nasjac.searching.study import Proposal, SamplerFactory
from nasjac.store import Store
from nasjac.store.rows import State, TrialRow

#: the first 12 hexadecimal digits of a digest tell scores and weights apart
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


class Job(ABC):
    """One search: what it proposes, how proposals are measured, and what identifies a network and the study.

    Attributes:
        space: Makes a Spec of a trial's choices.
        sampler: Makes an Optuna sampler, called with `seed=`.
        budget: When to stop, and the bounds that every proposal keeps.
        seed: Of sampler and measurements.
    """

    space: Space
    sampler: SamplerFactory
    budget: Budget
    seed: int

    @property
    @abstractmethod
    def objectives(self) -> tuple[str, ...]:
        """What the sampler optimizes, names of `nasjac.searching.objectives.OBJECTIVES`."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """How many proposals are asked for and stored together."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What a study must share to be resumed, as JSON."""

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
    def dataset_digest(self) -> str:
        """Digest of the data (`nasjac.datasets.Data.digest`)."""

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
