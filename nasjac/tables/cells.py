"""The cells of tables: numbers as spreadsheet programs write them, and how errors quote cells."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from nasjac.foundation.errors import InputError

#: a decimal number in ASCII, or a percentage
NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(%?)", re.ASCII)
#: characters of a cell that an error shows, of an error that a problem shows, and names of columns that an error lists
CELL, REASON, NAMES = 60, 300, 40


class Number(NamedTuple):
    """A number as it is written in its cell: 94.37% has the value 94.37 and is a percentage."""

    value: float
    is_percent: bool

    @property
    def as_share(self) -> float:
        return self.value / 100 if self.is_percent else self.value


def number(cell: str) -> Number:
    """Return the number in a cell; one that ends in % is a percentage.

    Raises:
        InputError: It is no finite number, or has a decimal comma or separators of thousands, whose meaning differs from
            country to country.
    """
    found = NUMBER.fullmatch(cell)
    value = float(found[1]) if found else math.nan
    if found is None or not math.isfinite(value):
        advice = " (a decimal point, and nothing between thousands)" if re.search(r"\d[,'’\s]\d", cell) else ""
        raise InputError(f"not a finite number: {quoted(cell)}{advice}")
    return Number(value, bool(found[2]))


def quoted(text: str) -> str:
    """Return a cell in quotation marks, only its start if it is long."""
    return repr(text) if len(text) <= CELL else f"{text[:CELL]!r} ... ({len(text)} characters)"


def printable(text: str, length: int = REASON) -> str:
    """Return a text in one line, only its start if it is long; invisible characters are escaped."""
    shown = text if len(text) <= length else f"{text[:length]} ..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in shown)


def listed(names: Iterable[str]) -> str:
    """Return names of columns as an error lists them; a name that is not printable ASCII is escaped."""
    names = list(names)
    shown = [name if name.isascii() and name.isprintable() else ascii(name) for name in names[:NAMES]]
    rest = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return ", ".join(printable(name, CELL) for name in shown) + rest
