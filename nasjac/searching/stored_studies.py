"""What is done with a stored study: `nasjac.validate` and `report`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasjac.architecture.space import SpaceLike
from nasjac.datasets import Dataset
from nasjac.foundation.atomic_files import check_replaceable
from nasjac.foundation.console import Console
from nasjac.foundation.interrupts import Interrupted, interrupts
from nasjac.foundation.places import check_folder
from nasjac.scores import Score
from nasjac.searching import report as reports
from nasjac.searching.draw import draw
from nasjac.searching.options import Chosen, choose, device_of, existing, group_of
from nasjac.searching.report import Report, folder_name
from nasjac.searching.runs import Run, recorded
from nasjac.searching.search import Search
from nasjac.searching.stored import objectives_of, stored_search
from nasjac.searching.study import SamplerFactory
from nasjac.searching.train import Task
from nasjac.searching.trust import trust_of
from nasjac.searching.validate import Validation, ValidationOptions
from nasjac.searching.validate import validate as train_picks
from nasjac.store import Store
from nasjac.trainers import Trainer

Given = Mapping[str, Any]


@dataclass(frozen=True)
class ValidationResult:
    """What a validation has trained, and the report that was written after it.

    Attributes:
        study: Its name.
        validation: What was picked, trained now, trained before and left; None where nothing was asked for.
        page: The report; None where none was asked for.
        signal: The number of the signal that stopped the work, None where it is finished.
    """

    study: str
    validation: Validation | None
    page: Report | None
    signal: int | None

    def __repr__(self) -> str:
        if self.signal is not None:
            return f"Validation of study {self.study!r}, stopped by signal {self.signal}: call again to go on"
        done = self.validation
        told = f"{len(done.picks)} picks, {done.trained} trained now, {done.reused} before" if done else "nothing asked for"
        return "\n".join([f"Validation of study {self.study!r}: {told}", *([self.page.text] if self.page else [])])


def validate(
    study: str,
    dataset: str | type | Dataset | Chosen | None = None,
    *,
    space: str | type | SpaceLike | Chosen | None = None,
    score: str | type | Score | Chosen | None = None,
    sampler: str | SamplerFactory | Chosen | None = None,
    trainer: str | type | Trainer | Chosen = "adamw",
    validation: ValidationOptions | Given | None = None,
    database: str = "nasjac.db",
    device: str = "auto",
    out: str | None = None,
    save: str | None = None,
    quiet: bool = False,
    trust: bool = False,
) -> ValidationResult:
    """Train the best architectures of a study and as many random ones briefly, to see whether the score was right.

    What is trained already is not trained again.

    Args:
        study: Its name in the database.
        dataset: What to train on; None is what the study was scored on.
        space: Leave it out, or confirm that a space of your own, which the database names, may be run; so with `score` and
            `sampler`. They keep the options that the study was searched with.
        score: See `space`.
        sampler: See `space`.
        trainer: What trains: a name (adamw, sgd), a class, an object, or package.module:name.
        validation: How many to train, such as {"top": 16}; None for the defaults.
        database: The path of the database.
        device: auto, cpu or cuda.
        out: Folder for the report, in out/study; None writes none.
        save: Folder for checkpoints of what is trained.
        quiet: Print no progress.
        trust: Run whatever the database names.

    Returns:
        What was picked and trained, and the report.

    Raises:
        InputError: There is no such study, it is one around a checkpoint, its data have changed, or its database names what
            nobody has confirmed.
    """
    console, place, wanted = Console(quiet), device_of(device), group_of("validation", ValidationOptions, validation)
    check_places(out, save, study)
    named = {"space": space, "score": score, "sampler": sampler}
    confirmed = {group: None if value is None else _confirmed(group, value) for group, value in named.items()}
    data, of_trainer = None if dataset is None else choose("dataset", dataset), choose("trainer", trainer)
    chosen = {**confirmed, "dataset": data, "trainer": of_trainer}
    known = {"study": study, "validation": wanted, "database": database, "device": device, "out": out, "save": save}
    known |= {"quiet": quiet, "trust": trust}
    with Store(existing(database), trust=trust) as store, interrupts() as stop:
        job = stored_search(store, study, place, trust_of(trust, chosen))
        store.claim_data(study, job.data.digest)
        own = job.names["dataset"]
        if data is None or {"name": data.name, **data.options} == own:
            name, held = own["name"], job.data
        else:
            name, held = data.name, data.made.load()
        page = None
        with recorded(store, "validate", study, chosen, known, place, stop) as run:
            task = Task(name, held, of_trainer.made, place.type)
            done = train_and_tell(store, study, job, task, wanted, save, console, run, stop)
        if out is not None and not stop():
            page = reports.report(store, study, out, objectives_of(store.study(study)))
    return ValidationResult(study, done, page, stop.signal)


def report(study: str, *, database: str = "nasjac.db", out: str = "reports", trust: bool = False) -> Report:
    """Write the report of a stored study into the folder `out`/study: a page, figures, JSON and CSV.

    Args:
        study: Its name in the database.
        database: The path of the database, which is only read.
        out: The folder of reports.
        trust: Take a database whose tables are not as nasjac makes them.

    Returns:
        Where the files are, all figures as numbers, and the chief sentences.

    Raises:
        InputError: There is no such study, it is one around a checkpoint, or the folder cannot be written.
    """
    check_places(out)
    with Store(database, read_only=True, trust=trust) as store:
        return reports.report(store, study, out, objectives_of(store.study(study)))


def check_places(out: str | None, save: str | None = None, study: str | None = None) -> None:
    """Refuse folders that cannot be written, and a study's report that none can hold or replace, before any work."""
    for name, folder in (("out", out), ("save", save)):
        if folder is not None:
            check_folder(folder, name)
    if study is not None:
        folder = folder_name(study)
        if out is not None:
            check_replaceable(Path(out) / folder)


def _confirmed(group: str, given: object) -> Chosen:
    """A name that confirms one of a study's; what it stands for is not made."""
    if isinstance(given, str) and group != "sampler":
        return Chosen(given, None, {})
    chosen = choose(group, given)
    return Chosen(chosen.name, None, chosen.options)


def train_and_tell(
    store: Store,
    name: str,
    job: Search,
    task: Task,
    options: ValidationOptions,
    save: str | None,
    console: Console,
    run: Run,
    stop: Interrupted,
) -> Validation | None:
    """Train the picks of a study with a progress bar, and note what came of it in the run."""
    total = options.top + options.random + options.matched
    if not total:
        return None
    began = time.perf_counter()
    with console.bar(f"validate {name}", total) as advance:
        draws = lambda seed, count, params: draw(store, job, seed, count, params)  # noqa: E731
        done = train_picks(store, name, task, draws, options, save, lambda done, total, text: advance(done, text), stop)
    run.seconds["validate"] = time.perf_counter() - began
    if len(done.picks) < total:
        console.say(f"validation: {len(done.picks)} architectures, not {total}: front or space offer no more")
    run.notes |= {"validated": done.trained, "validated_before": done.reused, "validation_left": done.left}
    return done
