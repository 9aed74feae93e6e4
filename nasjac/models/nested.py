"""Tensors inside what a module takes and gives: tuples, lists, dicts, dataclasses, one in another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from nasjac.foundation.errors import InputError


@runtime_checkable
class _NamedTuple(Protocol):
    _fields: tuple[str, ...]


def tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in `value` with the name of its place, such as `0.hidden` or `pixel_values`; depth first, in order."""
    if isinstance(value, Tensor):
        yield name, value
    else:
        for key, part in _parts(value):
            yield from tensors(part, f"{name}.{key}" if name else str(key))


def floating(value: Any) -> dict[str, Tensor]:
    """The floating-point tensors among them."""
    return {name: tensor for name, tensor in tensors(value) if tensor.is_floating_point()}


def first(value: Any) -> Tensor | None:
    """The first floating-point tensor among them; None where there is none."""
    return next(iter(floating(value).values()), None)


def stream_of(value: Any) -> Tensor:
    """The first floating-point tensor among them, which of a block's arguments and of its output is the stream.

    InputError: there is none.
    """
    if (found := first(value)) is None:
        raise InputError("`blocks` must take and give a floating-point tensor, got a block or a model without one")
    return found


def swapped(value: Any, old: Tensor | None, new: Tensor) -> Any:
    """`value` with one of its tensors exchanged; what holds it is copied, and nothing changed in place."""
    return mapped(value, lambda tensor: new if tensor is old else tensor)


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`value` with every tensor changed; a part in which none changes is the same object as before."""
    if isinstance(value, Tensor):
        return change(value)
    changed = {key: new for key, part in _parts(value) if (new := mapped(part, change)) is not part}
    if not changed:
        return value
    try:
        return _rebuilt(value, changed)
    except TypeError as error:  # one that cannot be copied or written, or takes other arguments than what it holds
        kind = type(value).__name__
        raise InputError(f"tensors must be in containers that can be copied with another tensor, got a {kind}") from error


def _rebuilt(value: Any, changed: Mapping[Any, Any]) -> Any:
    if isinstance(value, Mapping):
        other: Any = copy.copy(value)
        for key, part in changed.items():
            other[key] = part
        return other
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{str(key): part for key, part in changed.items()})
    items = [changed.get(place, part) for place, part in enumerate(value)]
    return type(value)(*items) if isinstance(value, _NamedTuple) else type(value)(items)


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if is_dataclass(value) and not isinstance(value, type):
        return [(entry.name, getattr(value, entry.name)) for entry in fields(value)]
    return []
