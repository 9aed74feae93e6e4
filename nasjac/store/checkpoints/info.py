"""What spec.json of a checkpoint says, read by its types: a Spec, sizes, and where the weights come from."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import check_file, parse_json
from nasjac.architecture.spec import Spec

SPEC = "spec.json"
#: inputs and outputs that a network may have; levels of objects in objects; bytes of the file, which has some lines a block
LARGEST, DEEPEST, MOST_BYTES = 2**31 - 1, 64, 2**24
#: blocks of a network
MOST_BLOCKS = 2**16
#: characters of a wrong value that an error shows
SHOWN = 60


class _TrainedOn(BaseModel, strict=True, extra="allow"):
    dataset: str
    dataset_digest: str
    trainer: str
    trainer_id: str


class _SpecContent(BaseModel, strict=True, extra="allow"):
    blocks: list[Any] = Field(max_length=MOST_BLOCKS)


class _Info(BaseModel, strict=True, extra="allow"):
    """What verbs read; the rest is kept as it is."""

    inputs: int = Field(ge=1, le=LARGEST)
    outputs: int = Field(ge=1, le=LARGEST)
    spec: _SpecContent
    key: str = ""
    dataset: str = ""
    dataset_digest: str = ""
    trainer: str = ""
    trainer_id: str = ""
    trained_on: _TrainedOn | None = None
    grown: dict[str, Any] = {}
    pruned: dict[str, Any] = {}
    searched: dict[str, Any] = {}


def read_info(folder: str | Path) -> dict[str, Any]:
    """Return the content of spec.json.

    Raises:
        InputError: There is no such file, a value is missing or of another type, a number not finite, or the Spec is none.
    """
    path = Path(folder) / SPEC
    try:
        size = check_file(path, SPEC).stat().st_size
        if size > MOST_BYTES:
            raise InputError(f"`{SPEC}` must have at most {MOST_BYTES} bytes, got {size}")
        info = parse_json(path.read_bytes(), SPEC)
    except InputError as error:
        raise InputError(f"`checkpoint` must be a folder with {SPEC} and weights, got {str(folder)!r}: {error}") from error
    _check_values(info, path)
    _check_types(info, path)
    try:
        spec_of(info)
    except InputError as error:
        raise InputError(f"`checkpoint` must hold a {SPEC} with a Spec, got {path}: {error}") from error
    return dict(info)


def spec_of(info: dict[str, Any]) -> Spec:
    """The Spec in the content of spec.json. InputError: it breaks a rule of Specs."""
    return Spec.from_json(json.dumps(info["spec"]))


def _check_values(content: Any, path: Path) -> None:
    """All of it can be written again: into the checkpoint of a network that was changed."""
    there = [(content, 1)]
    while there:
        value, depth = there.pop()
        if depth > DEEPEST:
            raise InputError(f"`checkpoint` must hold a {SPEC} of at most {DEEPEST} levels, got more in {path}")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"`checkpoint` must hold a {SPEC} of finite numbers, got {value} in {path}")
        if isinstance(value, dict):
            there += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            there += [(inner, depth + 1) for inner in value]


def _check_types(content: Any, path: Path) -> None:
    try:
        _Info.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where, got = ".".join(map(str, first["loc"])) or "the whole", repr(first["input"])
        if first["type"] == "missing":
            raise InputError(f"`checkpoint` must hold a {SPEC} with `{where}`, got none in {path}") from error
        rule = f"a {SPEC} with values of the right types"
        got = f"{where} {got[:SHOWN]}{' ...' if len(got) > SHOWN else ''} in {path}"
        raise InputError(f"`checkpoint` must hold {rule}, got {got}: {first['msg']}") from error
