"""Fresh initializations of a model: from the callable that makes it, or by its modules' own initializers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from nasjac.foundation.errors import InputError
from nasjac.models.foreign_calls import called


@runtime_checkable
class Resettable(Protocol):
    """A module that draws its own parameters anew, as torch's layers do."""

    def reset_parameters(self) -> None: ...


@runtime_checkable
class PrivatelyResettable(Protocol):
    """A module that does so under the name that torch's attention and transformers use."""

    def _reset_parameters(self) -> None: ...


def initialized(model: nn.Module | Callable[[], nn.Module], count: int, seed: int, notes: list[str]) -> Iterator[nn.Module]:
    """Yield `count` networks, each from its own random state; for 0 the model itself, or the one that a factory makes.

    A module is copied, and its parts initialize themselves by `reset_parameters`.

    Raises:
        InputError: Some parameter belongs to a module without `reset_parameters`.
    """
    if isinstance(model, nn.Module):
        check_module(model)
        if not count:
            yield model
            return
    for number in range(max(1, count)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + number)
            network = _again(model, notes) if isinstance(model, nn.Module) else called(making(model), model)
        if not isinstance(network, nn.Module):
            raise InputError(f"`model` must be an nn.Module or make one, got {type(network).__name__}")
        check_module(network)
        yield network


def check_module(model: nn.Module) -> None:
    """Raise InputError for a module whose parts cannot have hooks."""
    name = type(model).__name__
    if "_modules" not in vars(model):
        raise InputError(f"`model` must call super().__init__() where it is made, which {name} does not")
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        raise InputError(f"`model` must be made of Python modules, whose layers can be watched, got TorchScript in {name}")


def making(factory: object) -> str:
    """Return the beginning of the error for a callable that should make a model and raises an exception."""
    name = factory.__name__ if isinstance(factory, (FunctionType, type)) else type(factory).__name__
    return f"`model` must be an nn.Module or a callable that makes one without arguments, which {name} did not"


def _again(model: nn.Module, notes: list[str]) -> nn.Module:
    network: nn.Module = called(
        f"`model` {type(model).__name__} could not be copied to `reinitialize` it", copy.deepcopy, (model,)
    )
    resets = {name: _initializer(module) for name, module in network.named_modules()}
    left = [
        f"{name}.{parameter}".lstrip(".")
        for name, module in network.named_modules()
        if resets[name] is None
        for parameter, _ in module.named_parameters(recurse=False)
    ]
    if left:
        raise InputError(
            f"`reinitialize` needs a callable that makes the model, for {left[0]} and {len(left) - 1} other parameters "
            "belong to modules without reset_parameters"
        )
    for reset in resets.values():
        if reset is not None:
            called(f"`model` {type(model).__name__} could not `reinitialize`", reset)
    notes.append(
        "re-initialized by reset_parameters of the model's modules: what its constructor does besides is not repeated"
    )
    return network


def _initializer(module: nn.Module) -> Callable[[], None] | None:
    if isinstance(module, Resettable):
        return module.reset_parameters
    return module._reset_parameters if isinstance(module, PrivatelyResettable) else None
