"""A model of the user's own, whose list of blocks x + F(x) grows and shrinks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors.torch import save_model
from torch import Tensor, nn

from nasjac.foundation.errors import InputError
from nasjac.models.chain import scaled_blocks
from nasjac.models.foreign_calls import own_traceback
from nasjac.models.hooks import hooked
from nasjac.models.lists import last_layers, list_of, rearranged, scaled, uncached
from nasjac.models.nested import stream_of, swapped
from nasjac.models.setup import arguments, fitted
from nasjac.models.undisturbed import undisturbed
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.insertion import Beginning, evenly
from nasjac.surgery.network import Link, Network, Stack, finite
from nasjac.surgery.results import Source


@runtime_checkable
class WithLoss(Protocol):
    """What a model of Hugging Face gives for a batch with labels."""

    @property
    def loss(self) -> Any: ...


@runtime_checkable
class SavesItself(Protocol):
    """A model that has a format of its own."""

    save_pretrained: Callable[[str], Any]


#: how new blocks may begin
INITS = ("zero_last", "copy")


@dataclass(frozen=True, eq=False)
class OwnModel(Network):
    """A module called `name`, its batch `inputs`, and the name `path` of its list of blocks.

    A new block is a copy of the one before it, its branches' last layers at 0 (zero_last) or scaled by the gain (copy).
    """

    name: str
    module: nn.Module
    inputs: Any
    path: str

    @contextmanager
    def ready(self) -> Iterator[None]:
        list_of(self.module, self.path)
        with own_traceback(self.name), undisturbed(self.module, "running"), uncached(self.module):
            yield

    @property
    def source(self) -> Source:
        return Source(model=self.name, list=self.path)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [*list_of(self.module, self.path)]

    @cached_property
    def _batch(self) -> tuple[Any, Any]:
        return fitted(self.module, *arguments(self.inputs), [])

    def _run(self) -> Any:
        args, kwargs = self._batch
        return self.module(*args, **kwargs)

    @torch.no_grad()
    def called(self) -> Sequence[Link]:
        """Run the model; return its blocks as it calls them, in their order, an input of the model a point."""
        seen: dict[nn.Module, Link] = {}

        def watch(module: nn.Module, args: Any, kwargs: Any) -> None:
            seen.setdefault(module, _link(module, args, kwargs))

        with hooked(block.register_forward_pre_hook(watch, with_kwargs=True) for block in self.blocks):
            self._run()
        return [seen[block] for block in self.blocks]

    @cached_property
    def links(self) -> Sequence[Link]:
        return self.called()

    @cached_property
    @torch.no_grad()
    def stream(self) -> Sequence[Tensor]:
        return [*(link.x for link in self.links), self.links[-1].output(self.links[-1].x)]

    @cached_property
    def stack(self) -> Stack:
        args, kwargs = self._batch
        return Stack(*scaled_blocks(self.module, args, kwargs, self.path)[:2])

    @torch.no_grad()
    def outputs(self) -> Tensor:
        return finite(stream_of(self._run()), "batch")

    def loss(self) -> Tensor:
        made = self._run()
        if not isinstance(made, WithLoss) or not isinstance(made.loss, Tensor):
            rule = "another one where the model gives no `loss` (a batch with labels makes it: input=my_module:make_batch)"
            raise InputError(f"`criterion` must be {rule}, got 'taylor'")
        return made.loss

    def grown(self, count: int, beginning: Beginning, after: Sequence[int] | None) -> tuple[OwnModel, tuple[int, ...]]:
        """Return the model with `count` new blocks, copies of their neighbours, and the numbers of the new ones."""
        made, depth = replace(self, module=deepcopy(self.module)), len(self.blocks)
        places = places_of(count, depth)
        order = [(n, copied) for n in range(depth) for copied in (False, *[True] * places.count(n + 1))]
        rearranged(made.module, made.path, order)
        new = tuple(number for number, (_, copied) in enumerate(order) if copied)
        with made.ready():
            for number in new:
                link = made.called()[number]  # anew, for what comes before has changed
                last = last_layers(made.blocks[number], link.both)
                scaled(last, 0.0 if beginning.is_identity else beginning.gain)
        return made, new

    def without(self, gone: Sequence[int]) -> OwnModel:
        made = replace(self, module=deepcopy(self.module))
        rearranged(made.module, made.path, [(n, False) for n in range(len(self.blocks)) if n not in gone])
        return made

    def files(self, note: Mapping[str, object], state: Mapping[str, Tensor] | None = None) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as draft:
            if isinstance(self.module, SavesItself):
                self.module.save_pretrained(draft)
            else:
                save_model(self.module, str(Path(draft) / checkpoint.MODEL))
            return {path.name: path.read_bytes() for path in Path(draft).iterdir() if path.is_file()}


def places_of(count: int, depth: int) -> list[int]:
    """Return after which of `depth` blocks (1: after the first) `count` new ones go, spread evenly."""
    return [place + 1 for place in evenly(count, depth)]


def _link(block: nn.Module, args: Any, kwargs: Any) -> Link:
    """A block as the model calls it: the first floating-point tensor of its arguments is the stream."""
    given = stream_of((args, kwargs))

    def output(x: Tensor) -> Tensor:
        there, named = swapped((args, kwargs), given, x)
        return stream_of(block(*there, **named))

    return Link(given, output, lambda x: output(x) - x, lambda x: x)
