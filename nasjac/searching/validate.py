"""validate: brief training of a study's best architectures and as many random ones, to see whether the score was right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.foundation.workers import workers
from nasjac.mathematics.pareto import covering_points
from nasjac.searching.objectives import directions
from nasjac.searching.train import Task, Training, fit, keep
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.store.rows import ArchitectureRow, Role
from nasjac.trainers import Progress, Run

#: names in a checkpoint's spec.json which say that its network was changed after the training
CHANGED = ("grown", "pruned", "searched")

#: (seed, count, params) -> keys of `count` architectures (fewer if the space has no more) drawn from the study's space
#: under its budgets, of about `params` parameters unless that is None; measured and stored. The same for the same seed
Draw = Callable[[int, int, int | None], Sequence[str]]


#: most architectures of each role: so many take hours, even if they are small
MOST_PICKS = 100_000


@dataclass(frozen=True)
class ValidationOptions:
    """How many architectures of a study to train, and which.

    `top`      picks along the front: the recommended one, then those that add the most hypervolume
    `random`   fresh draws from the space under the same budgets
    `matched`  fresh draws of as many parameters as the recommended architecture has (none without one)
    `seed`     of the draws
    """

    top: int = 8
    random: int = 8
    matched: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("top", "random", "matched"):
            arguments.whole(f"validation.{name}", getattr(self, name), 0, MOST_PICKS)
        arguments.seed("validation.seed", self.seed)


@dataclass(frozen=True)
class Validation:
    """The architectures picked, and how many were trained now, had been trained before, or are left because of `stop`."""

    picks: tuple[tuple[str, Role], ...]
    trained: int
    reused: int
    left: int


def validate(
    store: Store,
    study: str,
    task: Task,
    draw: Draw,
    options: ValidationOptions = ValidationOptions(),
    save: str | Path | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Validation:
    """Pick architectures, train those that this task has not trained yet, record each as soon as it is done.

    `save` is a folder for checkpoints of the best runs, one folder an architecture, named by its key.
    `progress` is called once all are picked and after each, with (done, total, key and result); `stop` is asked before
    each is begun, and where it returns true the rest is left to the next call.

    Raises:
        InputError: A checkpoint in `save` was made by another task; nothing is trained then.
    """
    picks = list(_picks(store, study, draw, options))
    store.record_picks(study, picks, task.data.digest)
    keys = list(dict.fromkeys(key for key, _ in picks))
    architectures = store.architectures(keys)
    folders = {key: None if save is None else Path(save) / _folder_name(key) for key in keys}
    todo = {key: job for key in keys if (job := _remaining(store, key, task, folders[key]))}
    reused, trained = len(keys) - len(todo), 0
    progress = progress or (lambda done, total, text: None)
    progress(reused, len(keys), f"{reused} trained before")
    with workers(torch.device(task.device)) as pool:
        fits = {pool.submit(_fit, architectures[key], job, stop): (key, *job) for key, job in todo.items()}
        for done in as_completed(fits):
            runs, (key, fitted, folder) = done.result(), fits[done]
            if runs is not None:
                trained += 1
                progress(reused + trained, len(keys), summary(keep(store, architectures[key], fitted, runs, folder)))
    return Validation(tuple(picks), trained, reused, len(todo) - trained)


def _folder_name(key: str) -> str:
    """The key as the name of a folder: a stranger's database could say a path that leads elsewhere."""
    if not re.fullmatch("[0-9a-f]{12}", key):
        raise InputError(f"`key` must be 12 hexadecimal digits to name a checkpoint's folder, got {key!r}")
    return key


def _fit(row: ArchitectureRow, job: tuple[Task, Path | None], stop: Callable[[], bool]) -> list[Run] | None:
    """The runs of an architecture, None if it was stopped before it began."""
    return None if stop() else fit(row, job[0])


def summary(training: Training) -> str:
    """Return one line: the key, and the best run or why there is none."""
    run = training.best
    if run is None:
        return f"{training.key} diverged: {training.runs[0].reason}"
    return f"{training.key} accuracy {run.accuracy:.3f} at learning rate {run.learning_rate:g}"


def _picks(store: Store, study: str, draw: Draw, options: ValidationOptions) -> Iterator[tuple[str, Role]]:
    """What to train and why. Where something is matched to the recommended architecture, that one is picked too."""
    recommended = store.study(study).recommended_key
    front = _front(store, study, options.top)
    if recommended is not None:
        front = list(dict.fromkeys([recommended, *front]))[: max(options.top, min(options.matched, 1))]
    yield from ((key, "front") for key in front)
    if options.random:
        yield from ((key, "random") for key in draw(2 * options.seed, options.random, None))
    if options.matched and recommended is not None:
        params = store.architectures([recommended])[recommended].params
        yield from ((key, "matched") for key in draw(2 * options.seed + 1, options.matched, params))


def _front(store: Store, study: str, count: int) -> list[str]:
    """Keys along the front of the study's complete trials, those that add the most hypervolume first; of one objective,
    whose front is a point, those with the best values.
    """
    trials = [trial for trial in store.trials(study) if trial.state == "complete" and trial.kept_key is not None]
    if not trials:
        return []
    names = list(trials[0].objectives)
    values = [[trial.objectives[name] for name in names] for trial in trials]
    ways = directions(names)
    if len(names) == 1:
        order = sorted(range(len(trials)), key=lambda index: values[index][0], reverse=ways == ["maximize"])
        return list(dict.fromkeys(str(trials[index].kept_key) for index in order))[:count]
    return list(dict.fromkeys(str(trials[index].kept_key) for index in covering_points(values, ways, count)))


def _remaining(store: Store, key: str, task: Task, folder: Path | None) -> tuple[Task, Path | None] | None:
    """The seeds of the task that are not recorded, and where to save; all seeds if there is something to save yet."""
    rows = store.validations([key], task.data.digest, task.identity.trainer_id)
    done = {(row.seed, row.learning_rate) for row in rows}
    rates, seeds = task.trainer.learning_rates, task.trainer.seeds
    missing = tuple(seed for seed in seeds if any((seed, rate) not in done for rate in rates))
    unsaved = folder is not None and not _is_saved(folder, task)
    if unsaved and (missing or any(row.status == "ok" for row in rows)):
        return task, folder
    if not missing:
        return None
    return replace(task, trainer=replace(task.trainer, seeds=missing)), None  # type: ignore[type-var]


def _is_saved(folder: Path, task: Task) -> bool:
    """Whether this task's checkpoint is in `folder` already. ValueError if another's is, or one of unknown data."""
    if checkpoint.is_free(folder):
        return False
    info = checkpoint.read_info(folder)
    rule = f"a folder without checkpoints of other trainings, got {folder}"
    if changed := [name for name in CHANGED if name in info]:
        raise InputError(f"`save` must be {rule} ({changed[0]} after its training)")
    other = {name: value for name, value in vars(task.identity).items() if info.get(name) != value}
    if other:
        said = {name: repr(info[name]) if name in info else "unknown" for name in other}
        values = ", ".join(f"{name} {said[name]} instead of {value!r}" for name, value in other.items())
        raise InputError(f"`save` must be {rule} ({values})")
    return True
