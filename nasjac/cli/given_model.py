"""Models and batches of the user's own: package.module:name, or a mapping with `_target_`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from torch import nn

from nasjac.foundation.errors import InputError
from nasjac.searching.load import import_from_here, load


def made(node: Any) -> tuple[str, Callable[[], nn.Module]]:
    """A model's name, and what makes it. ValueError: neither a factory nor a `_target_`."""
    if isinstance(node, DictConfig) and "_target_" in node:
        return str(node._target_), partial(_instantiated, node)
    if not isinstance(node, str) or not re.fullmatch(r"[\w.]+:\w+", node):
        raise InputError(f"`model` must be package.module:name or have a _target_, got {plain(node)!r}")
    found = load(node)
    if not callable(found):
        raise InputError(f"`model` must be a callable that makes an nn.Module, got {type(found).__name__} in {node}")
    return node, (lambda: found) if isinstance(found, nn.Module) else found


def batch_of(node: Any) -> str | Callable[[], Any]:
    """What makes the batch: a callable or a tensor of the user's own, a `_target_`, or a description to be read later."""
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


def plain(node: Any) -> Any:
    """A node as Python has it; a list as a tuple."""
    value = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    return tuple(value) if isinstance(value, list) else value
