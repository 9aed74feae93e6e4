"""What every dataset must do."""

from __future__ import annotations

from abc import ABC, abstractmethod

from nasjac.datasets.data import Dataset


class DatasetContract(ABC):
    """Tests of a dataset: `dataset` is one, which can be loaded."""

    @abstractmethod
    def dataset(self) -> Dataset:
        """The dataset."""

    def test_it_has_a_name(self) -> None:
        assert isinstance(self.dataset().name, str) and self.dataset().name

    def test_two_loads_are_the_same_data(self) -> None:
        assert self.dataset().load().digest == self.dataset().load().digest

    def test_both_splits_hold_samples(self) -> None:
        data = self.dataset().load()
        assert len(data.train_inputs) > 1 and len(data.valid_inputs) > 0 and data.outputs > 1
