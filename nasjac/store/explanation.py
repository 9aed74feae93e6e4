"""What SQLite says of a question, as one sentence."""

from __future__ import annotations

import re
import sqlite3

from nasjac.foundation.errors import InputError
from nasjac.store.boundary import OF_WRITING, code_of
from nasjac.store.database import nearest
from nasjac.store.expression import quoted
from nasjac.store.schema import column_names

#: what SQLite answers when the file, not the question, is at fault
_OF_THE_FILE = OF_WRITING | {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_AFTER_TABLES = "FROM|SELECT|WHERE|GROUP|HAVING|WINDOW|ORDER|LIMIT|UNION|EXCEPT|INTERSECT"
LISTED = 15  # columns or tables that an error lists; of more it says where they are


def explained(error: Exception, connection: sqlite3.Connection, sql: str, name: str, text: str) -> InputError:
    """Return what to raise for an error of SQLite's over `sql`, which `name` and `text` stand for to the user."""
    return InputError(_sentence(error, connection, sql, name, quoted(text)))


def _sentence(error: Exception, connection: sqlite3.Connection, sql: str, name: str, shown: str) -> str:
    message = str(error)
    if code_of(error) in _OF_THE_FILE:
        return f"`database` must be a file that SQLite can read to its end, got an error for {shown}: {message}"
    if "one statement at a time" in message:
        return f"`{name}` must be one statement, got {shown}"
    if "authoriz" in message:  # "not authorized ...", "authorization denied": what _authorize refused
        return f"`{name}` must be one SELECT that only reads, got {shown}"
    if found := re.fullmatch(r"Could not decode to UTF-8 column '(.*?)' with text .*", message, re.DOTALL):
        return f"`{name}` must ask for text in UTF-8, got other bytes in column {found[1]}; hex({found[1]}) shows them"
    if found := re.fullmatch(r"no such (column|table): (?:\w+\.)?(.+)", message):
        return f"`{name}` must {_of_unknown(connection, sql, *found.groups())}"
    return f"`{name}` must be SQL that SQLite can run, got {shown}: {message}"


def _of_unknown(connection: sqlite3.Connection, sql: str, kind: str, unknown: str) -> str:
    known = _relations(connection)
    read = [relation for relation in known if relation.lower() in _read_from(sql)] or list(known)
    choices = list(known if kind == "table" else dict.fromkeys(column for key in read for column in known[key]))
    there = f" ({', '.join(choices)})" if len(choices) <= LISTED else ""
    hint = nearest(unknown, choices) if unknown not in choices else ""
    if kind == "column":
        owners = [relation for relation, columns in known.items() if unknown in columns]
        hint += f"; {', '.join(owners)} has one of that name" if owners else "; text goes in single quotes"
    hint += "" if there or not set(read) <= set(column_names()) else "; `nasjac query --schema` lists all"
    return f"name a {kind} that is there{there}, got {unknown!r}{hint}"


def _read_from(sql: str) -> set[str]:
    """The names, in small letters, that stand where a FROM or JOIN has tables; those of subqueries too."""
    bare = re.sub(r"'(?:[^']|'')*'", "''", sql)
    clauses = re.findall(rf"\bFROM\b(.*?)(?=\b(?:{_AFTER_TABLES})\b|[()]|$)", bare, re.DOTALL | re.IGNORECASE)
    tables = [table for clause in clauses for table in re.split(r",|\bJOIN\b", clause, flags=re.IGNORECASE)]
    return {found[0].lower() for table in tables if (found := re.search(r"\w+", table))}


def _relations(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """The columns by table and view: nasjac's, if the database is one, and those of files (`nasjac.store.files`)."""
    connection.set_authorizer(None)
    is_ours = connection.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'leaderboard'").fetchone()
    names = [name for (name,) in connection.execute("SELECT name FROM temp.sqlite_master WHERE type = 'table'")]
    asked = "SELECT name FROM pragma_table_info(?, 'temp')"
    files = {name: tuple(column for (column,) in connection.execute(asked, (name,))) for name in names}
    return (dict(column_names()) if is_ours else {}) | files
