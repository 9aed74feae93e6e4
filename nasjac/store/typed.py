"""Rows of the database read by the types of their columns: one that a stranger or an accident has changed is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from nasjac.architecture.measurement import TERMS, Layer, Status
from nasjac.foundation.errors import InputError
from nasjac.store.rows import ArchitectureRow, Role, RunRow, StudyRow, TrialRow, ValidationRow

if TYPE_CHECKING:
    from pydantic import TypeAdapter

#: the columns that tell the rows of a table or view apart
KEYS = {
    "run": ("run_id",),
    "study": ("name",),
    "architecture": ("key",),
    "trial": ("study", "number"),
    "batch": ("study", "batch"),
    "measurement": ("architecture_key", "score_id"),
    "validation": ("architecture_key", "dataset", "trainer_id", "seed", "learning_rate"),
    "validation_pick": ("study", "architecture_key", "role"),
    "leaderboard": ("study", "number"),
}

#: whole numbers that count something
_COUNTS = {"number", "batch", "asked", "depth", "width", "skip_count", "params", "flops", "draws", "steps", "run_id"}
#: whole numbers that stand for no and yes
_FLAGS = {"git_dirty", "precision_reached", "raced"}

_LONGEST = 60  # characters of a value that an error shows


def checked(path: Path, relation: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows with JSON as what it says, each value of its column's type.

    Args:
        path: The database, for the error.
        relation: The table or view.
        names: Its columns that the rows hold, in their order; others are taken as they are.
        rows: What SQLite gave.

    Raises:
        InputError: A value is of another type, no JSON, or out of range: it names column, row and value.
    """
    from pydantic import ValidationError  # late: a light command needs no types

    try:
        return _adapter(relation, tuple(names)).validate_python(rows)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        row, column, *inside = first["loc"]
        values = dict(zip(names, rows[int(row)], strict=True))
        name = names[int(column)]
        where = ", ".join(f"{key} {_short(values[key])}" for key in KEYS[relation] if key in values and key != name)
        within = "".join(f"[{step!r}]" for step in inside)
        raise InputError(
            f"`database` must hold in every {relation}.{name}{within} what its column is for, got {_short(values[name])} "
            f"in {str(path)!r}{f' ({where})' if where else ''}: {first['msg']}"
        ) from error


@cache
def _adapter(relation: str, names: tuple[str, ...]) -> TypeAdapter[list[tuple[Any, ...]]]:
    from pydantic import ConfigDict, TypeAdapter

    types = _types(relation)
    row = GenericAlias(tuple, tuple(types.get(name, Any) for name in names))
    adapter: TypeAdapter[list[tuple[Any, ...]]] = TypeAdapter(
        GenericAlias(list, (row,)),  # type: ignore[arg-type]
        config=ConfigDict(strict=True, allow_inf_nan=False),
    )
    return adapter


@cache
def _types(relation: str) -> dict[str, Any]:
    """Column -> type, of a table or of the view."""
    if relation == "leaderboard":
        of_validation = dict.fromkeys(("accuracy", "loss", "learning_rate"), float | None)
        return {
            **_types("architecture"),
            **{name: kind | None for name, kind in _types("measurement").items()},
            **{f"validation_{name}": kind for name, kind in of_validation.items()},
            **{"validation_status": str | None, "study": str, "number": _count(), "score_id": str},
        }
    return {name: _type(name, kind) for name, kind in _HINTS[relation]().items()}


def _type(name: str, kind: Any) -> Any:
    from pydantic import Field

    if name in _shapes():
        return _shapes()[name]
    optional = kind != (kind | None)
    if name in _COUNTS:
        counted: Any = _count()
    elif name in _FLAGS:
        counted = Annotated[int, Field(ge=0, le=1)]
    else:
        return kind
    return counted if optional else counted | None


def _count() -> Any:
    from pydantic import Field

    return Annotated[int, Field(ge=0)]


@cache
def _shapes() -> dict[str, Any]:
    """Column that holds JSON -> the type of what that says."""
    from pydantic import AfterValidator, Json
    from typing_extensions import TypedDict  # Python's own says too little before 3.12

    lists = {"name": list[str], "direction": list[Literal["forward", "backward"]]}
    lists |= dict.fromkeys(("log_mean", "mean_log", "standard_error"), list[float | None])
    profile = TypedDict("Profile", lists, total=False)  # type: ignore[misc] # without a profile it is empty
    numbers = dict.fromkeys(("objectives", "constraints", "timings"), Json[dict[str, float | None]])
    content = ("identity", "config", "versions", "notes", "choices", "system_attrs")
    return {
        **numbers,
        **dict.fromkeys(content, Json[dict[str, Any]]),
        "distributions": Json[dict[str, str]],
        "profile": Annotated[Json[profile], AfterValidator(_even)],
        "spec": Annotated[Json[dict[str, Any]], AfterValidator(_of_blocks)],
    }


def _even(profile: dict[str, list[Any]]) -> dict[str, list[Any]]:
    if profile and (len(profile) < len(fields(Layer)) or len({len(values) for values in profile.values()}) > 1):
        raise ValueError(f"a profile is lists {', '.join(item.name for item in fields(Layer))} of one length")
    return profile


def _of_blocks(spec: dict[str, Any]) -> dict[str, Any]:
    blocks = spec.get("blocks", [])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise ValueError("the blocks of a Spec are a list of objects")
    return spec


def _measurement() -> dict[str, Any]:
    texts = dict.fromkeys(("architecture_key", "score", "score_id", "created"), str)
    known = dict.fromkeys(("reason", "kept_key", "pattern_of", "fingerprint"), str | None)
    terms = {name: float | None for term in TERMS for name in (term, f"{term}_se")}
    numbers = {"draws": int, "seconds": float, "model_error": float | None, "run_id": int | None, "profile": str}
    return {**texts, **known, **terms, **numbers, "status": Status, "raced": int, "precision_reached": int | None}


_HINTS: dict[str, Any] = {
    "run": lambda: get_type_hints(RunRow),
    "study": lambda: get_type_hints(StudyRow),
    "architecture": lambda: get_type_hints(ArchitectureRow),
    "trial": lambda: get_type_hints(TrialRow),
    "validation": lambda: get_type_hints(ValidationRow),
    "measurement": _measurement,
    "batch": lambda: {"study": str, "batch": int, "notes": str},
    "validation_pick": lambda: {"study": str, "architecture_key": str, "role": Role, "dataset_digest": str | None},
}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
