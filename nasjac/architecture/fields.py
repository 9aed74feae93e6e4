"""Fields of frozen dataclasses: checked choices, values converted to Python's types, and their content for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any

from nasjac.foundation.arguments import shown
from nasjac.foundation.errors import InputError


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        InputError: names the field `name`, the choices and the value.
    """
    try:
        known = value in choices
    except (TypeError, ValueError, RuntimeError):  # not hashable, or an array, which is equal to nothing as a whole
        known = False
    if not known:
        raise InputError(f"`{name}` must be one of {', '.join(map(str, choices))}, got {shown(value)}")


def settle(item: object, name: str, value: object) -> None:
    """Set a field of a frozen item to its checked value, which has Python's own type."""
    object.__setattr__(item, name, value)


def non_default(item: object, entries: tuple[Field[Any], ...]) -> dict[str, Any]:
    """Return the fields whose value differs from the default, with numbers in one form: 1 is 1.0, and −0 is 0."""
    content = {}
    for entry in entries:
        value = getattr(item, entry.name)
        if value != entry.default:  # MISSING equals nothing
            value = float(value) + 0.0 if isinstance(entry.default, float) else value  # −0 is 0
            content[entry.name] = list(value) if isinstance(value, tuple) else value
    return content


def check_fields(of: type, content: object) -> None:
    """Refuse what is no JSON object of some of a dataclass's fields.

    Raises:
        InputError: It is no object, or it has a field that the dataclass lacks, which is named beside the known fields.
    """
    names = [entry.name for entry in fields(of)]
    if not isinstance(content, Mapping):
        raise InputError(f"a {of.__name__} must be a JSON object of its fields, got {shown(content)}")
    unknown = [name for name in content if name not in names]
    if unknown:
        raise InputError(f"`{unknown[0]}` is not a field of {of.__name__}; its fields are {', '.join(names)}")
