"""The error boundary around the database: whatever SQLite refuses is one sentence that names the file."""

from __future__ import annotations

import inspect
import re
import sqlite3
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from nasjac.foundation.errors import InputError

#: what keeps SQLite from writing a sound database
OF_WRITING = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM),
}
#: how SQLite says that an SQL text is wrong: ours is a fault, whose traceback helps to mend it
_FAULTS = re.compile(r"no such|syntax error|incomplete input|has no column|ambiguous|unrecognized token|wrong number of")


T = TypeVar("T")


def bounded(kind: type[T]) -> type[T]:
    """Let every public method of a class, inherited or not, raise InputError naming `path` for an error of SQLite."""
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_"):
            setattr(kind, name, _bounded(method))
    return kind


def is_fault(error: sqlite3.Error, trust: bool) -> bool:
    """Return whether an error is a fault of our code, or of a program that uses a closed Store, and not of the file.

    Tables and views are those that our SQL is written for, unless the file was opened on trust.
    """
    return isinstance(error, sqlite3.ProgrammingError) or (not trust and _FAULTS.search(str(error)) is not None)


def code_of(error: Exception) -> int:
    """Return SQLite's primary result code, 0 for an error that is of Python's module alone: that one has no code."""
    return int(vars(error).get("sqlite_errorcode", 0)) & 0xFF


def refusal(path: Path, error: Exception) -> InputError:
    """Return the error to raise for what SQLite said of the database at `path`."""
    if code_of(error) in OF_WRITING:
        return InputError(f"`database` must take writes, got {str(path)!r}: {error}")
    return InputError(f"`database` must be a nasjac database that SQLite can use, got {str(path)!r}: {error}")


def _bounded(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Any, *given: Any, **named: Any) -> Any:
        try:
            return method(self, *given, **named)
        except sqlite3.Error as error:
            if is_fault(error, self.trust):
                raise
            raise refusal(self.path, error) from error

    return call
