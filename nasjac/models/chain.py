"""The residual blocks of a model as a network of their own, with one factor on all branches: x + α F(x)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from nasjac.foundation.errors import InputError
from nasjac.models.foreign_calls import called, taking
from nasjac.models.hooks import hooked
from nasjac.models.lists import LISTS, names_of
from nasjac.models.nested import stream_of, swapped
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
            return swapped((args, kwargs), stream_of((args, kwargs)), x)

        def scaled(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            given, made = stream_of((args, kwargs)), stream_of(output)
            return None if self.scale == 1 else swapped(output, made, given + self.scale * (made - given))

        def stop(module: nn.Module, args: Any, output: Any) -> None:
            raise _Done(stream_of(output))

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


def scaled_blocks(
    model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], blocks: str
) -> tuple[ScaledBlocks, list[str], Tensor]:
    """The network of the blocks that `blocks` names (a ModuleList or Sequential, or a pattern), their names, and h_0.

    InputError: they do not keep the stream's shape, or one is not fed what the one before it made.
    """
    modules = dict(model.named_modules())
    if isinstance(modules.get(blocks), LISTS):
        names = names_of(model, blocks)
        calls, _ = trace(model, args, kwargs, names)
    else:
        calls, _ = trace(model, args, kwargs)
        names = chosen(calls, blocks, "blocks")
    parts = {modules[name] for name in names}
    calls = [call for call in calls if call.module in parts]
    if not calls:
        raise InputError(f"`blocks` must be called by the model, got {blocks!r}")
    if len({call.module for call in calls}) < len(calls) or not all(call.keeps_shape for call in calls):
        raise InputError(f"`blocks` must be x + F(x) blocks, called once, which keep their shape, got {blocks!r}")
    if any(after.given is not before.output for before, after in pairwise(calls)):
        raise InputError(f"`blocks` must follow one another, each on what the one before it made, got {blocks!r}")
    return ScaledBlocks(model, args, kwargs, names), [f"model.{name}" for name in names], stream_of(calls[0].inputs)
