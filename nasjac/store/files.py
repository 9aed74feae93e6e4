"""CSV files as tables that SQL can ask, beside a results database or without one."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from nasjac.foundation.csv_text import csv_rows
from nasjac.foundation.errors import InputError
from nasjac.store.cells import Kind, kind_of, kind_of_column, value
from nasjac.store.database import connect
from nasjac.store.schema import column_names

#: names of SQLite's own, which stand for whole databases
SCHEMAS = ("main", "temp", "results")
#: of SQLite as Debian and CPython build it
MOST_COLUMNS = 2000


@contextmanager
def opened(files: Mapping[str, str], database: Path, trust: bool = False) -> Iterator[sqlite3.Connection]:
    """Give a connection that reads a results database, with each CSV file (.gz too) as a table of its name.

    Columns of numbers are numbers, empty cells NULL (`nasjac.store.cells`).

    Args:
        files: The files by the names of their tables.
        database: Where the results are; beside files there may be nothing there.
        trust: See `nasjac.store.database.connect`.

    Raises:
        InputError: A name is no name, or taken; a file is no table, or not of this machine; see also
            `nasjac.store.database.connect`.
    """
    for name, file in files.items():
        _check_name(name)
        _check_local(file)
    missing = bool(files) and not database.exists()
    made = sqlite3.connect(":memory:", isolation_level=None) if missing else connect(database, True, trust)
    with closing(made) as connection:
        for name, file in files.items():
            _add(connection, name, file)
        yield connection


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise InputError(f"`table` must have a name of letters, digits and _, NAME=FILE, got {name!r}")
    if name.lower() in {*column_names(), *SCHEMAS} or name.lower().startswith("sqlite_"):
        raise InputError(
            f"`table` must have a name that no table or view of nasjac or SQLite has, got {name!r}; NAME=FILE gives another"
        )


def _check_local(file: str) -> None:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", file):
        raise InputError(
            f"`table` must be a file of this machine, got {file!r}, which reads as a URL: nothing is fetched; a file whose "
            "name has a colon is given as ./NAME"
        )


def _add(connection: sqlite3.Connection, name: str, file: str) -> None:
    """Make the table, a temporary one, as the database is only read. The file is read twice rather than held whole."""
    header = next(csv_rows(file, "table"))
    columns = _columns(header, file)
    kinds = _kinds(len(header), file)
    declared = ", ".join(f"{_quoted(column)} {kind.affinity}" for column, kind in zip(columns, kinds, strict=True))
    values = ([value(*pair) for pair in zip(row, kinds, strict=True)] for _, row in _rows(file))
    try:
        connection.execute(f"CREATE TEMP TABLE {_quoted(name)} ({declared})")
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO temp.{_quoted(name)} VALUES ({', '.join('?' * len(kinds))})", values)
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise InputError(f"`table` must be one that SQLite's temporary files can take, got {file}: {error}") from error


def _columns(header: Sequence[str], file: str) -> list[str]:
    """The names; a column without one is called as pandas does, which writes such a column before its others."""
    names = [name or f"Unnamed: {number}" for number, name in enumerate(header)]
    if len(names) > MOST_COLUMNS:
        raise InputError(f"`table` must have at most {MOST_COLUMNS} columns, got {len(names)} in {file}")
    counts = Counter(name.encode().lower() for name in names)  # bytes: SQLite tells É from é, but not E from e
    if twice := [name for name in names if counts[name.encode().lower()] > 1]:
        raise InputError(f"`table` must have different names of columns, got {' and '.join(twice[:2])} in {file}")
    return names


def _kinds(width: int, file: str) -> list[Kind]:
    seen: list[set[Kind]] = [set() for _ in range(width)]
    wrong = []
    for number, row in _rows(file):
        if len(row) != width:
            wrong.append((number, len(row)))
            continue
        for kinds, cell in zip(seen, row, strict=True):
            kinds.add(kind_of(cell))
    if wrong:
        raise InputError(
            f"`table` must have {width} cells in every row, as many as its header, got {len(wrong)} rows that have not "
            f"in {file}, the first of them row {wrong[0][0]} with {wrong[0][1]}"
        )
    return [kind_of_column(kinds) for kinds in seen]


def _rows(file: str) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header with their numbers; a blank one is none."""
    return ((number, row) for number, row in islice(enumerate(csv_rows(file, "table"), 1), 1, None) if row)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
