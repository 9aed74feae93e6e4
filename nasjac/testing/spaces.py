"""What every search space must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from optuna.trial import FixedTrial

from nasjac.architecture.space import SpaceLike, as_space
from nasjac.architecture.spec import Spec
from nasjac.kinds.facts import facts
from nasjac.models.chosen_spec import spec_of
from nasjac.samplers.studies import random_study

TRIALS = 16
#: FLOPs of references
BUDGET = 10**8


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
    def space(self) -> SpaceLike:
        """Make the space.

        Returns:
            A `nasjac.architecture.space.Space`, or a plain function from a trial to a Spec.
        """

    def test_every_trial_gives_a_spec(self) -> None:
        for spec, _ in self._drawn():
            assert isinstance(spec, Spec)

    def test_every_spec_is_read_back_from_its_json(self) -> None:
        for spec, _ in self._drawn():
            assert Spec.from_json(spec.to_json()) == spec

    def test_the_same_choices_give_the_same_spec(self) -> None:
        for spec, trial in self._drawn():
            fixed = FixedTrial(trial.params)
            assert self.space()(fixed) == spec, "a space must depend on its trial's choices alone"

    def test_there_is_a_choice(self) -> None:
        assert len({spec.key for spec, _ in self._drawn()}) > 1

    def test_options_that_came_later_have_defaults(self) -> None:
        space = as_space(self.space())
        known: dict[str, Any] = {entry.name: entry for entry in fields(space)} if is_dataclass(space) else {}
        for name in space.later:
            assert name in known and known[name].default is not MISSING, (
                f"`later` must name options with defaults, not {name}"
            )

    def test_typical_choices_make_an_architecture(self) -> None:
        assert isinstance(spec_of(self.space(), {}), Spec)

    def test_the_space_for_its_own_data_takes_them(self) -> None:
        space = as_space(self.space())
        inputs = self._drawn()[0][0].inputs
        fitted = space.for_data(inputs)
        assert isinstance(fitted, type(space))
        assert all(fitted(FixedTrial(trial.params)).inputs == inputs for _, trial in self._drawn()[:1])

    def test_references_are_concrete_architectures_for_the_same_inputs(self) -> None:
        inputs = self._drawn()[0][0].inputs
        for spec in as_space(self.space()).references(BUDGET):
            assert not spec.is_ensemble and spec.inputs == inputs
            assert facts([spec])[0].flops <= BUDGET

    def _drawn(self) -> list[tuple[Spec, Any]]:
        study = random_study(0)
        trials = [study.ask() for _ in range(TRIALS)]
        space = self.space()
        return [(space(trial), trial) for trial in trials]
