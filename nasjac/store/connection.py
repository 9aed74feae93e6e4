"""A connection to a database that leaves the database as a single file."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nasjac.foundation.errors import InputError
from nasjac.store.place import beside, check_files, fold_in, may_write, reading_uri


class Connection(sqlite3.Connection):
    """A connection that leaves its database as a single file, where it is the last to close it and may write.

    `is_ours` is to be set as soon as the file is known to be a nasjac database; other files are left as they are.
    `is_logged` says that this connection has made the write-ahead log.
    """

    path: Path
    read_only: bool
    is_ours: bool = False
    is_logged: bool = False

    def close(self) -> None:
        """Close the file; the last connection to close it folds the write-ahead log in, even one for reading."""
        super().close()
        if not self.is_ours or not may_write(self.path):
            return
        if not self.read_only:
            fold_in(self.path)
        elif beside(self.path, "-wal").exists():
            with suppress(sqlite3.Error):  # what was read is right without it, and the next to close tries again
                fold_in(self.path)

    def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
        """Execute one statement as SQLite's own method does. InputError: SQLite has no type for a value."""
        with _storable():
            return super().execute(sql, values)

    def executemany(self, sql: str, values: Any, /) -> sqlite3.Cursor:
        """Execute a statement for rows of values as SQLite's own method does. InputError: SQLite has no type for one."""
        with _storable():
            return super().executemany(sql, values)


@contextmanager
def _storable() -> Iterator[None]:
    try:
        yield
    except (OverflowError, UnicodeEncodeError) as error:
        rule = "takes whole numbers of 64 bits and text of whole characters"
        raise InputError(f"`database` {rule}, got another value: {error}") from error


def opened(path: Path, read_only: bool, timeout: float) -> Connection:
    """Return a connection in autocommit mode that waits `timeout` s for others, and has read nothing of the file yet.

    Raises:
        InputError: There is no file, or a write-ahead log that cannot be folded in because nothing can be written.
        sqlite3.Error: SQLite cannot open the file.
    """
    check_files(path)
    if not read_only and path.exists() and not may_write(path):  # else SQLite opens it for reading and leaves a log
        rule = "`database` must be a nasjac database that can be written, in a folder that can be"
        raise InputError(f"{rule}, got {str(path)!r}, where this user may only read")
    connection = sqlite3.connect(
        reading_uri(path, timeout) if read_only else f"{path.as_uri()}?mode=rwc",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        factory=Connection,
    )
    connection.path, connection.read_only = path, read_only
    connection.execute("PRAGMA trusted_schema = OFF")  # what a stranger's views may call is what cannot do harm
    connection.execute("PRAGMA cell_size_check = ON")
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
    return connection
