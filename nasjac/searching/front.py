"""The front door of a search: `nasjac.search`, `validate`, `report` and `train`, which the command line calls too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nasjac.architecture.space import Space
from nasjac.architecture.spec import Spec
from nasjac.datasets import Dataset
from nasjac.foundation.arguments import shown
from nasjac.foundation.atomic_files import check_replaceable
from nasjac.foundation.console import Console
from nasjac.foundation.errors import InputError
from nasjac.foundation.interrupts import Interrupted, interrupts
from nasjac.foundation.places import check_folder
from nasjac.kinds.facts import facts
from nasjac.scores import Score
from nasjac.searching import report as reports
from nasjac.searching.draw import draw
from nasjac.searching.objectives import Budget
from nasjac.searching.options import Chosen, choose, device_of, existing, group_of
from nasjac.searching.report import Report, folder_name
from nasjac.searching.results import SearchResult, ValidationResult, WarmSearchResult
from nasjac.searching.runs import Run, configuration, recorded, run_study
from nasjac.searching.scored import architecture_rows
from nasjac.searching.search import Search, SearchOptions, search_of
from nasjac.searching.stored import objectives_of, stored_search
from nasjac.searching.study import SamplerFactory
from nasjac.searching.train import Task, Training
from nasjac.searching.train import train as train_stored
from nasjac.searching.trust import check_attributes, trust_of
from nasjac.searching.validate import Validation, ValidationOptions
from nasjac.searching.validate import validate as train_picks
from nasjac.searching.warm_front import search_around
from nasjac.searching.warm_search import WarmOptions
from nasjac.store import Store
from nasjac.store.studies import Conflict
from nasjac.trainers import Trainer

Given = Mapping[str, Any]


def search(
    space: str | type | Space | Chosen | None = None,
    dataset: str | type | Dataset | Chosen | None = None,
    *,
    score: str | type | Score | Chosen = "merit",
    sampler: str | SamplerFactory | Chosen = "nsga2",
    budget: Budget | Given | None = None,
    search: SearchOptions | Given | None = None,
    warm: WarmOptions | Given | None = None,
    trainer: str | type | Trainer | Chosen = "adamw",
    validation: ValidationOptions | Given | None = None,
    study: str | None = None,
    seed: int = 0,
    database: str = "nasjac.db",
    device: str = "auto",
    on_conflict: Conflict = "resume",
    out: str | None = None,
    save: str | None = None,
    quiet: bool = False,
    trust: bool = False,
) -> SearchResult | WarmSearchResult:
    """Search for architectures by their Jacobians before training; a study that exists goes on where it was.

    Everything is stored in the database, a batch at a time. The options are those of `nasjac search` on the shell: with the
    same ones it is the same study, and either resumes the other. Progress is printed to standard error.

    >>> import nasjac
    >>> found = nasjac.search("residual_mlp", "digits", budget={"trials": 64})  # doctest: +SKIP
    >>> found.recommended.spec  # doctest: +SKIP

    Args:
        space: What is searched: a name (residual_mlp, resnet, ...), a class or an object that turns a trial into a Spec, or
            package.module:name.
        dataset: The data: a name (digits, text, ...), a class, an object with `name` and `load()`, or package.module:name.
        score: What measures architectures.
        sampler: What proposes them: nsga2, nsga3, random, tpe, any class of Optuna's samplers, or a partial of one.
        budget: When to stop, and the bounds of architectures, such as {"trials": 64, "max_params": 100_000}.
        search: How the search goes about it, such as {"batch": 32}. {"warm_start": DIR} searches among growths and prunings
            of the trained network in the folder DIR; then space, score, trainer and validation are left out.
        warm: Options of a search with warm_start.
        trainer: What trains the picks of the validation.
        validation: What is trained after the search, {} for the defaults. None: nothing (`SearchResult.validate` does).
        study: Its name in the database; None makes one of space, dataset, sampler and seed.
        seed: Of the sampler.
        database: The path of the database, which is made if need be.
        device: auto, cpu or cuda.
        on_conflict: With a study of that name: resume it, make a new one, or raise an error.
        out: Folder for the report, in out/study; None writes none. With warm_start the new folder of the recommended
            network; None is that of warm_start with -searched behind it.
        save: Folder for checkpoints of the picks that are trained.
        quiet: Print no progress.
        trust: Take a database that others have changed.

    Returns:
        The study's recommended architecture, front and leaderboard, and a door to its validation and report. With
        warm_start a WarmSearchResult.

    Raises:
        InputError: An option is wrong, or a study of that name has another identity.
    """
    options, limits = group_of("search", SearchOptions, search), group_of("budget", Budget, budget)
    console, place = Console(quiet), device_of(device)
    if options.warm_start is not None:
        others: dict[str, object] = {"space": space, "validation": validation, "save": save}
        others |= {"score": None if score == "merit" else score, "trainer": None if trainer == "adamw" else trainer}
        if given := next((name for name, value in others.items() if value is not None), None):
            raise InputError(f"`{given}` must be left out with search.warm_start, got {shown(others[given])}")
        if device not in ("auto", "cpu"):
            raise InputError(f"`device` must be cpu with search.warm_start, got {device!r}")
        return search_around(
            sampler=choose("sampler", sampler),
            dataset=None if dataset is None else choose("dataset", dataset),
            budget=limits,
            search=options,
            warm=group_of("warm", WarmOptions, warm),
            study=study,
            seed=seed,
            database=database,
            on_conflict=on_conflict,
            out=out,
            quiet=quiet,
            trust=trust,
        )
    if warm is not None:
        raise InputError(f"`warm` must come with search.warm_start, the checkpoint to search from, got {shown(warm)}")
    groups = {"space": space, "score": score, "sampler": sampler, "dataset": dataset, "trainer": trainer}
    chosen = {group: choose(group, value) for group, value in groups.items()}
    check_places(out, save)
    wanted = None if validation is None else group_of("validation", ValidationOptions, validation)
    parts = {group: chosen[group] for group in ("space", "score", "sampler", "dataset")}
    job = search_of(**parts, budget=limits, options=options, seed=seed, device=place)
    name = study or job.default_name
    check_report(out, name)
    known = {"search": options, "budget": limits, "validation": wanted, "seed": seed, "on_conflict": on_conflict}
    known |= {"study": study, "database": database, "device": device, "out": out, "save": save, "quiet": quiet}
    with Store(database, trust=trust) as store, interrupts() as stop:
        name = store.open_study(name, job.identity, on_conflict, job.score_id, job.data.digest)
        check_attributes(name, store.trials(name), trust_of(trust, chosen))
        done, page = None, None
        with recorded(store, "search", name, configuration(chosen, **known, trust=trust), place) as run:
            outcome = run_study(store, name, job, console, run, stop)
            run.notes |= job.score.provenance
            if wanted is not None and not stop():
                task = Task(chosen["dataset"].name, job.data, chosen["trainer"].made, place.type)
                done = _validate(store, name, job, task, wanted, save, console, run, stop)
            run.status = "interrupted" if stop() else "finished"
        if out is not None and not stop():
            page = reports.report(store, name, out, objectives_of(store.study(name)))
    return SearchResult(name, str(database), outcome, job, done, page, stop.signal, trust)


def validate(
    study: str,
    dataset: str | type | Dataset | Chosen | None = None,
    *,
    space: str | type | Space | Chosen | None = None,
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
    check_places(out, save)
    check_report(out, study)
    named = {"space": space, "score": score, "sampler": sampler}
    confirmed = {group: None if value is None else _confirmed(group, value) for group, value in named.items()}
    data = None if dataset is None else choose("dataset", dataset)
    chosen = {**confirmed, "dataset": data, "trainer": choose("trainer", trainer)}
    trainer_made = choose("trainer", trainer).made
    known = {"study": study, "validation": wanted, "database": database, "device": device, "out": out, "save": save}
    with Store(existing(database), trust=trust) as store, interrupts() as stop:
        job = stored_search(store, study, place, trust_of(trust, chosen))
        store.claim_data(study, job.data.digest)
        same = data is None or data.label == job.names["dataset"]
        name, held = (job.names["dataset"]["name"], job.data) if same or data is None else (data.name, data.made.load())
        page = None
        with recorded(store, "validate", study, configuration(chosen, **known, quiet=quiet, trust=trust), place) as run:
            task = Task(name, held, trainer_made, place.type)
            done = _validate(store, study, job, task, wanted, save, console, run, stop)
            run.status = "interrupted" if stop() else "finished"
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
    check_places(out)
    chosen = {"dataset": choose("dataset", dataset), "trainer": choose("trainer", trainer)}
    known = {"out": out, "database": database, "device": device, "quiet": quiet, "trust": trust}
    with Store(database if isinstance(key, Spec) else existing(database), trust=trust) as store:
        data = chosen["dataset"].made
        task = Task(data.name, data.load(), chosen["trainer"].made, place.type)
        if isinstance(key, Spec):
            store.record_scored(architecture_rows([key], facts([key])), [], "", "")
            key = key.key
        with recorded(store, "train", None, configuration(chosen, key=key, **known), place) as run:
            with console.bar(f"train {key}", task.trainer.steps) as advance:  # type: ignore[attr-defined]
                training = train_stored(store, key, task, out, _progress(advance))
            run.status = "finished"
    return training


def check_places(out: str | None, save: str | None = None) -> None:
    """Refuse folders that cannot be written, before any work."""
    for name, folder in (("out", out), ("save", save)):
        if folder is not None:
            check_folder(folder, name)


def check_report(out: str | None, study: str) -> None:
    """Refuse a study whose name no folder can have, or whose report cannot be replaced, before any work."""
    folder = folder_name(study)
    if out is not None:
        check_replaceable(Path(out) / folder)


def _confirmed(group: str, given: object) -> Chosen:
    """A name that confirms one of a study's; what it stands for is not made."""
    if isinstance(given, str) and group != "sampler":
        return Chosen(given, None, {})
    chosen = choose(group, given)
    return Chosen(chosen.name, None, chosen.options)


def _validate(
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
    total = options.top + options.random + options.matched
    if not total:
        return None
    began = time.perf_counter()
    with console.bar(f"validate {name}", total) as advance:
        draws = lambda seed, count, params: draw(store, job, seed, count, params)  # noqa: E731
        done = train_picks(store, name, task, draws, options, save, _progress(advance), stop)
    run.seconds["validate"] = time.perf_counter() - began
    if len(done.picks) < total:
        console.say(f"validation: {len(done.picks)} architectures, not {total}: front or space offer no more")
    run.notes |= {"validated": done.trained, "validated_before": done.reused, "validation_left": done.left}
    return done


def _progress(advance: Callable[[int, str], None]) -> Callable[[int, int, str], None]:
    return lambda done, total, text: advance(done, text)
