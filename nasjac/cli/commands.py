"""What each configured verb does: from its configuration to objects, the verb, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from itertools import count

import torch
from omegaconf import DictConfig, OmegaConf

from nasjac.architecture.spec import Spec, check_choice
from nasjac.cli.given_model import batch_of, made, plain
from nasjac.cli.grow_and_prune import run_grow, run_prune
from nasjac.cli.options import Choices, option
from nasjac.cli.searches import run_report, run_search, run_train, run_validate
from nasjac.foundation.console import Console
from nasjac.foundation.errors import InputError
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
from nasjac.searching.options import device_of, existing
from nasjac.store import Store
from nasjac.store.former import stored_spec
from nasjac.tables.correlate import Options as CorrelateOptions
from nasjac.tables.correlate import correlate
from nasjac.tables.correlate_text import as_text as correlate_text

FORMATS = ("text", "json")


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
