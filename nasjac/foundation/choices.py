"""What a public function takes for an open part, such as a score: a name of a table, a class, or an object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from nasjac.foundation.arguments import shown
from nasjac.foundation.errors import InputError

T = TypeVar("T")


def chosen(group: str, choice: object, table: Mapping[str, type[T] | T], base: type[T], **options: Any) -> T:
    """Return the object that a name, a class or an object stands for.

    Args:
        group: What is chosen, as errors name it: `score`.
        choice: A name of `table`, a class that derives from `base`, or an object of one.
        table: Classes, or objects of one option each, by name.
        base: The contract.
        options: Options of a class, or of the class that a name stands for.

    Raises:
        InputError: An unknown name, something that does not derive from the contract, or an option that the class lacks.
    """
    if isinstance(choice, str):
        if choice not in table:
            raise InputError(f"`{group}` must be one of {', '.join(table)}, got {shown(choice)}")
        choice = table[choice]
    if isinstance(choice, type) and issubclass(choice, base):
        known = [entry.name for entry in fields(choice) if entry.init] if is_dataclass(choice) else []
        if unknown := next((name for name in options if name not in known), None):
            rule = f"an option of {choice.__name__}, one of {', '.join(known)}" if known else "left out: it has none"
            raise InputError(f"`{group}.{unknown}` must be {rule}, got {shown(options[unknown])}")
        return choice(**options)
    if isinstance(choice, base):
        if options:
            raise InputError(f"`{group}.{next(iter(options))}` must be said with a name or a class, got {shown(choice)}")
        return choice
    rule = f"one of {', '.join(table)}, or a class or an object that derives from {base.__module__}.{base.__name__}"
    raise InputError(f"`{group}` must be {rule}, got {shown(choice)}")
