"""One SELECT of somebody's: it only reads, streams its rows, and ends at Ctrl-C or when its time is used up."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from nasjac.foundation.errors import InputError
from nasjac.store.boundary import OF_WRITING, code_of
from nasjac.store.database import Table, nearest
from nasjac.store.expression import quoted
from nasjac.store.schema import column_names
from nasjac.store.time_limit import TimeLimit

T = TypeVar("T")

LARGEST = 2**28  # bytes of a text or blob that a SELECT may make: SQLite's own limit is a gigabyte for each cell
STEPS = 10_000  # of SQLite's virtual machine between two looks at the clock: well under a millisecond

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
#: what SQLite answers when the file, not the question, is at fault
_OF_THE_FILE = OF_WRITING | {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_AFTER_TABLES = "FROM|SELECT|WHERE|GROUP|HAVING|WINDOW|ORDER|LIMIT|UNION|EXCEPT|INTERSECT"
LISTED = 15  # columns or tables that an error lists; of more it says where they are


class Stream(NamedTuple):
    """Column names, and the rows as SQLite finds them."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


def select(
    connection: sqlite3.Connection, sql: str, values: Mapping[str, Any], name: str = "sql", text: str | None = None
) -> Table:
    """Return all that one SELECT gives, however long it takes. See `stream`, also for the errors."""
    with stream(connection, sql, values, name, text) as found:
        return Table(found.columns, list(found.rows))


@contextmanager
def stream(
    connection: sqlite3.Connection,
    sql: str,
    values: Mapping[str, Any],
    name: str = "sql",
    text: str | None = None,
    limit: TimeLimit | None = None,
) -> Iterator[Stream]:
    """Give what one SELECT gives, row by row, for as long as the block lasts.

    Ctrl-C ends a SELECT of any length, by a KeyboardInterrupt.

    Args:
        connection: It must not be used for anything else within the block.
        sql: The SELECT.
        values: Its named parameters :x.
        name: What an error calls it, where it is made from something that the user gave.
        text: What an error quotes in that case.
        limit: How long SQLite may work on it; None is without end.

    Raises:
        InputError: It is malformed, more than one statement, or not only reading; a name in it is not there (with the
            nearest that is); it takes too long; SQLite cannot evaluate it. Also while the rows are read.
    """
    question = _Question(connection, sql, name, sql if text is None else text, limit or TimeLimit(None))
    question.check(values)
    length = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST)
    connection.set_authorizer(_authorize)
    connection.set_progress_handler(question.limit.is_over, STEPS)
    try:
        with closing(question.work(lambda: connection.execute(sql, values))) as cursor:
            if cursor.description is None:
                raise InputError(f"`{name}` must be one SELECT that only reads, got {question.shown}")
            yield Stream(tuple(entry[0] for entry in cursor.description), question.rows(cursor))
    finally:
        connection.set_progress_handler(None, 0)
        connection.set_authorizer(None)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length)


@dataclass
class _Question:
    """A SELECT at work, and the words for what goes wrong with it."""

    connection: sqlite3.Connection
    sql: str
    name: str
    text: str
    limit: TimeLimit

    @property
    def shown(self) -> str:
        return quoted(self.text)

    def check(self, values: Mapping[str, Any]) -> None:
        """Refuse what SQLite takes for no text."""
        for text in (self.text, self.sql, *(value for value in values.values() if isinstance(value, str))):
            if "\0" in text or re.search("[\ud800-\udfff]", text):
                raise InputError(
                    f"`{self.name}` must be text that UTF-8 can write, without null characters, got {self.shown}"
                )

    def rows(self, cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
        while (row := self.work(cursor.fetchone)) is not None:
            yield row

    def work(self, step: Callable[[], T]) -> T:
        """Let SQLite do a step, which counts against the limit."""
        self.limit.start()
        try:
            return step()
        except (sqlite3.Error, sqlite3.Warning) as error:
            if code_of(error) != sqlite3.SQLITE_INTERRUPT:
                raise InputError(self._explain(error)) from error
            if self.limit.is_over():
                raise InputError(self.limit.sentence()) from error
            raise KeyboardInterrupt from error  # raised while the clock was looked at, where SQLite takes it for itself
        except UnicodeDecodeError as error:
            raise InputError(f"`{self.name}` must ask for names and text in UTF-8, got {self.shown}: {error}") from error
        except MemoryError as error:
            raise InputError(f"`{self.name}` must be answered in the memory there is, got {self.shown}") from error
        finally:
            self.limit.stop()

    def _explain(self, error: Exception) -> str:
        """One sentence for SQLite's message."""
        message, name, shown = str(error), self.name, self.shown
        if code_of(error) in _OF_THE_FILE:
            return f"`database` must be a file that SQLite can read to its end, got an error for {shown}: {message}"
        if "one statement at a time" in message:
            return f"`{name}` must be one statement, got {shown}"
        if "authoriz" in message:  # "not authorized ...", "authorization denied": what _authorize refused
            return f"`{name}` must be one SELECT that only reads, got {shown}"
        if found := re.fullmatch(r"Could not decode to UTF-8 column '(.*?)' with text .*", message, re.DOTALL):
            return f"`{name}` must ask for text in UTF-8, got other bytes in column {found[1]}; hex({found[1]}) shows them"
        if found := re.fullmatch(r"no such (column|table): (?:\w+\.)?(.+)", message):
            return self._unknown(*found.groups())
        return f"`{name}` must be SQL that SQLite can run, got {shown}: {message}"

    def _unknown(self, kind: str, unknown: str) -> str:
        known = _relations(self.connection)
        read = [relation for relation in known if relation.lower() in _read_from(self.sql)] or list(known)
        choices = list(known if kind == "table" else dict.fromkeys(column for key in read for column in known[key]))
        there = f" ({', '.join(choices)})" if len(choices) <= LISTED else ""
        hint = nearest(unknown, choices) if unknown not in choices else ""
        if kind == "column":
            owners = [relation for relation, columns in known.items() if unknown in columns]
            hint += f"; {', '.join(owners)} has one of that name" if owners else "; text goes in single quotes"
        hint += "" if there or not set(read) <= set(column_names()) else "; `nasjac query --schema` lists all"
        return f"`{self.name}` must name a {kind} that is there{there}, got {unknown!r}{hint}"


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


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    allowed = action in _READING and not (action == sqlite3.SQLITE_FUNCTION and second == "load_extension")
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
