"""Whether a database's tables, views and triggers are those that nasjac makes.

A stranger's database may have a view in the place of one of ours, which runs for ever or shows what was not measured, and
triggers, which run when we write. Tables, views and indices of a user's own are nobody's business.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NamedTuple

from nasjac.foundation.errors import InputError
from nasjac.store.schema import MIGRATIONS, migrate

#: SQL in pieces: what is skipped (white space, comments), then strings and names in quotes, words, and single signs
_PIECES = re.compile(
    r"""(?P<skipped>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^]]*\]|\w+|.""",
    re.DOTALL,
)


class _Relation(NamedTuple):
    """A table's columns (name, type, not null, primary key, hidden), or a view's text in pieces."""

    form: str
    columns: tuple[tuple[object, ...], ...]
    text: tuple[str, ...]


def check_schema(connection: sqlite3.Connection, path: Path, read_only: bool, trust: bool) -> None:
    """Raise InputError for a table or view of nasjac's that is missing or another one, and for a trigger if it is written.

    A database of an earlier version is held against that version. With `trust` nothing is checked.
    """
    if trust:
        return
    connection.execute("BEGIN")  # one snapshot: another process may be migrating the file
    try:
        expected = _expected(connection.execute("PRAGMA user_version").fetchone()[0])
        found = _relations(connection, expected)
        sql = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
        triggers = [(name, table) for name, table in connection.execute(sql) if str(table).lower() in expected]
    finally:
        connection.execute("ROLLBACK")
    for name, relation in expected.items():
        if found.get(name) != relation:
            raise InputError(f"{_RULE}, got {str(path)!r}, {_difference(name, relation, found.get(name))}{_ADVICE}")
    if triggers and not read_only:
        name, table = triggers[0]
        raise InputError(f"{_RULE} to be written, got {str(path)!r}, which has the trigger {name!r} on {table}{_ADVICE}")


_NAMED = 5  # columns that an error lists
_RULE = "`database` must have the tables and views that nasjac makes"
_ADVICE = "; whoever trusts it may read it all the same (--trust of query and show, trust=True in Python)"


@cache
def _expected(version: int) -> Mapping[str, _Relation]:
    """The tables and views of that version of the schema."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:version])
        names = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
        return _relations(connection, [name for (name,) in names])


def _relations(connection: sqlite3.Connection, names: Collection[str]) -> dict[str, _Relation]:
    """Return those of the tables and views of these names that are there. Of a virtual table no column is asked for."""
    found = {}
    sql = "SELECT name, type, rootpage, sql FROM sqlite_master WHERE type IN ('table', 'view')"
    for name, form, page, text in connection.execute(sql).fetchall():
        if name in names and form == "view":
            found[name] = _Relation("view", (), tuple(_pieces(str(text))))
        elif name in names and page:
            about = connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
            columns = tuple((*row[1:4], *row[5:]) for row in about)  # neither its number nor its default
            found[name] = _Relation("table", columns, ())
        elif name in names:
            found[name] = _Relation("virtual table", (), ())
    return found


def _pieces(sql: str) -> Iterator[str]:
    """The words and signs of an SQL text, without white space and comments: these differ between versions of nasjac."""
    return (piece[0] for piece in _PIECES.finditer(sql) if piece["skipped"] is None)


def _difference(name: str, wanted: _Relation, found: _Relation | None) -> str:
    if found is None:
        return f"which has no {wanted.form} {name}"
    if found.form != wanted.form:
        return f"where {name} is a {found.form}"
    if wanted.form == "view":
        return f"whose view {name} is another one"
    there, asked = ({str(column[0]): column for column in relation.columns} for relation in (found, wanted))
    names = [column for column in {**asked, **there} if there.get(column) != asked.get(column)]
    listed = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"whose table {name} has other columns ({listed or 'in another order'})"
