"""A table as text: aligned for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from nasjac.foundation.errors import InputError

Rows = Sequence[Sequence[Any]]

WIDEST = 48  # characters of a cell that an aligned table shows
MEASURED = 1000  # rows of a streamed table that decide on its widths

#: text that begins so is a formula, or is cut down to one, in some spreadsheet program; the last four are full-width
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_text(columns: Sequence[str], rows: Rows) -> str:
    """Return plain aligned text: numbers right and with six digits, NULL as -, long text cut."""
    return "".join(_aligned(columns, rows, rows))


def text_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the lines of `as_text`, as the rows come: the first MEASURED of them decide on widths and sides for all."""
    rows = iter(rows)
    measured = list(islice(rows, MEASURED))
    return _aligned(columns, measured, chain(measured, rows))


def _aligned(columns: Sequence[str], measured: Rows, rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    columns = [visible(name) for name in columns]
    cells = (columns, *([cell(value) for value in row] for row in measured))
    widths = [max(map(len, entries)) for entries in zip(*cells, strict=True)]
    pads = [str.rjust if numeric else str.ljust for numeric in _sides(columns, measured)]
    for texts in chain([columns], (map(cell, row) for row in rows)):
        yield "  ".join(pad(text, width) for pad, text, width in zip(pads, texts, widths, strict=True)).rstrip() + "\n"


def as_csv(columns: Sequence[str], rows: Rows) -> str:
    """Return CSV after RFC 4180, every digit of a number; NULL is an empty field, text is `spreadsheet_safe`."""
    return "".join(csv_lines(columns, rows))


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]], end: str = "\r\n") -> Iterator[str]:
    """Yield the records of `as_csv`, as the rows come; `end` is what ends a record."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator=end)
    for row in chain([columns], rows):
        stream.seek(0)
        stream.truncate()
        writer.writerow([spreadsheet_safe(_plain(value)) for value in row])
        yield stream.getvalue()


def spreadsheet_safe(value: Any) -> Any:
    """Return a cell of a CSV file that no spreadsheet program runs: text that begins like a formula gets an apostrophe.

    Numbers stay as they are, negative ones too; text that begins with one of FORMULAS has an apostrophe put before it,
    which spreadsheet programs take for the mark of text.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def csv_of(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a CSV file of rows that have the same names, every digit of a number; text is `spreadsheet_safe`.

    Without rows the file is empty.
    """
    table = list(rows)
    names = list(table[0]) if table else []
    return "".join(csv_lines(names, ([row[name] for name in names] for row in table), "\n") if table else "").encode()


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `csv_of` the rows to a path."""
    path.write_bytes(csv_of(rows))


def json_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]], is_ascii: bool = False) -> Iterator[str]:
    """Yield the pieces of a JSON list of objects, one a row, as the rows come; NULL, and what is not finite, as null.

    With `is_ascii`, other characters are written by their numbers. InputError: two columns of one name.
    """
    if twice := {name for name in columns if list(columns).count(name) > 1}:
        raise InputError(f"`columns` must have different names for json, got {', '.join(sorted(twice))} twice; use AS")
    before = "["
    for row in rows:
        item = {name: _finite(_plain(value)) for name, value in zip(columns, row, strict=True)}
        yield before + json.dumps(item, ensure_ascii=is_ascii, allow_nan=False)
        before = ",\n "
    yield "]\n" if before != "[" else "[]\n"


def print_rich(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print aligned by rich, on a terminal; after every MEASURED rows the header again, with widths of their own."""
    from rich.console import Console  # late: only a terminal needs it
    from rich.table import Table
    from rich.text import Text

    rows = iter(rows)
    block = list(islice(rows, MEASURED))
    while True:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name, numeric in zip(columns, _sides(columns, block), strict=True):
            table.add_column(Text(visible(name)), justify="right" if numeric else "left", overflow="fold")
        for row in block:
            table.add_row(*(Text(cell(value)) for value in row))
        Console().print(table)
        if not (block := list(islice(rows, MEASURED))):
            return


def cell(value: Any) -> str:
    """Return one value for people: `visible`, and cut if it is long."""
    value = _plain(value)
    text = "-" if value is None else f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
    text = visible(text[: WIDEST + 1])
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."


def visible(text: str) -> str:
    """Return the text with characters that a terminal obeys, and does not show, escaped."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _sides(columns: Sequence[str], rows: Rows) -> list[bool]:
    """Whether each column has numbers alone, which stand right."""
    numeric = [
        all(value is None or isinstance(value, (int, float)) for value in entries) for entries in zip(*rows, strict=True)
    ]
    return numeric or [False] * len(columns)


def _plain(value: Any) -> Any:
    """A blob as hexadecimal digits."""
    return value.hex() if isinstance(value, bytes) else value


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
