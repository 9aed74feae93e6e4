"""A table as text: aligned for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nasjac.errors import InputError

Rows = Sequence[Sequence[Any]]

WIDEST = 48  # characters of a cell that an aligned table shows

#: text that begins so is a formula, or is cut down to one, in some spreadsheet program; the last four are full-width
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_text(columns: Sequence[str], rows: Rows) -> str:
    """Plain aligned text: numbers right and with six digits, NULL as -, long text cut."""
    table = [list(columns), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, entries)) for entries in zip(*table, strict=True)]
    right = [_numeric(entries) for entries in zip(*rows, strict=True)] or [False] * len(columns)
    pads = [str.rjust if numeric else str.ljust for numeric in right]
    lines = ("  ".join(pad(text, width) for pad, text, width in zip(pads, row, widths, strict=True)) for row in table)
    return "".join(line.rstrip() + "\n" for line in lines)


def as_csv(columns: Sequence[str], rows: Rows) -> str:
    """CSV after RFC 4180, every digit of a number; NULL is an empty field, text is `spreadsheet_safe`."""
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([spreadsheet_safe(value) for value in row] for row in [columns, *rows])
    return stream.getvalue()


def spreadsheet_safe(value: Any) -> Any:
    """Return a cell of a CSV file that no spreadsheet program runs: text that begins like a formula gets an apostrophe.

    Numbers stay as they are, negative ones too; text that begins with one of FORMULAS has an apostrophe before it, which
    spreadsheet programs take for the mark of text.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows with the same names as a CSV file, every digit of a number; nothing in it without rows."""
    table = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]) if table else [], lineterminator="\n")
        if table:
            writer.writeheader()
        writer.writerows(table)


def as_json(columns: Sequence[str], rows: Rows) -> str:
    """A JSON list of objects, one a row; NULL, and what is not finite, as null. ValueError: two columns of one name."""
    if twice := {name for name in columns if list(columns).count(name) > 1}:
        raise InputError(f"`columns` must have different names for json, got {', '.join(sorted(twice))} twice; use AS")
    objects = ({name: _finite(value) for name, value in zip(columns, row, strict=True)} for row in rows)
    return "[" + ",\n ".join(json.dumps(item, ensure_ascii=False, allow_nan=False) for item in objects) + "]\n"


def show(columns: Sequence[str], rows: Rows) -> None:
    """Print aligned: by rich on a terminal, as plain text into a file or pipe."""
    if not sys.stdout.isatty():
        sys.stdout.write(as_text(columns, rows))
        return
    from rich.console import Console  # late: only a terminal needs it
    from rich.table import Table
    from rich.text import Text

    right = [_numeric(entries) for entries in zip(*rows, strict=True)] or [False] * len(columns)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, numeric in zip(columns, right, strict=True):
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    Console().print(table)


def cell(value: Any) -> str:
    """One value for people."""
    text = "-" if value is None else f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."


def _numeric(entries: Sequence[Any]) -> bool:
    return all(value is None or isinstance(value, (int, float)) for value in entries)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
