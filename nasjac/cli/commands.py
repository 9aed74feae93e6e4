"""What each configured verb does: from its configuration to objects, the verb, and what is printed."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import count
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nasjac.architecture.spec import Spec, check_choice
from nasjac.cli.given_model import batch_of, made, plain
from nasjac.cli.grow_and_prune import run_grow, run_prune
from nasjac.cli.options import Choices, device_of, existing, names_of, option, search_of, validation_of
from nasjac.cli.runs import Run, recorded
from nasjac.cli.stored import objectives_of, stored_search
from nasjac.cli.trust import check_attributes, check_confirmed, trust_of
from nasjac.cli.warm import check_cold, given, run_warm
from nasjac.foundation.atomic_files import check_replaceable
from nasjac.foundation.console import Console
from nasjac.foundation.errors import InputError
from nasjac.foundation.interrupts import Interrupted, interrupts
from nasjac.foundation.places import check_folder
from nasjac.models.diagnose import FIRST
from nasjac.models.diagnosis_report import Options, diagnose
from nasjac.models.diagnosis_report import as_text as diagnosis_text
from nasjac.models.prescribe_model import as_text as prescribe_model_text
from nasjac.models.prescribe_model import prescribe_model
from nasjac.models.prescribe_spec import as_text as prescribe_text
from nasjac.models.prescribe_spec import prescription
from nasjac.models.theory import as_text as theory_text
from nasjac.models.theory import spec_of, theory
from nasjac.searching.draw import draw
from nasjac.searching.report import folder_name, report
from nasjac.searching.search import Search, search
from nasjac.searching.train import Task, train
from nasjac.searching.validate import validate
from nasjac.store import Store
from nasjac.store.former import stored_spec
from nasjac.tables.correlate import Options as CorrelateOptions
from nasjac.tables.correlate import correlate, inputs_for
from nasjac.tables.correlate_text import as_text as correlate_text

FORMATS = ("text", "json")


def run_search(config: DictConfig, choices: Choices) -> int:
    """Run or resume a search, validate what it found, write the report; return the exit code."""
    console, device = _common(config)
    if config.search.warm_start is not None:
        return run_warm(config, choices)
    check_cold(given())
    validation_of(config, choices)  # what is wrong there should not show after the search
    job = search_of(config, choices, device)
    name = config.study or job.default_name
    check_replaceable(Path(config.out) / folder_name(name))
    trust = trust_of(config, choices)
    with Store(config.database, trust=config.trust) as store, interrupts() as stop:
        name = store.open_study(name, job.identity, config.on_conflict, job.score_id, job.data.digest)
        before = store.trials(name)
        check_attributes(name, before, trust)
        with recorded(store, "search", name, config, choices, device) as run:
            done = len(before)
            with console.bar(f"search {name}", job.budget.trials, done) as advance:
                outcome = search(store, name, job, advance, stop)
            run.seconds |= outcome.seconds
            run.notes |= {"trials": outcome.trials, "started_at": done, "mean_group_size": outcome.group_size}
            run.notes |= getattr(job.score, "provenance", {})
            console.say(_where_time_went(outcome.seconds, outcome.fresh))
            if outcome.ended:
                console.say(
                    f"the sampler has ended the search after {outcome.trials} trials: it has nothing left to propose"
                )
            if not stop():
                _validate(store, name, job, config, choices, console, run, stop)
            run.status = "interrupted" if stop() else "finished"
        return _finish(store, name, config, console, stop)


def run_validate(config: DictConfig, choices: Choices) -> int:
    """Train picks of a stored study briefly, then write its report; return the exit code."""
    console, device = _common(config)
    check_replaceable(Path(config.out) / folder_name(config.study))
    validation_of(config, choices)
    check_confirmed(given())
    trust = trust_of(config, choices)
    config.space = config.score = config.sampler = None  # names that confirm the study's, whose options are the study's
    with Store(existing(config.database), trust=config.trust) as store, interrupts() as stop:
        job = stored_search(store, config.study, device, trust)
        store.claim_data(config.study, job.data.digest)
        with recorded(store, "validate", config.study, config, choices, device) as run:
            _validate(store, config.study, job, config, choices, console, run, stop)
            run.status = "interrupted" if stop() else "finished"
        return _finish(store, config.study, config, console, stop)


def run_report(config: DictConfig, choices: Choices) -> int:
    """Write the report of a stored study; return the exit code."""
    console, _ = _common(config)
    with Store(config.database, read_only=True, trust=config.trust) as store, interrupts() as stop:
        return _finish(store, config.study, config, console, stop)


def run_train(config: DictConfig, choices: Choices) -> int:
    """Train one stored architecture and keep its checkpoint; return the exit code."""
    console, device = _common(config)
    key, out = str(config.key), config.out  # first of all: they may be missing
    dataset, trainer = option("dataset", choices, config), option("trainer", choices, config)
    with Store(existing(config.database), trust=config.trust) as store:
        task = Task(dataset.name, dataset.load(), trainer, device.type)
        with recorded(store, "train", None, config, choices, device) as run:
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
        "dataset": task.dataset,
        "dataset_digest": task.data.digest,
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


def run_theory(config: DictConfig, choices: Choices) -> int:
    """Print the closed forms of one architecture; return the exit code."""
    console, _ = _common(config)
    found = theory(_architecture(config, choices), config.stream_variance, config.out)
    console.result(json.dumps(found.summary, allow_nan=False) if config.format == "json" else theory_text(found))
    return 0


def run_prescribe(config: DictConfig, choices: Choices) -> int:
    """Print what brings an architecture, or the blocks of a model, to criticality; return the exit code."""
    console, device = _common(config)
    if config.model is not None:
        return _prescribe_model(config, console, device)
    spec = _architecture(config, choices)
    numbers = {name: config[name] for name in ("target", "tolerance", "stream_variance", "seed")}
    found = prescription(spec, **numbers, out=config.out, device=device)
    console.result(json.dumps(found.summary, allow_nan=False) if config.format == "json" else prescribe_text(found))
    return 0


def _prescribe_model(config: DictConfig, console: Console, device: torch.device) -> int:
    if config.key is not None or config.choices:
        raise InputError("`model` must stand alone, without an architecture's key or choices")
    if config.blocks is None:
        raise InputError("`blocks` must name the residual blocks of the model, such as transformer.h, got None")
    name, make = made(config.model)
    with console.bar("prescribe", 20) as advance:
        steps = count(1)
        tell = lambda _, text: advance(next(steps), text)  # noqa: E731
        numbers = (config.target, config.tolerance, config.seed)
        found = prescribe_model(name, make, batch_of(config.input), config.blocks, *numbers, device, config.out, tell)
    console.result(json.dumps(found, allow_nan=False) if config.format == "json" else prescribe_model_text(found))
    return 0


def _architecture(config: DictConfig, choices: Choices) -> Spec:
    """A stored architecture by its key, or one of a space by its choices."""
    given = OmegaConf.to_container(config.choices, resolve=True)
    assert isinstance(given, dict)
    if config.key is None:
        return spec_of(option("space", choices, config), {str(name): value for name, value in given.items()})
    if given:
        raise InputError(f"`key` must stand alone, for its architecture is known, got {', '.join(map(str, given))} too")
    with Store(existing(config.database), read_only=True, trust=config.trust) as store:
        key = store.resolve_key(str(config.key))
        return stored_spec(store.architectures([key])[key])


def run_diagnose(config: DictConfig, choices: Choices) -> int:
    """Print the layer-by-layer Jacobian norms of models on one batch; return the exit code."""
    console, device = _common(config)
    models = dict([made(config.model), *map(made, config.compare)])
    options = Options(**{entry.name: plain(config[entry.name]) for entry in fields(Options)})
    each = 2 * (FIRST * options.reinitialize if options.reinitialize else options.max_probes)
    with console.bar("diagnose", each) as advance:
        done = diagnose(models, batch_of(config.input), options, device, config.out, advance)
    console.result(json.dumps(done.summary, allow_nan=False) if config.format == "json" else diagnosis_text(done))
    return 0


def run_correlate(config: DictConfig, choices: Choices) -> int:
    """Print how well a score ranks a table of trained architectures; return the exit code."""
    console, device = _common(config)
    space, score = (option(group, choices, config, "correlate") for group in ("space", "score"))
    options = CorrelateOptions(**{entry.name: config[entry.name] for entry in fields(CorrelateOptions)})
    inputs = lambda bound: inputs_for(bound, option("dataset", choices, config).load())  # noqa: E731
    bar = lambda total: console.bar(f"correlate {score.name}", total)  # noqa: E731
    found = correlate(config.table, space, score, inputs, options, device, bar, config.out)
    console.result(json.dumps(found, allow_nan=False) if config.format == "json" else correlate_text(found))
    return 0


COMMANDS: dict[str, Callable[[DictConfig, Choices], int]] = {
    "search": run_search,
    "validate": run_validate,
    "report": run_report,
    "train": run_train,
    "theory": run_theory,
    "prescribe": run_prescribe,
    "diagnose": run_diagnose,
    "grow": run_grow,
    "prune": run_prune,
    "correlate": run_correlate,
}


def _validate(
    store: Store,
    name: str,
    job: Search,
    config: DictConfig,
    choices: Choices,
    console: Console,
    run: Run,
    stop: Interrupted,
) -> None:
    options, trainer = validation_of(config, choices)
    total = options.top + options.random + options.matched
    if not total:
        return
    dataset, data = job.names["dataset"]["name"], job.data
    if config.dataset is not None and names_of("dataset", choices, config) != job.names["dataset"]:
        dataset, data = choices["dataset"], option("dataset", choices, config).load()
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


def _finish(store: Store, name: str, config: DictConfig, console: Console, stop: Interrupted) -> int:
    """Write the report and print it; or say how to go on if a signal stopped the work."""
    if stop.signal is not None:
        console.say(f"stopped; everything so far is stored. Go on with: {resume_command(config, name)}")
        return 128 + stop.signal
    made = report(store, name, config.out, objectives_of(store.study(name)))
    console.result(json.dumps(made.summary) if config.format == "json" else made.text)
    return 0


def resume_command(config: DictConfig, name: str) -> str:
    """The command that goes on where this one stopped."""
    words = [word for word in sys.argv[1:] if not word.startswith("on_conflict=")]
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN  # its jobs have a study each
    named = sweep or any(word.startswith("study=") for word in words)
    return shlex.join([*sys.argv[0].split(), *words, *([] if named else [f"study={name}"])])


def _common(config: DictConfig) -> tuple[Console, torch.device]:
    check_choice("format", config.format, FORMATS)
    for name in ("out", "save"):
        if config.get(name) is not None:
            check_folder(config[name], name)
    return Console(config.quiet), device_of(config.device)


def _progress(advance: Callable[[int, str], None]) -> Callable[[int, int, str], None]:
    return lambda done, total, text: advance(done, text)


def _where_time_went(seconds: Mapping[str, float], trials: int) -> str:
    parts = ", ".join(f"{part} {value:.1f} s" for part, value in seconds.items())
    if not trials:
        return f"nothing left to search ({parts})"
    overhead = 1e3 * (seconds["sampler"] + seconds["store"]) / trials
    return f"{trials} trials: {parts}; sampler and store {overhead:.2f} ms a trial"
