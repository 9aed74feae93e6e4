"""What every trainer must do."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod

import torch

from nasjac.architecture.spec import Spec
from nasjac.datasets.data import Data
from nasjac.trainers.run import Run, Trainer


class TrainerContract(ABC):
    """Tests of a trainer: `trainer` is one of few steps, `spec` and `data` what it is tried on."""

    @abstractmethod
    def trainer(self) -> Trainer:
        """The trainer."""

    @abstractmethod
    def spec(self) -> Spec:
        """A concrete Spec."""

    @abstractmethod
    def data(self) -> Data:
        """Data that its network takes."""

    def test_a_run_for_every_seed_and_rate_in_order(self) -> None:
        trainer, runs = self.trainer(), self._runs()
        asked = list(itertools.product(trainer.seeds, trainer.learning_rates))
        assert [(run.seed, run.learning_rate) for run in runs] == asked

    def test_a_run_has_figures_or_a_reason(self) -> None:
        for run in self._runs():
            assert (run.status == "ok") == (run.reason is None) == (run.accuracy is not None)
            assert run.accuracy is None or 0 <= run.accuracy <= 1

    def test_the_same_training_twice_is_the_same(self) -> None:
        for first, second in zip(self._runs(), self._runs(), strict=True):
            assert (first.accuracy, first.loss, first.status) == (second.accuracy, second.loss, second.status)
            for name, tensor in first.state.items():
                assert torch.equal(tensor, second.state[name]), name

    def _runs(self) -> list[Run]:
        return self.trainer().train(self.spec(), self.data())
