"""The values that cells of a CSV file stand for, a column at a time."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import IntEnum
from functools import lru_cache

#: what stands for no value in a column of numbers; in one of text only the empty cell does
MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None")
TRUE, FALSE = ("True", "TRUE", "true"), ("False", "FALSE", "false")

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?[iI]nf(?:inity)?")
_INTEGERS = range(-(2**63), 2**63)  # those of SQLite


class Kind(IntEnum):
    """The kind of a cell or column. A column that mixes whole numbers, numbers and percentages has the last of them."""

    NOTHING = 0
    WHOLE = 1
    NUMBER = 2
    PERCENTAGE = 3
    TRUTH = 4
    TEXT = 5

    @property
    def affinity(self) -> str:
        """Return the type of such a column in SQLite."""
        whole, real = (Kind.NOTHING, Kind.WHOLE, Kind.TRUTH), (Kind.NUMBER, Kind.PERCENTAGE)
        return "INTEGER" if self in whole else "REAL" if self in real else "TEXT"


@lru_cache(maxsize=2**14)
def kind_of(cell: str) -> Kind:
    """Return the kind of a single cell. A whole number beyond 64 bits is a NUMBER, for SQLite has no such integers."""
    cell = cell.strip()
    if cell in MISSING:
        return Kind.NOTHING
    if _WHOLE.fullmatch(cell):
        return Kind.WHOLE if len(cell) <= 20 and int(cell) in _INTEGERS else Kind.NUMBER
    if _NUMBER.fullmatch(cell):
        return Kind.NUMBER
    if cell.endswith("%") and _NUMBER.fullmatch(cell[:-1].rstrip()):
        return Kind.PERCENTAGE
    return Kind.TRUTH if cell in TRUE + FALSE else Kind.TEXT


def kind_of_column(cells: Collection[Kind]) -> Kind:
    """Return the kind of a column of cells of these kinds: text, unless all of them fit another kind."""
    there = set(cells) - {Kind.NOTHING}
    mixed = Kind.TRUTH in there and len(there) > 1
    return Kind.TEXT if mixed else max(there, default=Kind.NOTHING)


def value(cell: str, kind: Kind) -> int | float | str | None:
    """Return the value of a cell in a column of that kind: 93.1 % is 0.931, true is 1, a missing value is None."""
    if kind is Kind.TEXT:
        return cell or None
    cell = cell.strip()
    if cell in MISSING:
        return None
    if kind is Kind.WHOLE:
        return int(cell)
    if kind is Kind.TRUTH:
        return int(cell in TRUE)
    if not cell.endswith("%"):
        return float(cell)
    number = cell[:-1].rstrip()
    return float(number) / 100 if re.search("[eEiI]", number) else float(f"{number}e-2")  # 93.1 / 100 is not 0.931
