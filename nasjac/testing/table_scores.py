"""What every score of tables must do."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from nasjac.tables.scores.base import Scored, TableScore
from nasjac.tables.space import TableSpace


class TableScoreContract(ABC):
    """Tests of a score of tables of trained architectures, on a few of one table.

    >>> import torch
    >>> from nasjac.tables.nasbench201.space import NasBench201
    >>> from nasjac.tables.scores.fact import Fact
    >>> class TestParams(TableScoreContract):
    ...     def score(self):
    ...         return Fact("params")
    ...     def space(self):
    ...         return NasBench201()
    ...     def architectures(self):
    ...         return NasBench201().random(3, seed=0)
    ...     def inputs(self):
    ...         return torch.empty(0)
    >>> TestParams().test_a_value_does_not_depend_on_the_other_architectures()
    """

    #: how far two values of one architecture may be apart, relative to them: products of float32 in other company
    tolerance: ClassVar[float] = 1e-3

    @abstractmethod
    def score(self) -> TableScore:
        """Make the score.

        Returns:
            It, with options by which it is quick.
        """

    @abstractmethod
    def space(self) -> TableSpace:
        """Make the space of the table.

        Returns:
            One that offers what the score needs, bound to its table.
        """

    @abstractmethod
    def architectures(self) -> Sequence[Any]:
        """Make some architectures of the space.

        Returns:
            At least three, which the score has different values for.
        """

    @abstractmethod
    def inputs(self) -> Tensor:
        """Make the data at which they are scored.

        Returns:
            As the space's `inputs` returns them; empty for a score that needs facts alone.
        """

    def test_it_has_a_name_and_needs_what_the_space_offers(self) -> None:
        assert isinstance(self.score().name, str) and self.score().name
        assert self.score().needs & self.space().offers

    def test_every_architecture_has_a_value_that_can_be_ranked(self) -> None:
        scored = self._scored(self.architectures())
        assert len(scored) == len(self.architectures())
        assert all(item.value is not None and item.value < math.inf for item in scored), "neither nan nor infinity"

    def test_a_value_does_not_depend_on_the_other_architectures(self) -> None:
        architectures = self.architectures()
        together = self._scored(architectures)
        self._compare(self._scored(architectures[::-1])[::-1], together)
        self._compare(self._scored(architectures[1:2]), together[1:2])

    def test_progress_never_falls_and_ends_at_the_last_architecture(self) -> None:
        said: list[int] = []
        self.score().measure(self.space(), self.architectures(), self.inputs(), torch.device("cpu"), said.append)
        assert said == sorted(said) and said[-1:] == [len(self.architectures())]

    def _compare(self, scored: Sequence[Scored], others: Sequence[Scored]) -> None:
        for one, other in zip(scored, others, strict=True):
            assert (one.value is None) == (other.value is None)
            if one.value is not None and other.value is not None:
                assert math.isclose(one.value, other.value, rel_tol=self.tolerance), (one, other)

    def _scored(self, architectures: Sequence[Any]) -> list[Scored]:
        inputs, device = self.inputs(), torch.device("cpu")
        return self.score().measure(self.space(), architectures, inputs, device, lambda done: None)
