"""Every trainer does what the contract says."""

from __future__ import annotations

import os

import torch

from nasjac.testing import TrainerContract
from nasjac.trainers import SGD, TRAINERS, AdamW, Trainer

SHORT = {"steps": 12, "batch": 16, "seeds": (0, 3), "learning_rates": (0.01, 0.1)}


class Ours(TrainerContract):
    """Trains where the tests run."""

    def device(self) -> torch.device:
        return torch.device(os.environ.get("NASJAC_TEST_DEVICE", "cpu"))


class TestAdamW(Ours):
    def trainer(self) -> Trainer:
        return AdamW(**SHORT)


class TestSGD(Ours):
    def trainer(self) -> Trainer:
        return SGD(**SHORT)


def test_every_trainer_is_tested_by_the_contract() -> None:
    assert {test().trainer().name for test in Ours.__subclasses__()} == set(TRAINERS)
