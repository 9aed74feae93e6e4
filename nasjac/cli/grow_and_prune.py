"""grow and prune: of a checkpoint, of an architecture, or of a model of the user's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from nasjac.architecture.spec import Spec, check_choice
from nasjac.cli.given_model import batch_of, made, plain
from nasjac.cli.options import Choices, option
from nasjac.datasets import Data
from nasjac.foundation.console import Console
from nasjac.foundation.errors import InputError
from nasjac.foundation.places import check_folder
from nasjac.searching.options import device_of, existing
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.store.former import stored_spec
from nasjac.surgery import grow, grow_model, prune, prune_model
from nasjac.surgery.checkpoint_data import folder_of, own_data, own_name
from nasjac.surgery.growth import Beginning
from nasjac.surgery.limits import Limits

FORMATS = ("text", "json")


def run_grow(config: DictConfig, choices: Choices) -> int:
    """Insert new blocks into a trained network; return the exit code."""
    console = _console(config)
    _one_of(config, "checkpoint", "model")
    limits = Limits(config.budget.tau, config.rule, config.epsilon_spectral, config.epsilon_rms, config.force)
    if config.model is not None:
        return _printed(console, config, _grow_model(config, limits, console), grow_model.as_text)
    if config.insert is not None or config.input is not None:
        raise InputError("`insert` and `input` belong to `model`; of a checkpoint blocks=N says how many")
    blocks = plain(config.blocks)
    # blocks that begin as the identity have no size by which the most could be told
    beginning = Beginning(config.init or ("small_gain" if blocks == "max" else "zero_last"), config.gain, config.seed)
    after = plain(config.after)
    after = (after,) if isinstance(after, int) else after
    options = grow.GrowOptions(blocks, beginning, limits, after, config.points)
    folder = folder_of(config.checkpoint)
    out = _out(config, config.checkpoint, "grown")
    name, data = _data(config, choices, checkpoint.read_info(folder))
    done = grow.grow_checkpoint(folder, data, options, out, config.allow_pickle, console.say, name)
    return _printed(console, config, done, grow.as_text)


def _grow_model(config: DictConfig, limits: Limits, console: Console) -> Mapping[str, Any]:
    _names_blocks(config)
    _stands_alone(config, "dataset", "after")
    if config.insert is None:
        raise InputError("`insert` must say how many blocks go into the model's list (insert=2, or insert=max), got None")
    name, make = made(config.model)
    options = grow_model.Insertion(
        config.blocks, plain(config.insert), config.init or "zero_last", config.gain, limits, config.seed
    )
    out = _out(config, "reports/grow/model", "grown")
    return grow_model.grow_model(name, make, batch_of(config.input), options, device_of(config.device), out, console.say)


def run_prune(config: DictConfig, choices: Choices) -> int:
    """Prune residual branches of a network; return the exit code."""
    console = _console(config)
    _one_of(config, "checkpoint", "spec", "model")
    numbers = (config.ratio, config.criterion, config.points, config.fine_tune, config.learning_rate, config.seed)
    options = prune.PruneOptions(*numbers)
    if config.model is not None:
        _names_blocks(config)
        _stands_alone(config, "dataset", "save_tuned")
        name, make = made(config.model)
        out = _out(config, "reports/prune/model", "pruned")
        batch, device = batch_of(config.input), device_of(config.device)
        found = prune_model.prune_model(name, make, batch, config.blocks, options, device, out, console.say)
        return _printed(console, config, found, prune_model.as_text)
    if config.blocks is not None or config.input is not None:
        raise InputError("`blocks` and `input` belong to `model`; of a checkpoint or spec ratio= says how many branches go")
    if config.spec is not None:
        spec = _spec(config)
        _, data = _data(config, choices, {"spec": spec.content})
        _stands_alone(config, "save_tuned")
        out = _out(config, f"reports/prune/{spec.key}", "pruned")
        return _printed(
            console, config, prune.prune_spec(spec, config.spec, data, options, out, console.say), prune.as_text
        )
    folder = folder_of(config.checkpoint)
    out = _out(config, config.checkpoint, "pruned")
    name, data = _data(config, choices, checkpoint.read_info(folder))
    kept = (out, config.save_tuned, config.allow_pickle, console.say, name)
    return _printed(console, config, prune.prune_checkpoint(folder, data, options, *kept), prune.as_text)


def _console(config: DictConfig) -> Console:
    check_choice("format", config.format, FORMATS)
    return Console(config.quiet)


def _printed(
    console: Console, config: DictConfig, found: Mapping[str, Any], text: Callable[[Mapping[str, Any]], str]
) -> int:
    console.result(json.dumps(found, allow_nan=False) if config.format == "json" else text(found))
    return 0


def _one_of(config: DictConfig, *names: str) -> None:
    given = [name for name in names if config[name] is not None]
    if len(given) != 1:
        raise InputError(
            f"one of {', '.join(f'`{name}`' for name in names)} must be given, got {', '.join(given) or 'none'}"
        )


def _names_blocks(config: DictConfig) -> None:
    if not isinstance(config.blocks, str) or config.blocks == "max":
        rule = "name the model's list of blocks, such as transformer.h"
        raise InputError(f"`blocks` must {rule}, got {config.blocks!r} (insert= says how many new ones)")
    if config.input is None:
        raise InputError("`input` must be a batch for the model (input=ids:4x128, input=4x3x32x32), got None")


def _stands_alone(config: DictConfig, *names: str) -> None:
    for name in names:
        if config[name] is not None:
            raise InputError(f"`{name}` must be left out here, got {plain(config[name])!r}")


def _out(config: DictConfig, source: str, what: str) -> Path:
    """The folder asked for, or one beside the source."""
    path = Path(config.out) if config.out is not None else Path(f"{str(source).rstrip('/')}-{what}")
    check_folder(path, "out")
    if config.get("save_tuned") is not None:
        check_folder(config.save_tuned, "save_tuned")
    if not checkpoint.is_free(path):
        raise InputError(f"`out` must be a new or empty folder, for nothing is overwritten, got {path}")
    return path


def _data(config: DictConfig, choices: Choices, info: Mapping[str, Any]) -> tuple[str, Data]:
    """Name and data of the dataset asked for; else of that of the checkpoint or one of the kind, with its default options
    and its context.
    """
    if config.dataset is not None:
        dataset = option("dataset", choices, config)
        return dataset.name, dataset.load()
    return own_name(info), own_data(info)


def _spec(config: DictConfig) -> Spec:
    """The Spec in a file, or that of a stored architecture."""
    if Path(config.spec).exists():
        path = Path(config.spec)
        return prune.spec_from(path / checkpoint.SPEC if path.is_dir() else path)
    if config.spec.endswith(".json") or "/" in config.spec:
        raise InputError(f"`spec` must be a file with a Spec's JSON or the start of a stored key, got {config.spec!r}")
    with Store(existing(config.database), read_only=True, trust=config.trust) as store:
        key = store.resolve_key(str(config.spec))
        return stored_spec(store.architectures([key])[key])
