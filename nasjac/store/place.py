"""Where a database lies: reading it without writing, and leaving it as one file.

A database that is being written has a write-ahead log beside it (`-wal`, and `-shm` for the processes that share it), so
that readers and writers do not wait for one another. A database that nobody has open is one file without a log, which can
be copied alone and read where nothing can be written.
"""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import check_file
from nasjac.store.boundary import code_of

LOGS = ("-wal", "-shm", "-journal")  # what SQLite puts beside a database while it is written
WRITE_AHEAD = 2  # the byte of the header, at this offset, that says a database is written by way of a write-ahead log
HEADER_OFFSET = 18
FOLDING_TRIES = 3  # two processes that close at once refuse each other, and one of them has to try again

_IN_USE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class Connection(sqlite3.Connection):
    """A connection that leaves its database as one file, where it is the last and may write.

    `is_ours` is to be set as soon as the file is known to be a nasjac database: those of others are left as they are.
    `is_logged` says that it has made the write-ahead log.
    """

    path: Path
    read_only: bool
    is_ours: bool = False
    is_logged: bool = False

    def close(self) -> None:
        """Close the file; the last to close it folds the write-ahead log in, a reader too."""
        super().close()
        if not self.is_ours or not may_write(self.path):
            return
        if not self.read_only:
            fold_in(self.path)
        elif _beside(self.path, "-wal").exists():
            with suppress(sqlite3.Error):  # what was read is right without it, and the next to close tries again
                fold_in(self.path)

    def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
        """As SQLite's own. InputError: a value that SQLite has no type for."""
        with _storable():
            return super().execute(sql, values)

    def executemany(self, sql: str, values: Any, /) -> sqlite3.Cursor:
        """As SQLite's own. InputError: a value that SQLite has no type for."""
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

    InputError: no file; a log that cannot be folded in, where nothing can be written. sqlite3.Error: see SQLite.
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


def check_files(path: Path) -> None:
    """Raise InputError where the database or what lies beside it is no file: SQLite would open a named pipe and wait."""
    if path.exists():
        check_file(path, "database")
    for suffix in LOGS:
        log = _beside(path, suffix)
        if os.path.lexists(log) and not stat.S_ISREG(log.lstat().st_mode):  # SQLite writes into what a link points to
            raise InputError(f"`database` must have files beside it alone, got {str(log)!r}, which is none")


def may_write(path: Path) -> bool:
    """Return whether this process may write the database and the files beside it."""
    return all(os.access(place, os.W_OK, effective_ids=_EFFECTIVE) for place in (path, path.parent))


def reading_uri(path: Path, timeout: float = 30.0) -> str:
    """Return the URI by which SQLite reads all committed rows, those of a running writer too, and leaves nothing behind.

    InputError: there is a log beside it which only somebody who may write can fold in.
    """
    if may_write(path):
        if _size(_beside(path, "-journal")):
            _ask(path, "SELECT count(*) FROM sqlite_master", timeout)  # undoes what a killed writer left half done
        return f"{path.as_uri()}?mode=ro"
    if not _is_logged(path):
        return f"{path.as_uri()}?mode=ro"
    log = _beside(path, "-wal")
    if not _size(log):
        return f"{path.as_uri()}?mode=ro&immutable=1"  # nobody writes: a writer has a log
    if not _beside(path, "-shm").exists():
        raise InputError(
            f"`database` must be in a folder that can be written while there is a log beside it, got {str(path)!r}: "
            f"{log.name} holds rows that can only be read after they are folded in; copy both files to such a folder"
        )
    return f"{path.as_uri()}?mode=ro"  # the log of a writer that runs, or was killed, is read as it is


def fold_in(path: Path) -> None:
    """Make the database one file, unless somebody has it open, who does so when closing it. sqlite3.Error: see SQLite."""
    for attempt in range(FOLDING_TRIES):
        time.sleep(random.uniform(0, 0.01) * attempt)
        try:
            _ask(path, "PRAGMA journal_mode = DELETE", timeout=0)
            return
        except sqlite3.OperationalError as error:
            if code_of(error) not in _IN_USE:
                raise


def _ask(path: Path, sql: str, timeout: float) -> None:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=timeout, isolation_level=None)
    with closing(connection):
        connection.execute(sql).fetchone()


def _is_logged(path: Path) -> bool:
    """Whether the header asks for a write-ahead log, read without SQLite, which would make one.

    Closing a file gives back the locks of this process on it: this is for files that it cannot write.
    """
    with path.open("rb") as file:
        return file.read(HEADER_OFFSET + 1)[HEADER_OFFSET:] == bytes([WRITE_AHEAD])


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


_EFFECTIVE = os.access in os.supports_effective_ids
