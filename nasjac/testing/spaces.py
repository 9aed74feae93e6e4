"""What every search space must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import optuna

from nasjac.architecture.spec import Spec
from nasjac.samplers.studies import random_study

TRIALS = 32


class SpaceContract(ABC):
    """Tests of a search space, with choices drawn at random.

    >>> from nasjac import Block, ResidualMLP
    >>> def space(trial):
    ...     return ResidualMLP(width=8, blocks=(Block(),) * trial.suggest_int("depth", 1, 9))
    >>> class TestSpace(SpaceContract):
    ...     def space(self):
    ...         return space
    >>> TestSpace().test_the_same_choices_give_the_same_spec()
    """

    @abstractmethod
    def space(self) -> Callable[[Any], Spec]:
        """Make the space.

        Returns:
            A callable from a trial to a Spec.
        """

    def test_every_trial_gives_a_spec(self) -> None:
        for spec, _ in self._drawn():
            assert isinstance(spec, Spec)

    def test_every_spec_is_read_back_from_its_json(self) -> None:
        for spec, _ in self._drawn():
            assert Spec.from_json(spec.to_json()) == spec

    def test_the_same_choices_give_the_same_spec(self) -> None:
        for spec, trial in self._drawn():
            fixed = optuna.trial.FixedTrial(trial.params)
            assert self.space()(fixed) == spec, "a space must depend on its trial's choices alone"

    def test_there_is_a_choice(self) -> None:
        assert len({spec.key for spec, _ in self._drawn()}) > 1

    def _drawn(self) -> list[tuple[Spec, Any]]:
        study = random_study(0)
        trials = [study.ask() for _ in range(TRIALS)]
        space = self.space()
        return [(space(trial), trial) for trial in trials]
