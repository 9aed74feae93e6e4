"""Optuna's NSGA-II with bookkeeping that does not look at every trial again for every proposal.

The proposals are Optuna's, choice for choice; only the search space and the generation's number are found incrementally.
What is known of a study is shared by all samplers of it, because a search makes a new one for each batch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import optuna
from optuna.distributions import BaseDistribution
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState


@dataclass
class _Known:
    """Of one study: its search space so far, and how many of its first `settled` trials completed in each generation."""

    space: IntersectionSearchSpace = field(default_factory=IntersectionSearchSpace)
    settled: int = 0
    completed: Counter[int] = field(default_factory=Counter)


_STUDIES: WeakKeyDictionary[optuna.Study, _Known] = WeakKeyDictionary()


class NSGAII(optuna.samplers.NSGAIISampler):
    """NSGA-II (Deb et al. 2002) at the cost of its newest trials, not of all."""

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The choices that all completed trials share, without those that offer no choice."""
        space = _STUDIES.setdefault(study, _Known()).space.calculate(study)
        return {name: distribution for name, distribution in space.items() if not distribution.single()}

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """The newest generation, or the next one if that has a whole population of completed trials."""
        key = self._get_generation_key()
        if key not in trial.system_attrs:
            generation = self._generation(study, key)
            study._storage.set_trial_system_attr(trial._trial_id, key, generation)
            return generation
        return int(trial.system_attrs[key])

    def _generation(self, study: optuna.Study, key: str) -> int:
        known = _STUDIES.setdefault(study, _Known())
        rest = study.get_trials(deepcopy=False)[known.settled :]
        while rest and rest[0].state.is_finished():
            known.settled += 1
            known.completed.update(_completed(rest.pop(0), key))
        completed = known.completed + Counter(generation for trial in rest for generation in _completed(trial, key))
        newest = max(completed, default=0)
        assert self.population_size is not None
        return newest if completed[newest] < self.population_size else newest + 1


def _completed(trial: FrozenTrial, key: str) -> list[int]:
    """The generation of a completed trial that has one, as a list of at most one."""
    return [trial.system_attrs[key]] if trial.state == TrialState.COMPLETE and key in trial.system_attrs else []
