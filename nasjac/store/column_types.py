"""What a column may hold, and what a row of any table declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, GetPydanticSchema, Json

#: a whole number that counts something
Count = Annotated[int, Field(ge=0)]
#: no and yes, as SQLite has them
Flag = Annotated[int, Field(ge=0, le=1)]


def _of_blocks(spec: Mapping[str, Any]) -> Mapping[str, Any]:
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
