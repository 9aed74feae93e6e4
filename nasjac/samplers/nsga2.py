"""Optuna's NSGA-II at the cost of its newest trials: nothing looks at every trial again for every proposal.

The proposals are Optuna's, choice for choice; only the bookkeeping is incremental. What is known of a study is shared by
all samplers of it, because a search makes a new one for each batch.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState


@dataclass
class _Known:
    """Of a study's first `settled` trials, all finished: the completed ones by generation, and the choices they share."""

    settled: int = 0
    completed: defaultdict[int, list[FrozenTrial]] = field(default_factory=lambda: defaultdict(list))
    space: dict[str, BaseDistribution] | None = None


_STUDIES: WeakKeyDictionary[optuna.Study, _Known] = WeakKeyDictionary()


class NSGAII(optuna.samplers.NSGAIISampler):
    """NSGA-II (Deb et al. 2002)."""

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the choices that all completed trials share, without those that offer no choice."""
        known, rest = self._known(study)
        space = known.space
        for other in rest:
            space = _shared(space, other)
        return {name: choice for name, choice in sorted((space or {}).items()) if not choice.single()}

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """Return the newest generation, or the next one if that has a whole population of completed trials."""
        key = self._get_generation_key()
        if key not in trial.system_attrs:
            known, rest = self._known(study)
            others = [generation for other in rest if (generation := self._of(other)) is not None]
            newest = max([*known.completed, *others], default=0)
            assert self.population_size is not None
            full = len(known.completed.get(newest, ())) + others.count(newest) >= self.population_size
            study._storage.set_trial_system_attr(trial._trial_id, key, newest + full)
            return newest + full
        return int(trial.system_attrs[key])

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Return the completed trials of a generation, in the order in which they were asked for."""
        known, rest = self._known(study)
        return [*known.completed.get(generation, ()), *(trial for trial in rest if self._of(trial) == generation)]

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Return the trials that a generation descends from: chosen once, then noted in the study by their ids."""
        noted = study._storage.get_study_system_attrs(study._study_id)
        ids = noted.get(f"{self._get_parent_cache_key_prefix()}{generation}")
        if ids is None:
            return super().get_parent_population(study, generation)
        return [study._storage.get_trial(trial) for trial in sorted(ids)]

    def _known(self, study: optuna.Study) -> tuple[_Known, list[FrozenTrial]]:
        """What is settled, brought up to date; and the completed trials that are not, because an earlier one still runs."""
        known = _STUDIES.setdefault(study, _Known())
        rest = []
        for trial in study.get_trials(deepcopy=False)[known.settled :]:
            if trial.number == known.settled and trial.state.is_finished():
                known.settled += 1
                if trial.state == TrialState.COMPLETE:
                    known.space = _shared(known.space, trial)
                    generation = self._of(trial)
                    if generation is not None:
                        known.completed[generation].append(trial)
            elif trial.state == TrialState.COMPLETE:
                rest.append(trial)
        return known, rest

    def _of(self, trial: FrozenTrial) -> int | None:
        generation: int | None = trial.system_attrs.get(self._get_generation_key())
        return generation


def _shared(space: dict[str, BaseDistribution] | None, trial: FrozenTrial) -> dict[str, BaseDistribution]:
    """The choices of `space` that the trial has too; the trial's own if there is no space yet."""
    if space is None:
        return trial.distributions
    return {name: choice for name, choice in space.items() if trial.distributions.get(name) == choice}
