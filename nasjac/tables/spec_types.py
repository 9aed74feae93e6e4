"""Whether a Spec's JSON has fields of the right types and of a sane size, before a Spec is made of it."""

from __future__ import annotations

import reprlib
from dataclasses import MISSING, fields
from functools import cache
from typing import Annotated, Any, get_type_hints

from nasjac.architecture.block import Block
from nasjac.architecture.spec import FIRST_KIND, Spec, spec_class
from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import parse_json

#: whole numbers of a Spec are below, so that products of several are still floats
LARGEST = 2**63
#: errors of pydantic that are said in its own terms
RULES = {
    "missing": "there",
    "model_type": "an object of fields",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "string_type": "a name",
}


def check_types(text: str) -> None:
    """Refuse JSON that is no Spec's by its types alone: a Spec's own checks compare values of the right ones.

    Raises:
        InputError: The text is not JSON, or not an object of a Spec's fields; names the field and its value.
    """
    from pydantic import ValidationError

    content = parse_json(text, "spec")
    kind = content.get("kind", FIRST_KIND) if isinstance(content, dict) else FIRST_KIND
    try:
        _form(spec_class(kind)).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "spec"
        rule = RULES.get(first["type"]) or first["msg"].removeprefix("Input should be ")
        raise InputError(f"`{place}` must be {rule}, got {reprlib.repr(first['input'])}") from error


@cache
def _form(of: type[Spec]) -> Any:
    """What pydantic checks: the fields of a Spec and of Block by their declared types. Others a Spec names itself."""
    from pydantic import ConfigDict, Field, TypeAdapter, create_model

    whole: Any = Annotated[int, Field(gt=-LARGEST, lt=LARGEST)]
    number: Any = Annotated[float, Field(gt=-1e30, lt=1e30)]
    bounded = {int: whole, float: number, tuple[int, ...]: list[whole]}
    make: Any = create_model  # its fields are not known before this runs

    def form(item: type, **others: Any) -> Any:
        types = {name: bounded.get(hint, hint) for name, hint in get_type_hints(item).items()} | others
        defaults = {entry.name: ... if entry.default is MISSING else entry.default for entry in fields(item)}
        strict = ConfigDict(strict=True, extra="ignore")
        return make(item.__name__, __config__=strict, **{name: (types[name], value) for name, value in defaults.items()})

    return TypeAdapter(form(of, blocks=list[form(Block)]))  # type: ignore[misc]
