"""One pass of a model that starts from a chosen tensor and keeps the outputs of chosen modules."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from nasjac.foundation.errors import InputError
from nasjac.models.foreign_calls import called, taking
from nasjac.models.nested import first, floating, swapped


@dataclass(frozen=True)
class Origin:
    """Where the derivative starts: a tensor of the inputs at `place`, or else the first output of the module `name`."""

    name: str
    tensor: Tensor
    in_module: bool


@dataclass(frozen=True)
class Pass:
    """A model with its inputs, where its derivative starts, which modules are watched, and which output counts."""

    model: nn.Module
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    origin: Origin
    layers: Sequence[str]
    output: str

    def __call__(
        self, start: Tensor, keep: Callable[[Tensor], Any], differentiating: bool = True
    ) -> tuple[list[tuple[str, Any]], Tensor]:
        """(name, keep(tensor)) of every watched call in order, and the output, with `start` for the origin's tensor.

        A module's second call is named `name#2`. A tensor that one watched module passes on as it is counts once, for the
        first. What goes on is a copy, so that an operation in place downstream does not reach what is kept. What torch
        raises in `differentiating` (a RuntimeError) is left to the caller.
        """
        modules = dict(self.model.named_modules())
        seen, (args, kwargs) = _Seen(keep), (self.args, self.kwargs)
        hooks = [(name, seen.hook(name)) for name in self.layers]
        if self.origin.in_module:
            passes = itertools.count()

            def begin(module: nn.Module, args: Any, output: Any) -> Any:
                return None if next(passes) else swapped(output, first(output), start)

            hooks = [(self.origin.name, begin), *hooks]
        else:
            args, kwargs = swapped((args, kwargs), self.origin.tensor, start)
        with hooked(modules[name].register_forward_hook(hook) for name, hook in hooks):
            expected = (RuntimeError,) if differentiating else ()
            made = floating(called(taking(self.model), self.model, args, kwargs, expected))
        if self.output not in made:
            raise InputError(
                f"`model` must give the same outputs at every call, got {', '.join(made) or 'none'} at another"
            )
        return seen.kept, made[self.output]


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Register hooks, as `handles` makes them one after the other, and remove them at the end."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


@dataclass
class _Seen:
    keep: Callable[[Tensor], Any]
    kept: list[tuple[str, Any]] = field(default_factory=list)
    passed: list[weakref.ref[Tensor]] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)

    def hook(self, name: str) -> Callable[..., Any]:
        def watch(module: nn.Module, args: Any, output: Any) -> Any:
            made = first(output)
            if made is None or any(made is passed() for passed in self.passed):
                return None
            number = self.calls[name] = self.calls.get(name, 0) + 1
            self.kept.append((name if number == 1 else f"{name}#{number}", self.keep(made)))
            passed = made.clone()
            self.passed.append(weakref.ref(passed))
            return swapped(output, made, passed)

        return watch
