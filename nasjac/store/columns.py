"""Rows and measurements as the columns of their tables, and back. Not finite is NULL, and None when read back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

from nasjac.architecture.measurement import TERMS, Estimate, Layer, Measurement
from nasjac.store.rows import ArchitectureRow, RunRow, StudyRow, TrialRow, ValidationRow

#: the columns of rows that hold JSON, whatever their table
JSON_COLUMNS = {"config", "versions", "timings", "notes", "identity", "spec"} | {
    "objectives",
    "constraints",
    "choices",
    "distributions",
    "system_attrs",
}

Row = RunRow | StudyRow | ArchitectureRow | TrialRow | ValidationRow
R = TypeVar("R", RunRow, StudyRow, ArchitectureRow, TrialRow, ValidationRow)

_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_sorted_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False, sort_keys=True)


def to_json(value: Any, sort_keys: bool = False) -> str:
    """Compact JSON; a number that is not finite becomes null."""
    encoder = _sorted_encoder if sort_keys else _encoder
    try:
        return encoder.encode(value)
    except ValueError:  # the encoder's refusal of a number that is not finite, or of a cycle
        return encoder.encode(_finite(value))


def column(name: str, value: Any) -> Any:
    """The value as the column `name` holds it. Keys of a spec are sorted, so that equal specs are equal texts."""
    if name in JSON_COLUMNS:
        return to_json(value, sort_keys=name == "spec")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def of_row(row: Row) -> dict[str, Any]:
    """Column name -> value as the database holds it."""
    return {item.name: column(item.name, getattr(row, item.name)) for item in fields(row)}


def measurement_columns(item: Measurement, score: str, score_id: str, created: str) -> dict[str, Any]:
    """A measurement as the columns of its table."""
    unknown = [term for term in item.terms if term not in TERMS]
    assert not unknown, f"unknown terms {unknown}"
    content: dict[str, Any] = {
        "architecture_key": item.key,
        "score": score,
        "score_id": score_id,
        "status": item.status,
        "reason": item.reason,
        "kept_key": item.kept_key,
        "model_error": item.model_error,
        "precision_reached": item.precision_reached,
        "raced": item.raced,
        "pattern_of": item.pattern_of,
        "draws": item.draws,
        "seconds": item.seconds,
        "created": created,
    }
    for term in TERMS:
        estimate = item.terms.get(term, Estimate(None, None))
        content[term] = column(term, estimate.value)
        content[f"{term}_se"] = column(term, estimate.standard_error)
    content["profile"] = _profile_json(item.profile)
    return content


def _profile_json(profile: Sequence[Layer]) -> str:
    """The profile by columns. Seven digits, below any standard error, are formatted in a quarter of the time of all."""
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
    known = tuple(math.nan if value is None else value for value in values) if None in values else tuple(values)
    text = ",".join(["%.7g"] * len(known)) % known
    return f"[{re.sub('-?(nan|inf)', 'null', text) if 'n' in text else text}]"


def read_measurement(
    key: str,
    status: Any,
    reason: str | None,
    kept_key: str | None,
    model_error: float | None,
    precision_reached: int | None,
    raced: int,
    pattern_of: str | None,
    draws: int,
    seconds: float,
    *rest: Any,
) -> Measurement:
    """The measurement that `measurement_columns` took apart.

    `rest` are value and standard error of each term, and the profile by columns, as `nasjac.store.typed` reads them."""
    *estimates, profile = rest
    terms = {term: Estimate(*pair) for *pair, term in zip(estimates[::2], estimates[1::2], TERMS, strict=True)}
    columns = (profile[item.name] for item in fields(Layer)) if profile else ()
    layers = tuple(Layer(*values) for values in zip(*columns, strict=True))
    precise = None if precision_reached is None else bool(precision_reached)
    return Measurement(
        key, status, reason, terms, layers, draws, seconds, kept_key, model_error, precise, bool(raced), pattern_of
    )


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
