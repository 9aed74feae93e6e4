"""What every dataset must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from nasjac.datasets.data import Data, Dataset


class DatasetContract(ABC):
    """Tests of a dataset: of its name, and of what it loads. `nasjac.datasets.Data` checks types, shapes and labels itself.

    >>> from nasjac.datasets import Digits
    >>> class TestDigits(DatasetContract):
    ...     def dataset(self):
    ...         return Digits()
    >>> TestDigits().test_two_loads_are_the_same_data()
    """

    #: how far the training inputs' means may be from 0, and their mean square from 1
    tolerance: ClassVar[float] = 1e-4

    @abstractmethod
    def dataset(self) -> Dataset:
        """Make the dataset.

        Returns:
            One that can be loaded where the tests run.
        """

    def test_it_has_a_name(self) -> None:
        assert isinstance(self.dataset().name, str) and self.dataset().name

    def test_it_loads_data(self) -> None:
        assert isinstance(self.dataset().load(), Data)

    def test_two_loads_are_the_same_data(self) -> None:
        assert self.dataset().load().digest == self.dataset().load().digest

    def test_both_splits_hold_samples(self) -> None:
        data = self.dataset().load()
        assert len(data.train_inputs) > 1 and len(data.valid_inputs) > 0 and data.outputs > 1

    def test_training_features_are_standardized(self) -> None:
        """Each has mean 0, and all together have mean square 1; token ids are as they are."""
        data = self.dataset().load()
        if not data.is_tokens:
            inputs = data.train_inputs.double()
            assert inputs.mean(dim=0).abs().max() < self.tolerance
            assert abs(inputs.square().mean() - 1) < self.tolerance

    def test_loading_leaves_global_randomness_alone(self) -> None:
        before = torch.random.get_rng_state()
        self.dataset().load()
        assert torch.equal(before, torch.random.get_rng_state())
