"""The tables and views of the results database, and the scripts in `migrations/` that lead from one version to the next.

The scripts are the documentation: the comment behind a column is its meaning, and `nasjac query --schema` prints it.
A script that has been released is never edited; a change is a further script with the next number.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NamedTuple

APPLICATION_ID = 0x6E61736A  # "nasj"

# Script 7: all terms of the penalty are squares since, and a merit by the former formula is none. Script 8: the name of a
# dataset does not say what its file held, so that what was trained before belongs to no study.
#: version n of the schema is what the first n scripts make
_SCRIPTS = sorted(Path(__file__).with_name("migrations").glob("*.sql"))
MIGRATIONS = tuple(path.read_text(encoding="utf-8") for path in _SCRIPTS)
SCHEMA_VERSION = len(MIGRATIONS)
#: columns whose released comments say too little; released scripts are never edited
_MEANINGS = """
--- run.git_commit: commit of the checkout that nasjac's code runs from; NULL: no checkout, or not known
--- run.git_dirty: 1 if that checkout had changes
"""


def migrate(connection: sqlite3.Connection, scripts: Sequence[str] = MIGRATIONS) -> None:
    """Run the scripts the database has not seen, all in one transaction. The connection must be in autocommit mode."""
    connection.execute("BEGIN IMMEDIATE")  # the version is read under the lock: another process may be migrating
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for statement in (statement for script in scripts[version:] for statement in _statements(script)):
            connection.execute(statement)
        if version < len(scripts):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(scripts)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has SQLite roll back by itself
            connection.execute("ROLLBACK")
        raise


class Column(NamedTuple):
    """A column, its SQL type and what it means."""

    name: str
    type: str
    meaning: str


class Relation(NamedTuple):
    """A table or view, and its columns."""

    name: str
    kind: str
    meaning: str
    columns: tuple[Column, ...]


@cache
def relations() -> tuple[Relation, ...]:
    """Return the tables and views of the current schema; no database file is needed."""
    meanings = _meanings((*MIGRATIONS, _MEANINGS))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        sql = "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY rowid"
        return tuple(
            Relation(name, kind, meanings[name, ""], tuple(_columns(connection, name, meanings)))
            for name, kind in connection.execute(sql).fetchall()
        )


def column_names() -> dict[str, tuple[str, ...]]:
    """Return the columns of each table and view by its name."""
    return {relation.name: tuple(column.name for column in relation.columns) for relation in relations()}


def _columns(connection: sqlite3.Connection, relation: str, meanings: dict[tuple[str, str], str]) -> Iterator[Column]:
    for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({relation})"):
        term = name.removesuffix("_se")
        meaning = f"standard error of {term}" if term != name else meanings.get((relation, name)) or meanings["", name]
        yield Column(name, kind, meaning)


def _meanings(scripts: Sequence[str]) -> dict[tuple[str, str], str]:
    """(relation, column) -> comment; ("", column) the first relation's, for the views that take a column as it is."""
    meanings: dict[tuple[str, str], str] = {}
    relation = ""
    for line in "\n".join(scripts).splitlines():
        if better := re.fullmatch(r"--- (\w+)\.(\w+): (.+)", line):  # than that of a script which is never edited
            meanings[better[1], better[2]] = better[3]
            continue
        code, _, comment = line.partition(" -- ")
        if head := re.match(r"(?:CREATE (?:TABLE|VIEW)|ALTER TABLE) (\w+)(?:.* ADD COLUMN (\w+))?", code):
            relation = head[1]
        name = (head[2] or "") if head else re.sub(r".* AS ", "", code).split()[0].rstrip(",") if comment else ""
        if comment:
            meanings[relation, name] = comment
            meanings.setdefault(("", name), comment)
    return meanings


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit the open transaction."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    assert not pending.strip(), f"unfinished statement: {pending}"
