"""What each configured verb does: from its configuration to objects, the verb, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from itertools import count
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import Spec
from nasjac.cli.given_model import batch_of, made, plain
from nasjac.cli.grow_and_prune import run_grow, run_prune
from nasjac.cli.options import Choices, option
from nasjac.cli.searches import run_report, run_search, run_train, run_validate
from nasjac.foundation.console import Console
from nasjac.foundation.errors import InputError
from nasjac.foundation.places import check_folder
from nasjac.models.chosen_spec import spec_of
from nasjac.models.comparison import Options, diagnose_models
from nasjac.models.diagnose import FIRST
from nasjac.models.foreign_calls import built, own_traceback
from nasjac.models.prescribe import prescribe
from nasjac.models.result import Result
from nasjac.models.theory import theory
from nasjac.searching.options import device_of, existing
from nasjac.store import Store
from nasjac.store.former import stored_spec
from nasjac.tables.correlate import correlate
from nasjac.tables.correlate_text import as_text as correlate_text
from nasjac.tables.selection import Options as CorrelateOptions

FORMATS = ("text", "json")


def run_theory(config: DictConfig, choices: Choices) -> int:
    """Print the closed forms of one architecture; return the exit code."""
    console, _ = _common(config)
    return _print(console, config, theory(_architecture(config, choices), config.stream_variance, config.out))


def run_prescribe(config: DictConfig, choices: Choices) -> int:
    """Print what brings an architecture, or the blocks of a model, to criticality; return the exit code."""
    console, device = _common(config)
    options: dict[str, Any] = {"target": config.target, "tolerance": config.tolerance}
    options |= {"seed": config.seed, "out": config.out}
    if config.model is None:
        spec = _architecture(config, choices)
        return _print(console, config, prescribe(spec, **options, stream_variance=config.stream_variance, device=device))
    if config.key is not None or config.choices:
        raise InputError("`model` must stand alone, without an architecture's key or choices")
    name, make = made(config.model)
    with console.bar("prescribe", 20) as advance:
        steps = count(1)
        tell = lambda _, text: advance(next(steps), text)  # noqa: E731
        model, batch = built(name, make, batch_of(config.input), config.seed, device)
        with own_traceback(name):
            found = prescribe(model, batch, **options, blocks=config.blocks, name=name, advance=tell)
    return _print(console, config, found)


def _print(console: Console, config: DictConfig, found: Result) -> int:
    """Print a result as text or as JSON; return the exit code."""
    console.result(json.dumps(found.to_json(), allow_nan=False) if config.format == "json" else found.as_text())
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
        found = diagnose_models(models, batch_of(config.input), options, device, config.out, advance)
    return _print(console, config, found)


def run_correlate(config: DictConfig, choices: Choices) -> int:
    """Print how well a score ranks a table of trained architectures; return the exit code."""
    console, device = _common(config)
    space, score = (option(group, choices, config, "correlate") for group in ("space", "score"))
    found = correlate(
        config.table,
        space,
        score,
        dataset=lambda: option("dataset", choices, config).load(),
        **{entry.name: config[entry.name] for entry in fields(CorrelateOptions)},
        device=device,
        out=config.out,
        bar=lambda total: console.bar(f"correlate {score.name}", total),
    )
    console.result(found.to_json() if config.format == "json" else correlate_text(found))
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


def _common(config: DictConfig) -> tuple[Console, torch.device]:
    check_choice("format", config.format, FORMATS)
    for name in ("out", "save"):
        if config.get(name) is not None:
            check_folder(config[name], name)
    return Console(config.quiet), device_of(config.device)
