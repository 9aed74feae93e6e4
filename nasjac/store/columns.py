"""What a column may hold; rows and measurements as columns, and back. Not finite is NULL, and None when read back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, Field, GetPydanticSchema, Json

from nasjac.architecture.measurement import TERMS, Estimate, Layer, Measurement

M = TypeVar("M", bound=Mapping[str, Any])

#: a whole number that counts something
Count = Annotated[int, Field(ge=0)]
#: no and yes, as SQLite has them
Flag = Annotated[int, Field(ge=0, le=1)]


def _of_blocks(spec: M) -> M:
    """The same Spec, whose blocks are objects."""
    blocks = spec.get("blocks", [])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise ValueError("the blocks of a Spec are a list of objects")
    return spec


Object = Json[Mapping[str, Any]]
#: a number by name, or None: nothing is missing in a trial that is complete, so that static types leave it open
Numbers = Annotated[Mapping[str, Any], GetPydanticSchema(lambda _, schema: schema(Json[Mapping[str, float | None]]))]
SpecObject = Annotated[Object, AfterValidator(_of_blocks)]


@dataclass(frozen=True)
class Row:
    """A row of `table`, in which the columns `keys` tell it from the others."""

    table: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, table: str, keys: tuple[str, ...]) -> None:
        cls.table, cls.keys = table, keys


#: what SQLite holds: by column, as it is written
Content = dict[str, Any]

#: fields of a Measurement that have a column of their name
_PLAIN = [item.name for item in fields(Measurement) if item.name not in ("key", "terms", "profile", "patterns")]
TERM_COLUMNS = tuple(name for term in TERMS for name in (term, f"{term}_se"))
#: the columns that a Measurement is made of, as `read_measurement` takes them
MEASUREMENT = ("architecture_key", *_PLAIN, *TERM_COLUMNS, "profile")

_encoders = [json.JSONEncoder(separators=(",", ":"), allow_nan=False, sort_keys=sort_keys) for sort_keys in (False, True)]


def to_json(value: Any, sort_keys: bool = False) -> str:
    """Return compact JSON, in which a number that is not finite is null."""
    encoder = _encoders[sort_keys]
    try:
        return encoder.encode(value)
    except ValueError:  # the encoder's refusal of a number that is not finite, or of a cycle
        return encoder.encode(_finite(value))


def column(name: str, value: Any) -> Any:
    """Return a value as the column `name` holds it. Keys of a spec are sorted, so that equal specs are equal texts."""
    if isinstance(value, Mapping):
        return to_json(value, sort_keys=name == "spec")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def of_row(row: Row) -> Content:
    """Return a row by its columns, as the database holds them."""
    return {item.name: column(item.name, getattr(row, item.name)) for item in fields(row)}


def measurement_columns(item: Measurement, score: str, score_id: str, created: str) -> Content:
    """Return a measurement by the columns of its table."""
    unknown = [term for term in item.terms if term not in TERMS]
    assert not unknown, f"unknown terms {unknown}"
    content: Content = {"architecture_key": item.key, "score": score, "score_id": score_id, "created": created}
    content |= {name: column(name, getattr(item, name)) for name in _PLAIN}
    for term in TERMS:
        estimate = item.terms.get(term, Estimate(None, None))
        content[term] = column(term, estimate.value)
        content[f"{term}_se"] = column(term, estimate.standard_error)
    content["profile"] = _profile_json(item.profile)
    return content


def _profile_json(profile: Sequence[Layer]) -> str:
    """Return the profile by columns. Seven digits, below any standard error, are formatted in a quarter of the time."""
    columns = [
        _labels(tuple(layer.name for layer in profile)),
        _labels(tuple(layer.direction for layer in profile)),
        _numbers([layer.log_mean for layer in profile]),
        _numbers([layer.mean_log for layer in profile]),
        _numbers([layer.standard_error for layer in profile]),
    ]
    return "{" + ",".join(f'"{item.name}":{text}' for item, text in zip(fields(Layer), columns, strict=True)) + "}"


@lru_cache
def _labels(values: tuple[str, ...]) -> str:
    return to_json(values)


def _numbers(values: list[float | None]) -> str:
    text = ",".join("null" if value is None else f"{value:.7g}" for value in values)
    return f"[{re.sub('-?(nan|inf)', 'null', text) if 'n' in text else text}]"


def read_measurement(row: Sequence[Any]) -> Measurement:
    """Return the measurement of a checked row of the columns MEASUREMENT; the last, the profile, may be missing."""
    content = dict(zip(MEASUREMENT, row, strict=False))
    profile = content.get("profile") or {}
    columns = [profile[item.name] for item in fields(Layer)] if profile else []
    precise = content["precision_reached"]
    return Measurement(
        key=content["architecture_key"],
        terms={term: Estimate(content[term], content[f"{term}_se"]) for term in TERMS},
        profile=tuple(Layer(*values) for values in zip(*columns, strict=True)),
        **{name: content[name] for name in _PLAIN}
        | {"raced": bool(content["raced"]), "precision_reached": None if precise is None else bool(precise)},
    )


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
