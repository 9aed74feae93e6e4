"""A model's list of blocks x + F(x), made longer or shorter, with what the model's configuration says of its length.

Nothing but the list, numbers of layers in its modules (`layer_idx`) and the configuration's counts is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nasjac.foundation.errors import InputError
from nasjac.models.hooks import hooked
from nasjac.models.trace import near

#: what holds a list of blocks
LISTS = (nn.ModuleList, nn.Sequential)
#: per-layer lists of a configuration, which change with the list
PER_LAYER = ("layer_types",)


@runtime_checkable
class CountsLayers(Protocol):
    """A configuration that says how many layers its model has, as all of transformers do, some by another name."""

    num_hidden_layers: int


@runtime_checkable
class Caches(Protocol):
    """A configuration that says whether keys and values are kept from call to call."""

    use_cache: bool


def list_of(model: nn.Module, blocks: str) -> nn.ModuleList | nn.Sequential:
    """The list that `blocks` names. InputError: there is none; near names follow."""
    modules = dict(model.named_modules())
    found = modules.get(blocks)
    if isinstance(found, LISTS) and len(found):
        return found
    names = [name for name, module in modules.items() if isinstance(module, LISTS) and len(module)]
    there = ", ".join(near(blocks, names)) or "none"
    raise InputError(f"`blocks` must name a ModuleList or Sequential of blocks, got {blocks!r}; the model has {there}")


def names_of(model: nn.Module, blocks: str) -> list[str]:
    """The names of the list's modules."""
    return [f"{blocks}.{name}".lstrip(".") for name, _ in list_of(model, blocks).named_children()]


def rearranged(model: nn.Module, blocks: str, order: Sequence[tuple[int, bool]]) -> None:
    """Rearrange a model's list of blocks in place.

    The configuration's number of layers follows (`num_hidden_layers`, whatever the model calls it), and so do numbers that
    modules have of their layer.

    Args:
        model: The model.
        blocks: The name of the list in it.
        order: Of each new block the number of the old one that it is, and whether it is a copy of that.

    Raises:
        InputError: The configuration's number of layers is not that of the list.
    """
    there = list_of(model, blocks)
    config = _config(model, blocks, len(there))
    chosen = [deepcopy(there[number]) if copied else there[number] for number, copied in order]
    del there[:]
    there.extend(chosen)
    for number, block in enumerate(chosen):
        for module in block.modules():
            if isinstance(vars(module).get("layer_idx"), int):
                module.layer_idx = number  # type: ignore[assignment]
    if config is not None:
        config.num_hidden_layers = len(chosen)
        for name in PER_LAYER:
            if isinstance(old := vars(config).get(name), list):
                setattr(config, name, [old[number] for number, _ in order])


def _config(model: nn.Module, blocks: str, count: int) -> CountsLayers | None:
    """The configuration that counts the list: the nearest one above it; None of a model that has none."""
    name = blocks
    while name:
        name = name.rpartition(".")[0]
        config = vars(model.get_submodule(name)).get("config")
        if isinstance(config, CountsLayers) and (found := config.num_hidden_layers) is not None:
            if found != count:
                raise InputError(
                    f"`blocks` must be the list that the configuration counts ({found}), got {count} in {blocks}"
                )
            return config
    return None


@contextmanager
def uncached(model: nn.Module) -> Iterator[None]:
    """Without keys and values kept from call to call, which would meet the same block again."""
    configs = (vars(module).get("config") for module in model.modules())
    before = [(config, config.use_cache) for config in configs if isinstance(config, Caches)]
    try:
        for config, _ in before:
            config.use_cache = False
        yield
    finally:
        for config, value in before:  # a configuration that several modules share holds one value throughout
            config.use_cache = value


@torch.no_grad()
def last_layers(block: nn.Module, call: Callable[[], tuple[Tensor, Tensor]]) -> list[nn.Module]:
    """The fewest layers of x + F(x) that, when zero, leave x: the last of each branch. The block is left as it was.

    `call` runs the block and gives x and its output. All layers with weights are made zero, and brought back one after the
    other in the order of their calls as long as the block stays the identity. InputError: it is not the identity then.
    """
    layers = _called(block, call)
    held = {layer: [(parameter, parameter.clone()) for parameter in layer.parameters(recurse=False)] for layer in layers}

    def put(layer: nn.Module, share: float) -> None:
        for parameter, value in held[layer]:
            parameter.copy_(value if share == 1 else share * value) if share else parameter.zero_()

    found = []
    try:
        for layer in layers:
            put(layer, 0.0)
        if not _is_identity(call):
            raise InputError("`blocks` must be x + F(x) without a norm on the sum for a new one to begin as the identity")
        for layer in layers:
            put(layer, 1.0)
            if not _is_identity(call):
                put(layer, 0.0)
                found.append(layer)
    finally:
        for layer in layers:
            put(layer, 1.0)
    return found


@torch.no_grad()
def scaled(layers: Sequence[nn.Module], factor: float) -> None:
    """Multiply weights and biases."""
    for layer in layers:
        for parameter in layer.parameters(recurse=False):
            parameter.mul_(factor)


def _called(block: nn.Module, call: Callable[[], object]) -> list[nn.Module]:
    """Its layers with parameters of their own, in the order of their first calls."""
    order: dict[nn.Module, None] = {}
    own = [module for module in block.modules() if next(module.parameters(recurse=False), None) is not None]
    with hooked(part.register_forward_hook(lambda module, args, output: order.setdefault(module)) for part in own):
        call()
    return list(order)


def _is_identity(call: Callable[[], tuple[Tensor, Tensor]]) -> bool:
    given, made = call()
    return torch.equal(given, made)
