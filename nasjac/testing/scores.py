"""What every score must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nasjac.architecture.measurement import TERMS, Measurement
from nasjac.architecture.spec import Spec
from nasjac.scores.base import Score
from nasjac.testing.inputs import inputs_of


class ScoreContract(ABC):
    """Tests of a score: `score` is one, bound to a population if it needs one; `specs` some Specs that it measures."""

    @abstractmethod
    def score(self) -> Score:
        """The score."""

    @abstractmethod
    def specs(self) -> Sequence[Spec]:
        """Some Specs of one kind."""

    def inputs(self) -> Tensor:
        """What the Specs' networks take."""
        return inputs_of(self.specs()[0])

    def test_one_measurement_a_spec_in_order(self) -> None:
        measured = self._measured(self.specs())
        assert [item.key for item in measured] == [spec.key for spec in self.specs()]
        for item in measured:
            assert (item.status == "ok") == (item.reason is None)
            assert set(item.terms) <= set(TERMS)

    def test_its_terms_are_there(self) -> None:
        for item in self._measured(self.specs()):
            if item.status == "ok":
                for name in self.score().objectives:
                    assert name not in TERMS or item.terms[name].value is not None, name

    def test_a_measurement_does_not_depend_on_the_other_specs(self) -> None:
        together = self._measured(self.specs())
        for spec, item in zip(self.specs(), together, strict=True):
            [alone] = self._measured([spec])
            assert replace(alone, seconds=0.0, patterns=()) == replace(item, seconds=0.0, patterns=())

    def _measured(self, specs: Sequence[Spec]) -> list[Measurement]:
        return self.score().measure(specs, self.inputs(), torch.device("cpu"))
