"""One architecture trained and kept: `nasjac.train`, which a validation does for each of its picks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from nasjac.architecture.spec import Spec
from nasjac.datasets import Data, Dataset
from nasjac.foundation.console import Console
from nasjac.foundation.places import check_folder
from nasjac.foundation.workers import workers
from nasjac.kinds.facts import facts
from nasjac.searching.options import Chosen, choose, device_of, existing
from nasjac.searching.runs import recorded
from nasjac.searching.scored import scored_rows
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.store.former import stored_spec
from nasjac.store.rows import ArchitectureRow, ValidationRow
from nasjac.surgery.trained import check_out
from nasjac.trainers import Progress, Run, Trainer, best, trainer_id

#: figures of a run that its checkpoint keeps
SAVED = ("seed", "learning_rate", "accuracy", "loss", "train_loss", "steps")


@dataclass(frozen=True)
class TaskId:
    """What is stored of a task with each training: names, and digests of the data and of the trainer's options."""

    dataset: str
    dataset_digest: str
    trainer: str
    trainer_id: str


@dataclass(frozen=True)
class Task:
    """A dataset's name and data, the trainer and the device. The digest of the data tells trainings apart, not the name."""

    dataset: str
    data: Data
    trainer: Trainer
    device: str = "cpu"

    @property
    def identity(self) -> TaskId:
        """What tells its validation rows and checkpoints from those of other tasks."""
        return TaskId(self.dataset, self.data.digest, self.trainer.name, trainer_id(self.trainer, self.device))


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


def train(
    key: str | Spec,
    dataset: str | type | Dataset | Chosen = "digits",
    *,
    trainer: str | type | Trainer | Chosen = "adamw",
    out: str | None = None,
    database: str = "nasjac.db",
    device: str = "auto",
    quiet: bool = False,
    trust: bool = False,
) -> Training:
    """Train one architecture, record its runs in the database, and keep a checkpoint of the best.

    Args:
        key: The start of a stored architecture's key, or a Spec, which is stored.
        dataset: The data: a name (digits, text, ...), a class, an object with `name` and `load()`, or package.module:name.
        trainer: What trains: a name (adamw, sgd), a class, an object, or package.module:name.
        out: A new folder for the checkpoint; None keeps none.
        database: The path of the database.
        device: auto, cpu or cuda.
        quiet: Print no progress.
        trust: Take a database whose tables are not as nasjac makes them.

    Returns:
        All runs, the best of them (None if every one diverged), and where its checkpoint is.

    Raises:
        InputError: No one key starts so, the data are not what the architecture takes, or `out` holds something.
    """
    console, place = Console(quiet), device_of(device)
    if out is not None:
        check_folder(out, "out")
    chosen = {"dataset": choose("dataset", dataset), "trainer": choose("trainer", trainer)}
    known = {"out": out, "database": database, "device": device, "quiet": quiet, "trust": trust}
    with Store(database if isinstance(key, Spec) else existing(database), trust=trust) as store:
        data = chosen["dataset"].made
        task = Task(data.name, data.load(), chosen["trainer"].made, place.type)
        if isinstance(key, Spec):
            store.record_scored(*scored_rows([key], facts([key])), "", "")
            key = key.key
        with (
            recorded(store, "train", None, chosen, {"key": key, **known}, place),
            console.bar(f"train {key}", task.trainer.steps) as advance,  # type: ignore[attr-defined]
        ):
            training = train_stored(store, key, task, out, lambda done, total, text: advance(done, text))
    return training


def train_stored(
    store: Store, key: str, task: Task, out: str | Path | None = None, progress: Progress | None = None
) -> Training:
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
    return task.trainer.train(stored_spec(row), task.data, task.device, progress)


def keep(
    store: Store, row: ArchitectureRow, task: Task, runs: list[Run], folder: Path | None = None, option: str = "save"
) -> Training:
    """Record the runs of an architecture, and save the best in `folder` if that is given, which the user calls `option`."""
    winner, identity = best(runs), asdict(task.identity)
    trainings = [{one.name: getattr(run, one.name) for one in fields(Run) if one.name != "state"} for run in runs]
    store.record_validations([ValidationRow(row.key, **identity, **figures) for figures in trainings])
    if folder is not None and winner is not None:
        sizes = {"inputs": task.data.inputs, "outputs": task.data.outputs}
        options = {"trainer_options": asdict(task.trainer)}  # type: ignore[call-overload]
        info = {"key": row.key, **sizes, **identity, **options, **{name: getattr(winner, name) for name in SAVED}}
        checkpoint.save(folder, stored_spec(row), winner.state, info, option=option)
    return Training(row.key, tuple(runs), winner, folder if winner else None, task.dataset, task.data.digest)
