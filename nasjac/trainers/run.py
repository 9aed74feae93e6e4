"""What a training gives back, and what every trainer offers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.datasets.data import Data

#: reports (done, total, what is going on)
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class Run:
    """One training, from one seed at one learning rate.

    `status`      ok, or diverged: then `reason` says what stopped being finite, and figures and state are missing
    `accuracy`    share of validation samples whose largest output is their label's
    `loss`        cross-entropy on the validation split, natural logarithm
    `train_loss`  the same on training batches, mean over the last tenth of the steps, each before its update
    `steps`       updates made
    `seconds`     this run's share of the wall time of the runs trained together
    `state`       the module's state_dict after training, on the CPU
    """

    seed: int
    learning_rate: float
    status: Literal["ok", "diverged"]
    reason: str | None
    accuracy: float | None
    loss: float | None
    train_loss: float | None
    steps: int
    seconds: float
    state: Mapping[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class Trainer(Protocol):
    """A trainer's options, a frozen dataclass; every pair of its seeds and learning rates is one run."""

    @property
    def name(self) -> str:
        """The label of the trainer's runs in databases and reports."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of weights and batches, each tried at every learning rate."""

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """The peaks of the schedules that are tried."""

    def train(self, spec: Spec, data: Data, device: str = "cpu", progress: Progress | None = None) -> list[Run]:
        """Train an architecture from every seed at every learning rate.

        Args:
            spec: A concrete architecture, which takes such data.
            data: Of which the training split is learned and the validation split judges.
            device: Where it is trained.
            progress: Is told (done, total, what is going on) now and then.

        Returns:
            One Run for every pair of a seed and a learning rate, all rates of the first seed first. One that diverged is a
            result too.

        Raises:
            InputError: The architecture is an ensemble, or the data are not what it takes.
        """


def trainer_id(trainer: Trainer, device: str | torch.device = "cpu") -> str:
    """12 hexadecimal digits that tell trainers apart whose runs differ: name, options and device type.

    Seeds and learning rates are not in it: they tell the runs of one trainer apart.
    """
    options = {item.name: getattr(trainer, item.name) for item in fields(trainer)}  # type: ignore[arg-type]
    content = {"trainer": trainer.name, "device": torch.device(device).type, **options}
    content = {name: value for name, value in content.items() if name not in ("seeds", "learning_rates")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def best(runs: list[Run]) -> Run | None:
    """The run with the highest validation accuracy, of equals the one with the least loss; None if all diverged."""
    finished = [run for run in runs if run.accuracy is not None]
    return max(finished, key=lambda run: (run.accuracy, -(run.loss or 0.0)), default=None)
