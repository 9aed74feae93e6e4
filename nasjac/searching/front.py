"""The front door of a search: `nasjac.search`, which the command line calls too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from nasjac.architecture.space import SpaceLike
from nasjac.datasets import Dataset
from nasjac.foundation.arguments import shown
from nasjac.foundation.console import Console
from nasjac.foundation.errors import InputError
from nasjac.foundation.interrupts import interrupts
from nasjac.scores import Score
from nasjac.searching import report as reports
from nasjac.searching.around_checkpoint import summarize
from nasjac.searching.job import SearchOptions
from nasjac.searching.objectives import Budget
from nasjac.searching.options import Chosen, choose, device_of, group_of
from nasjac.searching.results import SearchResult, WarmSearchResult
from nasjac.searching.runs import recorded, run_study
from nasjac.searching.search import Search, search_of
from nasjac.searching.stored import objectives_of
from nasjac.searching.stored_studies import check_places, train_and_tell
from nasjac.searching.study import SamplerFactory
from nasjac.searching.train import Task
from nasjac.searching.trust import check_attributes
from nasjac.searching.validate import ValidationOptions
from nasjac.searching.warm_search import WarmSearch, warm_search_of
from nasjac.searching.warm_space import WarmOptions
from nasjac.store import Store
from nasjac.store.studies import Conflict
from nasjac.surgery.trained import check_out
from nasjac.trainers import Trainer

Given = Mapping[str, Any]


def search(
    space: str | type | SpaceLike | Chosen | None = None,
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
    console, place, source = Console(quiet), device_of(device), options.warm_start
    known: dict[str, Any] = {"search": options, "budget": limits, "seed": seed, "on_conflict": on_conflict}
    known |= {"study": study, "database": database, "out": out, "trust": trust}
    chosen: dict[str, Chosen | None]
    job: Search | WarmSearch
    if source is None:
        if warm is not None:
            raise InputError(f"`warm` must come with search.warm_start, the checkpoint to search from, got {shown(warm)}")
        given = {"space": space, "score": score, "sampler": sampler, "dataset": dataset}
        parts = {group: choose(group, value) for group, value in given.items()}
        of_trainer = choose("trainer", trainer)
        chosen = {**parts, "trainer": of_trainer}
        check_places(out, save)
        wanted = None if validation is None else group_of("validation", ValidationOptions, validation)
        job = search_of(**parts, budget=limits, options=options, seed=seed, device=place)
        check_places(out, save, study or job.default_name)
        task = Task(parts["dataset"].name, job.data, of_trainer.made, place.type)
        known |= {"validation": wanted, "device": device, "save": save, "quiet": quiet}
    else:
        _check_left_out(space=space, validation=validation, save=save, score=score, trainer=trainer)
        if device not in ("auto", "cpu"):
            raise InputError(f"`device` must be cpu with search.warm_start, got {device!r}")
        of_sampler, of_data = choose("sampler", sampler), None if dataset is None else choose("dataset", dataset)
        chosen, around = {"sampler": of_sampler, "dataset": of_data}, group_of("warm", WarmOptions, warm)
        job = warm_search_of(source, of_sampler, of_data, limits, options, around, seed)
        place, target = torch.device("cpu"), check_out(f"{source.rstrip('/')}-searched" if out is None else out)
        known["warm"] = around
        if job.space.old.doubt:
            console.say(job.space.old.doubt)
        console.say(f"at most {job.budget.max_flops} FLOPs; study {study or job.default_name} in {database}")
    with Store(database, trust=trust) as store, interrupts() as stop:
        name = store.open_study(study or job.default_name, job.identity, on_conflict, job.score_id, job.data.digest)
        check_attributes(name, store.trials(name), trust)
        done = None
        with recorded(store, "search", name, chosen, known, place, stop) as run:
            outcome = run_study(store, name, job, console, run, stop)
            if isinstance(job, Search):
                run.notes |= job.score.provenance
                if wanted is not None and not stop() and store.study(name).recommended_key is not None:
                    done = train_and_tell(store, name, job, task, wanted, save, console, run, stop)
        if isinstance(job, WarmSearch):
            summary = None if stop() else summarize(store, name, job, str(source), target)
            return WarmSearchResult(name, str(database), outcome, summary, stop.signal)
        page = None
        if out is not None and not stop():
            page = reports.report(store, name, out, objectives_of(store.study(name)))
    return SearchResult(name, str(database), outcome, job, done, page, stop.signal, trust)


def _check_left_out(**given: object) -> None:
    """Refuse what a search from a checkpoint does not read."""
    defaults = {"score": "merit", "trainer": "adamw"}
    if other := next((name for name, value in given.items() if value != defaults.get(name)), None):
        raise InputError(f"`{other}` must be left out with search.warm_start, got {shown(given[other])}")
