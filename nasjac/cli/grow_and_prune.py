"""grow and prune: of a checkpoint, of an architecture, or of a model of the user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import Spec
from nasjac.cli.given_model import batch_of, made, plain
from nasjac.cli.options import Choices, option
from nasjac.foundation.console import Console
from nasjac.foundation.errors import InputError
from nasjac.searching.options import device_of, existing
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.store.former import stored_spec
from nasjac.surgery.grow import grow
from nasjac.surgery.growth_result import Growth
from nasjac.surgery.limits import Budget
from nasjac.surgery.prune import prune
from nasjac.surgery.pruning_result import Pruning
from nasjac.surgery.sources import spec_from

FORMATS = ("text", "json")
#: options of both verbs, and of each alone, that the functions of the same name take as they are
BOTH = ("points", "seed", "allow_pickle", "out")
GROWTH = ("init", "gain", "rule", "epsilon_spectral", "epsilon_rms", "force")
PRUNING = ("ratio", "criterion", "fine_tune", "learning_rate", "blocks", "save_tuned")


def run_grow(config: DictConfig, choices: Choices) -> int:
    """Insert new blocks into a trained network; return the exit code."""
    console = _console(config)
    result = grow(
        _source(config, "checkpoint", "model"),
        blocks=plain(config.blocks),
        insert=plain(config.insert),
        after=plain(config.after),
        budget=Budget(config.budget.tau),
        **{name: config[name] for name in (*BOTH, *GROWTH)},
        **_given(config, choices),
        say=console.say,
    )
    return _printed(console, config, result)


def run_prune(config: DictConfig, choices: Choices) -> int:
    """Prune residual branches of a network; return the exit code."""
    console = _console(config)
    source = _source(config, "checkpoint", "spec", "model")
    taken = {name: config[name] for name in (*BOTH, *PRUNING)}
    return _printed(console, config, prune(source, **taken, **_given(config, choices), say=console.say))


def _console(config: DictConfig) -> Console:
    check_choice("format", config.format, FORMATS)
    return Console(config.quiet)


def _printed(console: Console, config: DictConfig, result: Growth | Pruning) -> int:
    console.result(json.dumps(result.to_json(), allow_nan=False) if config.format == "json" else repr(result))
    return 0


def _source(config: DictConfig, *names: str) -> Any:
    """What is to be changed: a checkpoint's folder, a Spec, or what makes a model."""
    given = [name for name in names if config[name] is not None]
    if len(given) != 1:
        told = ", ".join(f"`{name}`" for name in names)
        raise InputError(f"one of {told} must be given, got {', '.join(given) or 'none'}")
    if given == ["model"]:
        return made(config.model)[1]
    return _spec(config) if given == ["spec"] else config.checkpoint


def _given(config: DictConfig, choices: Choices) -> dict[str, Any]:
    """Data, batch, device and name, as objects."""
    return {
        "name": made(config.model)[0] if config.model is not None else config.get("spec"),
        "input": None if config.input is None else batch_of(config.input),
        "device": device_of(config.device) if config.model is not None else "cpu",
        "dataset": None if config.dataset is None else option("dataset", choices, config),
    }


def _spec(config: DictConfig) -> Spec:
    """The Spec in a file, or that of a stored architecture."""
    if Path(config.spec).exists():
        path = Path(config.spec)
        return spec_from(path / checkpoint.SPEC if path.is_dir() else path)
    if config.spec.endswith(".json") or "/" in config.spec:
        raise InputError(f"`spec` must be a file with a Spec's JSON or the start of a stored key, got {config.spec!r}")
    with Store(existing(config.database), read_only=True, trust=config.trust) as store:
        key = store.resolve_key(str(config.spec))
        return stored_spec(store.architectures([key])[key])
