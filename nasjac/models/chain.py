"""The residual blocks of a model as a network of their own, with one factor on all branches: x + α F(x)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nasjac.foundation.errors import InputError
from nasjac.models.foreign_calls import called, taking
from nasjac.models.hooks import hooked
from nasjac.models.lists import LISTS, names_of
from nasjac.models.nested import first, swapped
from nasjac.models.trace import chosen, trace


class ScaledBlocks(nn.Module):
    """h_0 -> h_L through blocks x -> x + F(x) of a model, as the model calls them, with branches α F.

    The model runs until the last block is done, its first block fed h_0; `scale` is α.
    """

    def __init__(self, model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], blocks: Sequence[str]) -> None:
        super().__init__()
        self.model, self.args, self.kwargs, self.scale = model, args, kwargs, 1.0
        modules = dict(model.named_modules())
        self._blocks = [modules[name] for name in blocks]

    def forward(self, x: Tensor) -> Tensor:
        def start(module: nn.Module, args: Any, kwargs: Any) -> Any:
            return swapped((args, kwargs), _stream((args, kwargs)), x)

        def scaled(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            given, made = _stream((args, kwargs)), _stream(output)
            return None if self.scale == 1 else swapped(output, made, given + self.scale * (made - given))

        def stop(module: nn.Module, args: Any, output: Any) -> None:
            raise _Done(_stream(output))

        handles = [self._blocks[0].register_forward_pre_hook(start, with_kwargs=True, prepend=True)]
        handles += [block.register_forward_hook(scaled, prepend=True, with_kwargs=True) for block in self._blocks]
        handles += [self._blocks[-1].register_forward_hook(stop)]
        with hooked(handles):
            try:
                called(taking(self.model), self.model, self.args, self.kwargs, apart_from=(RuntimeError,))
            except _Done as done:
                return done.tensor
        raise InputError("`blocks` must be called by the model, the last one too")


class _Done(Exception):
    def __init__(self, tensor: Tensor) -> None:
        super().__init__()
        self.tensor = tensor


@dataclass
class _Watch:
    """Checks that blocks are a chain; keeps the first one's stream."""

    blocks: str
    start: Tensor | None = None
    last: Tensor | None = None
    called: list[nn.Module] = field(default_factory=list)

    def __call__(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        given, made = first((args, kwargs)), first(output)
        if given is None or made is None or given.shape != made.shape or module in self.called:
            raise InputError(f"`blocks` must be x + F(x) blocks, called once, which keep their shape, got {self.blocks!r}")
        if self.last is not None and given is not self.last:
            raise InputError(f"`blocks` must follow one another, each on what the one before it made, got {self.blocks!r}")
        self.start = given if self.start is None else self.start
        self.last = made
        self.called.append(module)


def scaled_blocks(
    model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], blocks: str
) -> tuple[ScaledBlocks, list[str], Tensor]:
    """The network of the blocks that `blocks` names (a ModuleList or Sequential, or a pattern), their names, and h_0.

    ValueError: they do not keep the stream's shape, or one is not fed what the one before it made.
    """
    modules = dict(model.named_modules())
    if isinstance(modules.get(blocks), LISTS):
        names = names_of(model, blocks)
    else:
        names = chosen(trace(model, args, kwargs)[0], blocks, "blocks")
    watch = _Watch(blocks)
    hooks = (modules[name].register_forward_hook(watch, with_kwargs=True) for name in names)
    with hooked(hooks), torch.no_grad():
        called(taking(model), model, args, kwargs)
    if watch.start is None:
        raise InputError(f"`blocks` must be called by the model, got {blocks!r}")
    return ScaledBlocks(model, args, kwargs, names), [f"model.{name}" for name in names], watch.start.detach()


def _stream(value: Any) -> Tensor:
    found = first(value)
    assert found is not None  # `_Watch` has seen to it
    return found
