"""Which modules a model calls, in order, and where its residual stream is."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from nasjac.foundation.arguments import items
from nasjac.foundation.errors import InputError
from nasjac.models.foreign_calls import called, taking
from nasjac.models.hooks import hooked
from nasjac.models.nested import floating, tensors

#: holders of modules, which are nobody's block
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
#: most names that an error lists
LISTED = 12


@dataclass(frozen=True)
class Call:
    """One call of a module: the tensors it was given, and the first floating-point tensor it made."""

    name: str
    module: nn.Module
    inputs: tuple[Tensor, ...]
    output: Tensor | None

    @property
    def given(self) -> Tensor | None:
        """The first floating-point tensor that it was given."""
        return next((tensor for tensor in self.inputs if tensor.is_floating_point()), None)

    @property
    def keeps_shape(self) -> bool:
        """Whether its first floating-point tensor comes out in the shape in which it came in."""
        return self.given is not None and self.output is not None and self.given.shape == self.output.shape


def trace(
    model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], names: Collection[str] | None = None
) -> tuple[list[Call], Any]:
    """The calls of one forward pass in the order in which they ended, and the model's output.

    Args:
        model: The model.
        args: Its positional inputs.
        kwargs: Its named inputs.
        names: Of the modules whose calls are watched; all of them if None.

    Raises:
        InputError: The activations of a watched module are not finite, or its tensors are sparse or empty.
    """
    calls: list[Call] = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            given = tuple(tensor for _, tensor in tensors((args, kwargs)))
            made = list(floating(output).values())
            if any(tensor.layout != torch.strided or not tensor.numel() for tensor in made):
                raise InputError(f"layers must give dense tensors that are not empty, which `{name or 'model'}` does not")
            real = [tensor for tensor in given if tensor.is_floating_point()]
            if not all(tensor.isfinite().all() for tensor in made) and all(tensor.isfinite().all() for tensor in real):
                raise InputError(f"activations must be finite, got NaN or infinity from layer `{name or 'model'}` on")
            calls.append(Call(name, module, given, next(iter(made), None)))

        return hook

    hooks = (
        part.register_forward_hook(watch(name), with_kwargs=True)
        for name, part in model.named_modules()
        if names is None or name in names
    )
    with hooked(hooks), torch.no_grad():
        return calls, called(taking(model), model, args, kwargs)


def stream(calls: Sequence[Call]) -> list[str]:
    """The names of the repeated blocks whose outputs are the residual stream, in the order of their calls.

    Blocks are modules of one class that are called more than once and mostly keep the shape of their input: of such
    classes the outermost. If none does, the one that keeps it most often, or else is called most often. Single layers are
    no blocks unless there is nothing else: then layers with weights are taken.
    """
    whole = [call for call in calls if call.name and call.output is not None and not isinstance(call.module, CONTAINERS)]
    composed = [call for call in whole if next(call.module.children(), None) is not None]
    weighted = [call for call in whole if next(call.module.parameters(recurse=False), None) is not None]
    for candidates in (composed, weighted):
        count = Counter(type(call.module) for call in candidates)
        kept = Counter(type(call.module) for call in candidates if call.keeps_shape)
        level = {type(call.module): call.name.count(".") for call in candidates}
        repeated = [kind for kind, number in count.items() if number > 1]
        steady = [kind for kind in repeated if kept[kind] > 1 and 2 * kept[kind] >= count[kind]]
        if repeated:
            found = min(steady, key=lambda kind: (level[kind], -kept[kind])) if steady else None
            found = found or max(repeated, key=lambda kind: (kept[kind], count[kind], -level[kind]))
            return list(dict.fromkeys(call.name for call in candidates if type(call.module) is found))
    return list(dict.fromkeys(call.name for call in weighted))


def chosen(calls: Sequence[Call], layers: str | Sequence[str], what: str = "layers") -> list[str]:
    """The called modules that `layers` names or matches (* and ?). InputError: one matches nothing; near names follow."""
    names = list(dict.fromkeys(call.name for call in calls if call.name and call.output is not None))
    patterns = [layers] if isinstance(layers, str) else items(what, layers, str, "names of modules")
    if not patterns:
        raise InputError(f"`{what}` must name modules that the model calls, got none; near are {', '.join(names[:LISTED])}")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            there = ", ".join(near(pattern, names))
            raise InputError(f"`{what}` must name modules that the model calls, got {pattern!r}; near are {there}")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def near(name: str, names: Sequence[str]) -> Sequence[str]:
    """The names most like one that is not among them; the first ones if none is like it."""
    return difflib.get_close_matches(name, names, LISTED, 0.4) or names[:LISTED]
