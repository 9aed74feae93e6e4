"""One SELECT of somebody's: it only reads, streams its rows, and ends at Ctrl-C or when its time is used up."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from nasjac.foundation.errors import InputError
from nasjac.store.boundary import code_of
from nasjac.store.database import Table
from nasjac.store.explanation import explained
from nasjac.store.expression import quoted
from nasjac.store.time_limit import TimeLimit

T = TypeVar("T")

LARGEST = 2**28  # bytes of a text or blob that a SELECT may make: SQLite's own limit is a gigabyte for each cell
STEPS = 10_000  # of SQLite's virtual machine between two looks at the clock: well under a millisecond

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


class Stream(NamedTuple):
    """Column names, and the rows as SQLite finds them."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


def select(connection: sqlite3.Connection, sql: str, values: Mapping[str, Any], name: str = "sql") -> Table:
    """Return all that one SELECT gives, however long it takes. See `stream`, also for the errors."""
    with stream(connection, sql, values, name) as found:
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
                raise InputError(explained(error, self.connection, self.sql, self.name, self.shown)) from error
            if self.limit.is_over():
                raise InputError(self.limit.sentence()) from error
            raise KeyboardInterrupt from error  # raised while the clock was looked at, where SQLite takes it for itself
        except UnicodeDecodeError as error:
            raise InputError(f"`{self.name}` must ask for names and text in UTF-8, got {self.shown}: {error}") from error
        except MemoryError as error:
            raise InputError(f"`{self.name}` must be answered in the memory there is, got {self.shown}") from error
        finally:
            self.limit.stop()


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    allowed = action in _READING and not (action == sqlite3.SQLITE_FUNCTION and second == "load_extension")
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
