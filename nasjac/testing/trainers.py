"""What every trainer must do."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod

import torch

from nasjac.architecture.spec import Spec
from nasjac.datasets.data import Data
from nasjac.kinds.build import build
from nasjac.testing.inputs import clusters, three_blocks
from nasjac.trainers.run import Run, Trainer, trainer_id


class TrainerContract(ABC):
    """Tests of a trainer, with one architecture and few data.

    >>> from nasjac.trainers import AdamW
    >>> class TestAdamW(TrainerContract):
    ...     def trainer(self):
    ...         return AdamW(steps=2, seeds=(0, 1), learning_rates=(0.01, 0.1))
    >>> TestAdamW().test_a_run_for_every_seed_and_rate_in_order()
    """

    @abstractmethod
    def trainer(self) -> Trainer:
        """Make the trainer.

        Returns:
            One of few steps, two seeds and two learning rates.
        """

    def spec(self) -> Spec:
        """Make the architecture that is trained.

        Returns:
            A residual MLP of three blocks unless this is overridden.
        """
        return three_blocks()

    def data(self) -> Data:
        """Make the data on which it is trained.

        Returns:
            Two noisy clusters in three dimensions unless this is overridden.
        """
        return clusters()

    def device(self) -> torch.device:
        """Say where it is trained.

        Returns:
            The CPU unless this is overridden.
        """
        return torch.device("cpu")

    def test_it_has_a_name_and_an_identity(self) -> None:
        assert isinstance(self.trainer().name, str) and self.trainer().name
        assert trainer_id(self.trainer()) == trainer_id(self.trainer()) != trainer_id(self.trainer(), "cuda")

    def test_a_run_for_every_seed_and_rate_in_order(self) -> None:
        trainer, runs = self.trainer(), self._runs()
        asked = list(itertools.product(trainer.seeds, trainer.learning_rates))
        assert [(run.seed, run.learning_rate) for run in runs] == asked

    def test_a_run_has_figures_or_a_reason(self) -> None:
        for run in self._runs():
            assert (run.status == "ok") == (run.reason is None) == (run.accuracy is not None) == (run.loss is not None)
            assert run.accuracy is None or 0 <= run.accuracy <= 1

    def test_the_state_is_that_of_a_module_of_the_run_s_accuracy(self) -> None:
        data = self.data()
        for run in self._runs():
            if run.status == "ok":
                module = build(self.spec(), data.inputs, data.outputs).eval()
                module.load_state_dict(dict(run.state))
                with torch.no_grad():
                    hits = module(data.valid_inputs).argmax(-1) == data.valid_labels
                assert run.accuracy == hits.double().mean()

    def test_every_seed_and_rate_leads_elsewhere(self) -> None:
        states = [run.state for run in self._runs() if run.status == "ok"]
        assert len(states) > 1
        for first, second in itertools.combinations(states, 2):
            assert any(not torch.equal(tensor, second[name]) for name, tensor in first.items())

    def test_the_same_training_twice_is_the_same(self) -> None:
        for first, second in zip(self._runs(), self._runs(), strict=True):
            assert (first.accuracy, first.loss, first.status) == (second.accuracy, second.loss, second.status)
            for name, tensor in first.state.items():
                assert torch.equal(tensor, second.state[name]), name

    def test_progress_never_falls_and_ends_at_the_total(self) -> None:
        said: list[tuple[int, int]] = []
        self.trainer().train(
            self.spec(), self.data(), str(self.device()), lambda done, total, what: said.append((done, total))
        )
        assert said == sorted(said) and said[-1][0] == said[-1][1]

    def test_global_randomness_is_left_alone(self) -> None:
        before = torch.random.get_rng_state()
        self._runs()
        assert torch.equal(before, torch.random.get_rng_state())

    def _runs(self) -> list[Run]:
        return self.trainer().train(self.spec(), self.data(), str(self.device()))
