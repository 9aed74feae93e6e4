"""The Optuna study of a search: in memory, asked in batches, rebuilt from stored trials.

The sampler is made anew for each batch from (seed, batch number), so that what it proposes depends on the stored trials
alone and a resumed search goes on as the unbroken one would. Samplers that keep notes of their own do so in the trials'
and the study's system attributes, which are stored too. Rejected proposals are trials that failed, in Optuna's eyes; a
rebuilt study has them again, so that Optuna's trial numbers agree.

A sampler may end the search (`optuna.Study.stop`), as one does that has been through all there is. The batch in flight is
finished, and the end is a note on the study like the sampler's own, so that a rebuilt study has ended too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import TrialState, create_trial

from nasjac.architecture.facts import Facts
from nasjac.architecture.space import SpaceLike
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import facts
from nasjac.samplers.random_specs import check_spec
from nasjac.samplers.refusals import check_proposed, refusals_of_sampler
from nasjac.samplers.studies import quiet
from nasjac.searching.objectives import Budget, Direction
from nasjac.store.rows import TrialRow

#: the note on a study that its sampler has ended
ENDED = "nasjac:ended"
#: proposals that break a constraint before a trial is given up as infeasible
TRIES = 10
#: trials of the largest batch, which may have been asked for and not stored
MOST_PROPOSALS = 2**14

SamplerFactory = Callable[..., optuna.samplers.BaseSampler]


@dataclass(frozen=True)
class Proposal:
    """What the sampler proposes in one trial; `feasible` if it keeps every constraint."""

    trial: optuna.Trial
    spec: Spec
    facts: Facts
    constraints: Mapping[str, float]

    @property
    def feasible(self) -> bool:
        """Whether every constraint is kept."""
        return all(violation <= 0 for violation in self.constraints.values())


class _AskedAndTold(optuna.Study):
    """A study that its sampler may stop although it is asked and told, not run by Optuna's own loop."""

    stopped = False

    def stop(self) -> None:
        """Note that the sampler has nothing left to propose."""
        self.stopped = True


class Study:
    """An in-memory Optuna study that proposes architectures.

    `sampler`  called with `seed=`, e.g. functools.partial(optuna.samplers.NSGAIISampler, population_size=50)
    `outside`  gives the parameters outside the blocks of an architecture, which some budgets count
    """

    def __init__(
        self,
        space: SpaceLike,
        sampler: SamplerFactory,
        budget: Budget,
        directions: Sequence[Direction],
        seed: int,
        outside: Callable[[Spec], int] = lambda _: 0,
    ) -> None:
        self._outside = outside
        self.space, self.budget, self.seed, self._sampler = space, budget, seed, sampler
        self._storage = optuna.storages.InMemoryStorage()
        with quiet():
            name = optuna.create_study(storage=self._storage, directions=list(directions)).study_name
        self._study = _AskedAndTold(name, self._storage, sampler(seed=seed))
        self._id = self._storage.get_study_id_from_name(name)
        self._notes: dict[str, Any] = {}

    @property
    def ended(self) -> bool:
        """Whether the sampler has ended the search."""
        return self._study.stopped

    def replay(self, rows: Sequence[TrialRow], notes: Mapping[str, Any]) -> None:
        """Bring back stored trials, and the sampler's notes on the study (`take_notes`)."""
        most = (TRIES + 1) * (len(rows) + MOST_PROPOSALS)
        for row in sorted(rows, key=lambda row: row.asked):
            if row.asked > most:
                rule = f"at most {most} in a study of {len(rows)} trials"
                raise InputError(f"trial.asked must be {rule}, got {row.asked} in {row.study!r}, number {row.number}")
            for _ in range(row.asked - self._storage.get_n_trials(self._id)):
                self._study.add_trial(create_trial(state=TrialState.FAIL))
            with _readable(row):
                self._study.add_trial(_frozen(row))
        for key, value in notes.items():
            self._storage.set_study_system_attr(self._id, key, value)
        self._notes = dict(notes)
        self._study.stopped = ENDED in notes

    def ask(self, batch: int, count: int) -> list[Proposal]:
        """`count` proposals; one that breaks a constraint is drawn again, at most `TRIES` times."""
        self._study.sampler = self._sampler(seed=derived_seed(self.seed, batch))
        settled = {slot: proposal for slot, proposal in enumerate(self._propose(count))}
        for _ in range(TRIES):
            rejected = [slot for slot, proposal in settled.items() if not proposal.feasible]
            for slot in rejected:
                self._tell(settled[slot].trial, None)
            settled |= dict(zip(rejected, self._propose(len(rejected)), strict=True))
        return [settled[slot] for slot in range(count)]

    def tell(self, proposal: Proposal, row: TrialRow) -> TrialRow:
        """Tell the sampler the row's objectives: none if it breaks a constraint, or its score is not finite.

        Returns the row with all that `replay` needs.
        """
        trial = self._tell(proposal.trial, row.objectives or None)
        return replace(
            row,
            asked=trial.number,
            constraints=dict(proposal.constraints),
            choices=dict(trial.params),
            distributions={name: distribution_to_json(value) for name, value in trial.distributions.items()},
            system_attrs={**trial.system_attrs, **row.system_attrs},
        )

    def take_notes(self) -> dict[str, Any]:
        """What was noted on the study since the last call: by the sampler, and that it has ended the search."""
        if self.ended:
            self._storage.set_study_system_attr(self._id, ENDED, True)
        noted = dict(self._storage.get_study_system_attrs(self._id))
        changed = {key: value for key, value in noted.items() if key not in self._notes or self._notes[key] != value}
        self._notes = noted
        return changed

    def _tell(self, trial: optuna.Trial, values: Mapping[str, float] | None) -> optuna.trial.FrozenTrial:
        with refusals_of_sampler():
            if values is None:
                return self._study.tell(trial, state=TrialState.FAIL)
            return self._study.tell(trial, list(values.values()))

    def _propose(self, count: int) -> list[Proposal]:
        with refusals_of_sampler():
            trials = [self._study.ask() for _ in range(count)]
            specs = [self.space(trial) for trial in trials]
        known = self._study.get_trials(deepcopy=False)
        check_proposed([known[trial.number] for trial in trials])
        for spec in specs:
            check_spec(spec)
        return list(self._judged(trials, specs))

    def _judged(self, trials: Sequence[optuna.Trial], specs: Sequence[Spec]) -> Iterator[Proposal]:
        for trial, spec, known in zip(trials, specs, facts(specs), strict=True):
            violations = self.budget.violations(known, 0 if self.budget.counts == "blocks" else self._outside(spec))
            for name, violation in violations.items():
                trial.set_constraint(name, violation)
            yield Proposal(trial, spec, known, violations)


def derived_seed(*parts: int) -> int:
    """A 32-bit seed that depends on all of `parts`."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest(), "little")


@contextmanager
def _readable(row: TrialRow) -> Iterator[None]:
    """Refuse a stored trial that Optuna cannot make anything of: distributions, or values that are not theirs."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # whatever its JSON leads Optuna to
        told = f"got other ones in {row.study!r}, number {row.number}: {error!r}"
        raise InputError(f"trial.distributions, choices and objectives must be those of one trial, {told}") from error


def _frozen(row: TrialRow) -> optuna.trial.FrozenTrial:
    return create_trial(
        state=TrialState.COMPLETE if row.objectives else TrialState.FAIL,
        values=list(row.objectives.values()) or None,
        params=dict(row.choices),
        distributions={name: json_to_distribution(text) for name, text in row.distributions.items()},
        system_attrs=dict(row.system_attrs),
    )
