"""Rows of the database read by the types of their columns: one that a stranger or an accident has changed is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, ConfigDict, Json, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # Python's own says too little before 3.12

from nasjac.architecture.measurement import Layer, Measurement
from nasjac.foundation.errors import InputError
from nasjac.store.columns import TERM_COLUMNS, Count
from nasjac.store.rows import ROWS

_VIEW = "leaderboard"
_LONGEST = 60  # characters of a value that an error shows


def checked(path: Path, relation: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows with JSON as what it says, each value of its column's type.

    Args:
        path: The database, for the error.
        relation: The table or view.
        names: Its columns that the rows hold, in their order; others are taken as they are.
        rows: What SQLite gave.

    Raises:
        InputError: A value is of another type, no JSON, or out of range: it names column, row and value.
    """
    try:
        return _adapter(relation, tuple(names)).validate_python(rows)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        row, column, *inside = first["loc"]
        values = dict(zip(names, rows[int(row)], strict=True))
        name = names[int(column)]
        keys = ("study", "number") if relation == _VIEW else ROWS[relation].keys
        where = ", ".join(f"{key} {_short(values[key])}" for key in keys if key in values and key != name)
        within = "".join(f"[{step!r}]" for step in inside)
        raise InputError(
            f"`database` must hold in every {relation}.{name}{within} what its column is for, got {_short(values[name])} "
            f"in {str(path)!r}{f' ({where})' if where else ''}: {first['msg']}"
        ) from error


@cache
def _adapter(relation: str, names: tuple[str, ...]) -> TypeAdapter[list[tuple[Any, ...]]]:
    known = types(relation)
    row = GenericAlias(tuple, tuple(known.get(name, Any) for name in names))
    adapter: TypeAdapter[list[tuple[Any, ...]]] = TypeAdapter(
        GenericAlias(list, (row,)),  # type: ignore[arg-type]
        config=ConfigDict(strict=True, allow_inf_nan=False),
    )
    return adapter


@cache
def types(relation: str) -> Mapping[str, Any]:
    """Return the type of each column of a table, or of the view."""
    if relation == "measurement":
        profile = TypedDict("profile", {name: list[kind] for name, kind in get_type_hints(Layer).items()}, total=False)  # type: ignore
        terms = dict.fromkeys(TERM_COLUMNS, float | None)
        shape = Annotated[Json[profile], AfterValidator(_even)]
        return {**_columns(Measurement), **_columns(ROWS[relation]), **terms, "profile": shape}
    if relation != _VIEW:
        return _columns(ROWS[relation])
    measured = {name: kind | None for name, kind in types("measurement").items()}
    trained = {f"validation_{name}": float | None for name in ("accuracy", "loss", "learning_rate")}
    first = {"validation_status": str | None, "study": str, "number": Count, "score_id": str}
    return {**types("architecture"), **measured, **trained, **first}


def _columns(kind: type) -> dict[str, object]:
    """The types of a dataclass's fields, without those of its class."""
    hints = get_type_hints(kind, include_extras=True)
    return {entry.name: hints[entry.name] for entry in fields(kind)}


def _even(profile: dict[str, list[Any]]) -> dict[str, list[Any]]:
    if profile and (len(profile) < len(fields(Layer)) or len({len(values) for values in profile.values()}) > 1):
        raise ValueError(f"a profile is lists {', '.join(item.name for item in fields(Layer))} of one length")
    return profile


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
