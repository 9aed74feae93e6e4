"""What a user names on the command line: a stored architecture, a model or a batch of one's own, a network to change."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import hydra
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig
from torch import nn

from nasjac.architecture.spec import Spec
from nasjac.cli.call import Call, plain
from nasjac.cli.config import Common
from nasjac.foundation.errors import InputError
from nasjac.models.chosen_spec import spec_of
from nasjac.searching.load import import_from_here, load
from nasjac.store import Store


@dataclass(frozen=True)
class ArchitectureConfig(Common):
    """What the closed forms take: a stored architecture, or a space's choices; and its stream."""

    key: str | None = None
    space: Any = None
    choices: dict[str, Any] = field(default_factory=dict)
    stream_variance: float = 1.0


@dataclass(frozen=True)
class NetworkConfig(Common):
    """What is grown or pruned: a `checkpoint`, or a `model` with its `input`; and the data of a checkpoint."""

    checkpoint: str | None = None
    model: Any = None
    input: Any = None
    dataset: Any = None


def architecture(call: Call) -> Spec:
    """Return a stored architecture by its key, or one of a space by its choices."""
    key, choices = call.config.key, plain(call.config.choices)
    if key is None:
        return spec_of(call.chosen("space").made, {str(name): value for name, value in choices.items()})
    if choices:
        raise InputError(f"`key` must stand alone, for its architecture is known, got {', '.join(map(str, choices))} too")
    return stored(call, key)


def stored(call: Call, key: object) -> Spec:
    """Return the architecture of the database whose key starts so."""
    with Store(call.config.database, read_only=True, trust=call.config.trust) as store:
        return store.spec(str(key))


class Network(NamedTuple):
    """A network to be changed, its name, batch, device and data, by the names that `nasjac.grow` and `prune` give them."""

    source: Any
    name: str | None
    input: Any
    device: torch.device | str
    dataset: Any


def network(call: Call, names: tuple[str, ...]) -> Network:
    """Return the network that one of the options `names` gives; under `spec` the source is its text."""
    config = call.config
    given = [name for name in names if config[name] is not None]
    if len(given) != 1:
        told = ", ".join(f"`{name}`" for name in names)
        raise InputError(f"one of {told} must be given, got {', '.join(given) or 'none'}")
    is_model = given == ["model"]
    name, source = made(config.model) if is_model else (config.get("spec"), config[given[0]])
    batch, data = None if config.input is None else batch_of(config.input), call.chosen_or_none("dataset")
    return Network(source, name, batch, call.device if is_model else "cpu", data and data.made)


def made(node: Any) -> tuple[str, Callable[[], nn.Module]]:
    """Return a model's name, and what makes it. InputError: neither a factory nor a `_target_`."""
    if isinstance(node, DictConfig) and "_target_" in node:
        return str(node._target_), partial(_instantiated, node)
    if not isinstance(node, str) or not re.fullmatch(r"[\w.]+:\w+", node):
        raise InputError(f"`model` must be package.module:name or have a _target_, got {plain(node)!r}")
    found = load(node)
    if not callable(found):
        raise InputError(f"`model` must be a callable that makes an nn.Module, got {type(found).__name__} in {node}")
    return node, (lambda: found) if isinstance(found, nn.Module) else found


def batch_of(node: Any) -> str | Callable[[], Any]:
    """Return what makes the batch: the user's own callable or tensor, a `_target_`, or a description to be read later."""
    if isinstance(node, DictConfig) and "_target_" in node:
        return partial(_instantiated, node)
    if isinstance(node, str) and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", node):
        found = load(node)
        return found if callable(found) else lambda: found
    if isinstance(node, (str, int)):
        return str(node)
    raise InputError(f"`input` must be a batch's shape, a file or package.module:name, got {plain(node)!r}")


def _instantiated(node: DictConfig) -> Any:
    import_from_here()
    try:
        return hydra.utils.instantiate(node)
    except InstantiationException as error:
        if isinstance(error.__cause__, Exception) and not isinstance(error.__cause__, InstantiationException):
            raise error.__cause__ from None  # what the target raised, with its own traceback
        raise InputError(" ".join(str(error).split())) from error
