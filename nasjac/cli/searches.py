"""search, validate, report and train: their configuration to the function of the same name, and its result in print."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from nasjac.architecture.fields import check_choice
from nasjac.cli.options import Choices, chosen, chosen_or_none, plain, typed
from nasjac.foundation.console import Console
from nasjac.foundation.errors import InputError
from nasjac.searching.front import search
from nasjac.searching.job import SearchOptions
from nasjac.searching.objectives import Budget
from nasjac.searching.options import Chosen
from nasjac.searching.report import Report
from nasjac.searching.results import WarmSearchResult
from nasjac.searching.stored_studies import report, validate
from nasjac.searching.train import Training, train
from nasjac.searching.validate import ValidationOptions
from nasjac.searching.warm_space import WarmOptions

FORMATS = ("text", "json")
#: what every search takes, and what one from architectures at initialization takes beside it
PLAIN = ("study", "seed", "database", "device", "on_conflict", "quiet", "trust")
#: what a search from a checkpoint takes: the rest belongs to architectures without weights
TAKEN = (*PLAIN, "search", "warm", "budget", "sampler", "dataset", "format", "out", "hydra")
NOT_TAKEN = ("search.racing", "budget.min_effective_depth")


def run_search(config: DictConfig, choices: Choices) -> int:
    """Run or resume a search, validate what it found, write the report; return the exit code."""
    check_choice("format", config.format, FORMATS)
    names, is_warm = _given(), config.search.warm_start is not None
    options: dict[str, Any] = {name: config[name] for name in PLAIN}
    options |= {"search": typed(SearchOptions, config.search), "budget": typed(Budget, config.budget)}
    if is_warm:
        _check_warm(names)
        is_given = any(name == "dataset" or name.startswith("dataset.") for name in names)
        dataset = chosen("dataset", choices, config) if is_given else None
        options |= {"warm": typed(WarmOptions, config.warm), "out": config.out if "out" in names else None}
        found = search(None, dataset, sampler=chosen("sampler", choices, config), **options)
    else:
        _check_cold(names)
        validation = typed(ValidationOptions, config.validation)
        trainer, dataset = chosen("trainer", choices, config), chosen("dataset", choices, config)
        options |= {group: chosen(group, choices, config) for group in ("score", "sampler")}
        options |= {"out": config.out, "save": config.save, "validation": validation, "trainer": trainer}
        found = search(chosen("space", choices, config), dataset, **options)
    if found.signal is not None:
        return _stopped(config, found.study, found.signal)
    if isinstance(found, WarmSearchResult):
        assert found.summary is not None, "it has not been stopped"
        is_json = config.format == "json"
        text = found.summary.to_json() if is_json else found.summary.as_text()
        Console(config.quiet).result(text)
        return 0
    return _printed(config, found.page)


def run_validate(config: DictConfig, choices: Choices) -> int:
    """Train picks of a stored study briefly, then write its report; return the exit code."""
    check_choice("format", config.format, FORMATS)
    _check_confirmed(_given())
    names = ("study", "database", "device", "quiet", "trust", "out", "save")
    options: dict[str, Any] = {name: config[name] for name in names}
    options |= {group: _name_of(group, choices) for group in ("space", "score")}
    sampler = None if config.sampler is None else Chosen(choices["sampler"], None, plain(config.sampler))
    found = validate(
        **options,
        dataset=chosen_or_none("dataset", choices, config),
        sampler=sampler,
        trainer=chosen("trainer", choices, config),
        validation=typed(ValidationOptions, config.validation),
    )
    return _stopped(config, found.study, found.signal) if found.signal is not None else _printed(config, found.page)


def run_report(config: DictConfig, choices: Choices) -> int:
    """Write the report of a stored study; return the exit code."""
    check_choice("format", config.format, FORMATS)
    return _printed(config, report(config.study, database=config.database, out=config.out, trust=config.trust))


def run_train(config: DictConfig, choices: Choices) -> int:
    """Train one stored architecture and keep its checkpoint; return the exit code."""
    check_choice("format", config.format, FORMATS)
    key, out = str(config.key), config.out  # first of all: they may be missing
    options = {name: config[name] for name in ("database", "device", "quiet", "trust")}
    dataset, trainer = chosen("dataset", choices, config), chosen("trainer", choices, config)
    found = train(key, dataset, trainer=trainer, out=out, **options)
    Console(config.quiet).result(json.dumps(_figures(found)) if config.format == "json" else repr(found))
    return 0


def _figures(found: Training) -> dict[str, Any]:
    best = found.best
    return {
        "key": found.key,
        "status": "ok" if best else "diverged",
        "accuracy": best.accuracy if best else None,
        "loss": best.loss if best else None,
        "learning_rate": best.learning_rate if best else None,
        "seed": best.seed if best else None,
        "checkpoint": str(found.folder) if found.folder else None,
        "dataset": found.dataset,
        "dataset_digest": found.dataset_digest,
    }


def _printed(config: DictConfig, page: Report | None) -> int:
    assert page is not None, "the command line asks for one"
    Console(config.quiet).result(json.dumps(page.summary) if config.format == "json" else page.text)
    return 0


def _stopped(config: DictConfig, study: str, signal: int) -> int:
    told = f"stopped; everything so far is stored. Go on with: {_resume_command(study)}"
    Console(config.quiet).say(told)
    return 128 + signal


def _resume_command(study: str) -> str:
    """The command that goes on where this one stopped."""
    words = [word for word in sys.argv[1:] if not word.startswith("on_conflict=")]
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN  # its jobs have a study each
    named = sweep or any(word.startswith("study=") for word in words)
    return shlex.join([*sys.argv[0].split(), *words, *([] if named else [f"study={study}"])])


def _given() -> list[str]:
    """The names that the command line sets."""
    return [word.lstrip("+~").partition("=")[0] for word in HydraConfig.get().overrides.task]


def _name_of(group: str, choices: Choices) -> str | None:
    name = choices.get(group)
    return name if isinstance(name, str) else None


def _check_cold(names: Sequence[str]) -> None:
    """Refuse options of a search from a checkpoint without one."""
    if warm := [name for name in names if name.partition(".")[0] == "warm"]:
        raise InputError(f"`{warm[0]}` must come with search.warm_start, the checkpoint to search from, got none")


def _check_warm(names: Sequence[str]) -> None:
    """Refuse options that a search from a checkpoint does not read."""
    for name in names:
        if name.partition(".")[0] not in TAKEN or name in NOT_TAKEN:
            rule = "for the architectures searched are those around the checkpoint, at its weights"
            raise InputError(f"`{name}` must be left out with search.warm_start, {rule}, got it on the command line")


def _check_confirmed(names: Sequence[str]) -> None:
    """Refuse options beside a name that confirms one of the study's, which keeps its own."""
    for name in names:
        group, dot, _ = name.partition(".")
        if dot and group in ("space", "score"):
            rule = f"be left out, for the {group} of a study keeps the options that it was searched with"
            raise InputError(f"`{name}` must {rule}, got it on the command line")
