"""What each configured verb does: from its configuration to objects, the verb, and what is printed."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from importlib.metadata import version
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf

from nasjac.cli.config import GROUPS
from nasjac.cli.load import load
from nasjac.console import Console
from nasjac.interrupts import Interrupted, interrupts
from nasjac.objectives import OBJECTIVES, Budget
from nasjac.spec import check_choice
from nasjac.store.database import path_of
from nasjac.store.rows import RunRow
from nasjac.store.store import Store
from nasjac.verbs.report import report
from nasjac.verbs.search import Search, draw, search
from nasjac.verbs.train import Task, train
from nasjac.verbs.validate import ValidationOptions, validate

FORMATS = ("text", "json")
Choices = Mapping[str, str]


def run_search(config: DictConfig, choices: Choices) -> int:
    """search, then validation and report."""
    console, device = _common(config)
    dataset = _option("dataset", choices, config)
    _validation(config, choices)  # what is wrong there should not show after the search
    job = Search(
        space=_option("space", choices, config),
        score=_option("score", choices, config),
        sampler=hydra.utils.instantiate(config.sampler, _partial_=True),
        data=dataset.load(),
        names={group: _names(group, choices, config) for group in ("space", "score", "sampler", "dataset")},
        budget=OmegaConf.to_object(config.budget),  # type: ignore[arg-type]
        options=OmegaConf.to_object(config.search),  # type: ignore[arg-type]
        seed=config.seed,
        device=device,
    )
    with Store(config.database) as store, interrupts() as stop:
        name = store.open_study(config.study or job.default_name, job.identity, config.on_conflict, job.score_id)
        with _run(store, "search", name, config, choices, device) as run:
            done = len(store.trials(name))
            with console.bar(f"search {name}", job.budget.trials, done) as advance:
                outcome = search(store, name, job, advance, stop)
            run.seconds |= outcome.seconds
            run.notes |= {"trials": outcome.trials, "started_at": done, "mean_group_size": outcome.group_size}
            console.say(_where_time_went(outcome.seconds, outcome.trials - done))
            if not stop():
                _validate(store, name, job, config, choices, console, run, stop)
            run.status = "interrupted" if stop() else "finished"
        return _finish(store, name, config, console, stop)


def run_validate(config: DictConfig, choices: Choices) -> int:
    """validate a study that is there, then report."""
    console, device = _common(config)
    _validation(config, choices)
    with Store(_existing(config.database)) as store, interrupts() as stop:
        job = _stored_search(store, config.study, device)
        with _run(store, "validate", config.study, config, choices, device) as run:
            _validate(store, config.study, job, config, choices, console, run, stop)
            run.status = "interrupted" if stop() else "finished"
        return _finish(store, config.study, config, console, stop)


def run_report(config: DictConfig, choices: Choices) -> int:
    """report on a study that is there."""
    console, _ = _common(config)
    with Store(config.database, read_only=True) as store, interrupts() as stop:
        return _finish(store, config.study, config, console, stop)


def run_train(config: DictConfig, choices: Choices) -> int:
    """train one architecture."""
    console, device = _common(config)
    key, out = str(config.key), config.out  # first of all: they may be missing
    dataset, trainer = _option("dataset", choices, config), _option("trainer", choices, config)
    with Store(_existing(config.database)) as store:
        task = Task(dataset.name, dataset.load(), trainer, device.type)
        with _run(store, "train", None, config, choices, device) as run:
            with console.bar(f"train {key}", trainer.steps) as advance:
                training = train(store, key, task, out, _progress(advance))
            run.status = "finished"
    best = training.best
    figures = {
        "key": training.key,
        "status": "ok" if best else "diverged",
        "accuracy": best.accuracy if best else None,
        "loss": best.loss if best else None,
        "learning_rate": best.learning_rate if best else None,
        "seed": best.seed if best else None,
        "checkpoint": str(training.folder) if training.folder else None,
    }
    if config.format == "json":
        console.result(json.dumps(figures))
    elif best:
        console.result(
            f"{training.key}: validation accuracy {best.accuracy:.4f} (learning rate {best.learning_rate:g}, "
            f"seed {best.seed}); checkpoint in {training.folder}"
        )
    else:
        console.result(f"{training.key}: every training diverged ({training.runs[0].reason}); no checkpoint")
    return 0


COMMANDS: dict[str, Callable[[DictConfig, Choices], int]] = {
    "search": run_search,
    "validate": run_validate,
    "report": run_report,
    "train": run_train,
}


class _Run:
    """What a run row gets at its end."""

    def __init__(self) -> None:
        self.status, self.seconds, self.notes = "failed", dict[str, float](), dict[str, Any]()


@contextmanager
def _run(
    store: Store, verb: str, study: str | None, config: DictConfig, choices: Choices, device: torch.device
) -> Iterator[_Run]:
    """A row in `run` for the time of the block: what ran, with which versions, and where its time went."""
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    commit, dirty = _git()
    row = RunRow(
        verb=verb,
        study=study,
        config={**content, "choices": dict(choices)},  # type: ignore[dict-item]
        versions={name: version(name) for name in ("nasjac", "torch", "optuna", "numpy", "hydra-core")}
        | {"python": platform.python_version()},
        device=f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device),
        command=" ".join(["nasjac", verb, *sys.argv[1:]]),
        git_commit=commit,
        git_dirty=dirty,
    )
    number, run, began = store.begin_run(row), _Run(), time.perf_counter()
    try:
        yield run
    finally:
        run.seconds["total"] = time.perf_counter() - began
        store.finish_run(number, run.status, run.seconds, run.notes)


def _git() -> tuple[str | None, bool | None]:
    """The commit of the repository one stands in and whether it has changes; None where there is none."""
    try:
        done = [
            subprocess.run(["git", *words], capture_output=True, text=True, check=False)
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        ]
    except FileNotFoundError:
        return None, None
    head, state = done
    return (head.stdout.strip(), bool(state.stdout.strip())) if head.returncode == 0 else (None, None)


def _validate(
    store: Store,
    name: str,
    job: Search,
    config: DictConfig,
    choices: Choices,
    console: Console,
    run: _Run,
    stop: Interrupted,
) -> None:
    options, trainer = _validation(config, choices)
    total = options.top + options.random + options.matched
    if not total:
        return
    dataset, data = job.names["dataset"]["name"], job.data
    if config.dataset is not None and "dataset" in choices and choices["dataset"] != dataset:
        dataset, data = choices["dataset"], _option("dataset", choices, config).load()
    task = Task(dataset, data, trainer, job.device.type)
    began = time.perf_counter()
    with console.bar(f"validate {name}", total) as advance:
        done = validate(
            store,
            name,
            task,
            lambda seed, count, params: draw(store, job, seed, count, params),
            options,
            config.save,
            _progress(advance),
            stop,
        )
    run.seconds["validate"] = time.perf_counter() - began
    if len(done.picks) < total:
        console.say(f"validation: {len(done.picks)} architectures, not {total}: front or space offer no more")
    run.notes |= {"validated": done.trained, "validated_before": done.reused, "validation_left": done.left}


def _validation(config: DictConfig, choices: Choices) -> tuple[ValidationOptions, Any]:
    """The validation's options and trainer."""
    options = OmegaConf.to_object(config.validation)
    assert isinstance(options, ValidationOptions)
    return options, _option("trainer", choices, config)


def _finish(store: Store, name: str, config: DictConfig, console: Console, stop: Interrupted) -> int:
    """Write the report and print it; or say how to go on if a signal stopped the work."""
    if stop.signal is not None:
        console.say(f"stopped; everything so far is stored. Go on with: {resume_command(config, name)}")
        return 128 + stop.signal
    row = store.study(name)
    objectives = {o: OBJECTIVES[o].direction for o in row.identity["search"]["objectives"]}
    made = report(store, name, config.out, objectives)
    console.result(json.dumps(made.summary) if config.format == "json" else made.text)
    return 0


def resume_command(config: DictConfig, name: str) -> str:
    """The command that goes on where this one stopped."""
    words = [word for word in sys.argv[1:] if not word.startswith(("study=", "on_conflict="))]
    return " ".join(["nasjac", sys.argv[0].split()[-1], *words, f"study={name}"])


def _stored_search(store: Store, study: str, device: torch.device) -> Search:
    """The search that made a study, from what the database says of it."""
    row = store.study(study)
    runs = store.select(
        "SELECT config FROM run WHERE study = :study AND verb = 'search' ORDER BY run_id DESC LIMIT 1", {"study": study}
    ).rows
    if not runs:
        raise ValueError(f"`study` must have been made by nasjac search, got {study!r}, which has no run")
    stored = json.loads(str(runs[0][0]))
    choices = stored["choices"]
    config = OmegaConf.create(stored)
    assert isinstance(config, DictConfig)
    known = {item.name for item in fields(Budget)}
    job = Search(
        space=_option("space", choices, config),
        score=_option("score", choices, config),
        sampler=hydra.utils.instantiate(config.sampler, _partial_=True),
        data=_option("dataset", choices, config).load(),
        names={group: _names(group, choices, config) for group in ("space", "score", "sampler", "dataset")},
        budget=Budget(**{name: value for name, value in stored["budget"].items() if name in known}),
        seed=stored["seed"],
        device=device,
    )
    job = replace(job, options=type(job.options)(stored["search"]["batch"], tuple(stored["search"]["objectives"])))
    if job.identity["dataset"] != row.identity["dataset"]:
        raise ValueError(f"`dataset` must hold the inputs that study {study!r} was scored on, got other inputs")
    return job


def _option(group: str, choices: Choices, config: DictConfig) -> Any:
    """The object that an option group's choice and values stand for."""
    name = choices[group]
    kind = load(name) if ":" in name else GROUPS[group][name]
    if not is_dataclass(kind):
        return kind
    node = config[group]
    content = OmegaConf.to_object(node)
    if not isinstance(content, dict):
        return content
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    return (kind if isinstance(kind, type) else type(kind))(**values)  # type: ignore[arg-type]


def _names(group: str, choices: Choices, config: DictConfig) -> dict[str, Any]:
    """An option by name and values, for a study's identity."""
    content = OmegaConf.to_container(config[group], resolve=True)
    assert isinstance(content, dict)
    return {"name": choices[group], **{str(key): value for key, value in content.items()}}


def _existing(database: str) -> str:
    """The database, which must be there already."""
    if not path_of(database).exists():
        raise ValueError(f"`database` must be a file that exists (nasjac search makes one), got {database!r}")
    return database


def _common(config: DictConfig) -> tuple[Console, torch.device]:
    check_choice("format", config.format, FORMATS)
    return Console(config.quiet), device_of(config.device)


def device_of(name: str) -> torch.device:
    """auto: a GPU if there is one. ValueError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and not (name.startswith("cuda") and torch.cuda.is_available()):
        there = "auto, cpu" + (", cuda" if torch.cuda.is_available() else " (no GPU is visible)")
        raise ValueError(f"`device` must be one of {there}, got {name!r}")
    return torch.device(name)


def _progress(advance: Callable[[int, str], None]) -> Callable[[int, int, str], None]:
    return lambda done, total, text: advance(done, text)


def _where_time_went(seconds: Mapping[str, float], trials: int) -> str:
    parts = ", ".join(f"{part} {value:.1f} s" for part, value in seconds.items())
    if not trials:
        return f"nothing left to search ({parts})"
    overhead = 1e3 * (seconds["sampler"] + seconds["store"]) / trials
    return f"{trials} trials: {parts}; sampler and store {overhead:.2f} ms a trial"
