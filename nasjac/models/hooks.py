"""One pass of a model in which the tensor it starts from is given and the outputs of chosen modules are kept."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from nasjac.foundation.errors import InputError
from nasjac.models.foreign_calls import called, taking
from nasjac.models.nested import floating, swapped


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
        names, hooks = list(self.layers), [seen.hook(name) for name in self.layers]
        if self.origin.in_module:
            names, hooks = [self.origin.name, *names], [_Start(start), *hooks]
        else:
            args, kwargs = swapped((args, kwargs), self.origin.tensor, start)
        with watched([modules[name] for name in names], hooks):
            expected = (RuntimeError,) if differentiating else ()
            made = floating(called(taking(self.model), self.model, args, kwargs, expected))
        if self.output not in made:
            raise InputError(
                f"`model` must give the same outputs at every call, got {', '.join(made) or 'none'} at another"
            )
        return seen.kept, made[self.output]


@contextmanager
def watched(modules: Sequence[nn.Module], hooks: Sequence[Callable[..., Any]]) -> Iterator[None]:
    """The modules with a forward hook each, taken away at the end."""
    handles = [module.register_forward_hook(hook) for module, hook in zip(modules, hooks, strict=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class _Start:
    """Gives `tensor` in place of what the module's first call made."""

    tensor: Tensor
    calls: int = 0

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        self.calls += 1
        return swapped(output, next(iter(floating(output).values())), self.tensor) if self.calls == 1 else None


@dataclass
class _Seen:
    keep: Callable[[Tensor], Any]
    kept: list[tuple[str, Any]] = field(default_factory=list)
    passed: list[weakref.ref[Tensor]] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)

    def hook(self, name: str) -> Callable[..., Any]:
        def watch(module: nn.Module, args: Any, output: Any) -> Any:
            made = next(iter(floating(output).values()), None)
            if made is None or any(made is passed() for passed in self.passed):
                return None
            number = self.calls[name] = self.calls.get(name, 0) + 1
            self.kept.append((name if number == 1 else f"{name}#{number}", self.keep(made)))
            passed = made.clone()
            self.passed.append(weakref.ref(passed))
            return swapped(output, made, passed)

        return watch
