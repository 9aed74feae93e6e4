"""train: train one stored architecture, record its runs and keep its best checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from nasjac.architecture.spec import Spec
from nasjac.datasets import Data
from nasjac.foundation.workers import workers
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.store.former import stored_spec
from nasjac.store.rows import ArchitectureRow, ValidationRow
from nasjac.surgery.trained import check_out
from nasjac.trainers import Progress, Run, Trainer, best, trainer_id


@dataclass(frozen=True)
class Task:
    """A dataset's name and data, the trainer and the device. The digest of the data tells trainings apart, not the name."""

    dataset: str
    data: Data
    trainer: Trainer
    device: str = "cpu"

    @property
    def identity(self) -> dict[str, Any]:
        """The fields by which its validation rows and checkpoints differ from those of other tasks."""
        return {
            "dataset": self.dataset,
            "dataset_digest": self.data.digest,
            "trainer": self.trainer.name,
            "trainer_id": trainer_id(self.trainer, self.device),
        }


@dataclass(frozen=True)
class Training:
    """The runs of one architecture on a dataset, the best of them (None: all diverged), and where its checkpoint is."""

    key: str
    runs: tuple[Run, ...]
    best: Run | None
    folder: Path | None
    dataset: str
    dataset_digest: str

    def __repr__(self) -> str:
        if self.best is None:
            return f"{self.key}: every training diverged ({self.runs[0].reason}); no checkpoint"
        kept = f"checkpoint in {self.folder}" if self.folder else "no checkpoint"
        return (
            f"{self.key}: validation accuracy {self.best.accuracy:.4f} (learning rate {self.best.learning_rate:g}, "
            f"seed {self.best.seed}); {kept}"
        )


def train(store: Store, key: str, task: Task, out: str | Path | None = None, progress: Progress | None = None) -> Training:
    """Train the architecture whose key starts with `key`; record its runs, and save the best one in the folder `out`.

    Where every run diverges there is nothing to save.

    Raises:
        InputError: There is no such key, or `out` is not empty; nothing is trained then.
    """
    key = store.resolve_key(key)
    if out is not None:
        check_out(out)
    row = store.architectures([key])[key]
    with workers(torch.device(task.device)) as pool:  # as in a validation, so that the runs are the same
        runs = pool.submit(fit, row, task, progress).result()
    return keep(store, row, task, runs, None if out is None else Path(out), "out")


def fit(row: ArchitectureRow, task: Task, progress: Progress | None = None) -> list[Run]:
    """Train an architecture, in any thread."""
    return task.trainer.train(_spec(row), task.data, task.device, progress)


def keep(
    store: Store, row: ArchitectureRow, task: Task, runs: list[Run], folder: Path | None = None, option: str = "save"
) -> Training:
    """Record the runs of an architecture, and save the best one in `folder` where there is one, the option `option`."""
    winner = best(runs)
    store.record_validations([_validation_row(row.key, task, run) for run in runs])
    if folder is not None and winner is not None:
        checkpoint.save(folder, _spec(row), winner.state, _info(row.key, task, winner), option=option)
    return Training(row.key, tuple(runs), winner, folder if winner else None, task.dataset, task.data.digest)


def _spec(row: ArchitectureRow) -> Spec:
    return stored_spec(row)


def _info(key: str, task: Task, run: Run) -> dict[str, Any]:
    figures = ("seed", "learning_rate", "accuracy", "loss", "train_loss", "steps")
    sizes = {"inputs": task.data.inputs, "outputs": task.data.outputs}
    options = {"trainer_options": asdict(task.trainer)}  # type: ignore[call-overload]
    return {"key": key, **sizes, **task.identity, **options, **{name: getattr(run, name) for name in figures}}


def _validation_row(key: str, task: Task, run: Run) -> ValidationRow:
    figures = ("seed", "learning_rate", "status", "reason", "accuracy", "loss", "train_loss", "steps", "seconds")
    return ValidationRow(architecture_key=key, **task.identity, **{name: getattr(run, name) for name in figures})
