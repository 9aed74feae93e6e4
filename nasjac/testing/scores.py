"""What every score must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nasjac.architecture.measurement import TERMS, Measurement
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.scores.base import Score
from nasjac.testing.inputs import inputs_of


def without_time(measurement: Measurement) -> Measurement:
    """Return a measurement without how long it took: the same for two that say the same of an architecture.

    Args:
        measurement: Of an architecture, or of an ensemble with those of its patterns.

    Returns:
        A copy whose `seconds` are 0, also those of its patterns.
    """
    patterns = tuple((text, replace(inner, seconds=0.0)) for text, inner in measurement.patterns)
    return replace(measurement, seconds=0.0, patterns=patterns)


class ScoreContract(ABC):
    """Tests of a score, on a few architectures.

    >>> from nasjac import Block, ResidualMLP
    >>> from nasjac.scores import Meanfield
    >>> class TestMeanfield(ScoreContract):
    ...     def score(self):
    ...         return Meanfield()
    ...     def specs(self):
    ...         return [ResidualMLP(width=8, blocks=(Block(),) * depth) for depth in (1, 2, 3)]
    >>> TestMeanfield().test_a_measurement_does_not_depend_on_the_other_specs()
    """

    @abstractmethod
    def score(self) -> Score:
        """Make the score.

        Returns:
            It, bound to a population if it needs one.
        """

    @abstractmethod
    def specs(self) -> Sequence[Spec]:
        """Make some architectures.

        Returns:
            At least three different ones of one kind, which the score can measure.
        """

    def inputs(self) -> Tensor:
        """Make the data at which they are measured.

        Returns:
            [n, features] standardized data, or [n, T] token ids; random ones unless this is overridden.
        """
        return inputs_of(self.specs()[0])

    def device(self) -> torch.device:
        """Say where they are measured.

        Returns:
            The CPU unless this is overridden.
        """
        return torch.device("cpu")

    def test_it_has_a_name(self) -> None:
        assert isinstance(self.score().name, str) and self.score().name

    def test_one_measurement_a_spec_in_order(self) -> None:
        measured = self._measured(self.score(), self.specs())
        assert [item.key for item in measured] == [spec.key for spec in self.specs()]
        for item in measured:
            assert (item.status == "ok") == (item.reason is None)
        assert self._measured(self.score(), []) == []

    def test_it_has_no_other_terms_than_those_that_it_declares(self) -> None:
        declared = set(self.score().terms)
        assert declared <= set(TERMS)
        for item in self._measured(self.score(), self.specs()):
            assert set(item.terms) <= set(TERMS)
            assert {name for name, term in item.terms.items() if term.value is not None} <= declared

    def test_its_objectives_are_there(self) -> None:
        for item in self._measured(self.score(), self.specs()):
            if item.status == "ok":
                given = {name for name, term in item.terms.items() if term.value is not None}
                assert {*self.score().objectives, self.score().objective} & set(TERMS) <= given

    def test_a_measurement_does_not_depend_on_the_other_specs(self) -> None:
        together = self._measured(self.score(), self.specs())
        assert self._measured(self.score(), self.specs()[::-1])[::-1] == together
        for spec, item in zip(self.specs(), together, strict=True):
            assert self._measured(self.score(), [spec]) == [item]

    def test_a_measurement_does_not_depend_on_earlier_calls(self) -> None:
        score, specs = self.score(), self.specs()
        first = self._measured(score, specs[:1])
        self._measured(score, specs[1:])
        assert self._measured(score, specs[:1]) == first

    def test_global_randomness_is_left_alone(self) -> None:
        before = torch.random.get_rng_state()
        self._measured(self.score(), self.specs())
        assert torch.equal(before, torch.random.get_rng_state())

    def test_a_score_that_ranks_is_bound_to_a_population_and_no_other_is(self) -> None:
        score = self.score()
        assert (score.digest is None) == (score.reference == 0)
        if score.reference == 0:
            assert score.bind(self.specs()) == score

    def test_a_race_without_rivals_is_a_measurement_and_a_score_without_races_says_so(self) -> None:
        score, specs = self.score(), self.specs()
        try:
            raced = score.race(specs, self.inputs(), self.device(), [None] * len(specs))
        except InputError:
            assert not score.races
        else:
            assert score.races and [without_time(item) for item in raced] == self._measured(score, specs)

    def _measured(self, score: Score, specs: Sequence[Spec]) -> list[Measurement]:
        return [without_time(item) for item in score.measure(specs, self.inputs(), self.device())]
