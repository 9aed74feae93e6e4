"""Opening the results database: whose file it is, where it lies, and reading it without writing."""

from __future__ import annotations

import difflib
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from nasjac.foundation.errors import InputError
from nasjac.store.connection import Connection, opened
from nasjac.store.genuine import check_schema
from nasjac.store.place import MOUNTS, network_file_system
from nasjac.store.schema import APPLICATION_ID, SCHEMA_VERSION, migrate

BUSY_SECONDS = 30.0  # how long a writer waits for another


class Table(NamedTuple):
    """Column names and rows, as a SELECT gives them."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        """Return a dict for each row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def path_of(url: str | Path) -> Path:
    """Return the absolute path of a database given as a path or as sqlite:///path (sqlite:////path if absolute)."""
    text = str(url).removeprefix("sqlite:///")
    if not isinstance(url, str | Path) or not text or text.startswith(":") or "://" in text or "\0" in text:
        raise InputError(f"`database` must be the path of a file, or sqlite:///path, got {str(url)!r}")
    try:
        return Path(text).expanduser().resolve()
    except (RuntimeError, OSError) as error:  # no such user's home; links that point to one another
        raise InputError(f"`database` must be a path that leads somewhere, got {str(url)!r}: {error}") from error


def connect(path: Path, read_only: bool = False, trust: bool = False) -> Connection:
    """Return a connection in autocommit mode to the database, which is made or migrated if need be, unless read_only.

    Closing it leaves the database as one file, where nobody else has it open and it may be written. Reading writes nothing,
    and works where nothing can be written.

    `trust` takes a database whose tables, views or triggers are not those that nasjac makes.

    InputError: on a network file system; another program's file; of a newer schema; tables, views or triggers that nasjac
    does not make; it cannot be opened or written.
    """
    if MOUNTS.exists() and (kind := network_file_system(path, MOUNTS.read_text(errors="surrogateescape"))):
        raise InputError(
            f"`database` must be on a local disk, got {str(path)!r} on {kind}: its write-ahead log needs memory shared "
            "between the processes of one host"
        )
    if read_only and not path.exists():
        raise InputError(f"`database` must be a file that exists, got {str(path)!r}; `nasjac search` makes one")
    if not path.parent.is_dir():
        raise InputError(f"`database` must be in a folder that exists, got {str(path)!r}")
    try:
        connection = opened(path, read_only, BUSY_SECONDS)
        try:
            _check_whose(connection, path, read_only)
            check_schema(connection, path, read_only, trust)
            connection.is_ours = True
            if not read_only:
                _prepare(connection)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite's own message may hold the file's bytes
        wanted = "read" if read_only else "written"
        raise InputError(
            f"`database` must be a nasjac database that can be {wanted}, got {str(path)!r}: {error}"
        ) from error
    return connection


def check_known(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise InputError with the choices, and the nearest of them, unless `value` is one of them."""
    choices, is_text = list(choices), isinstance(value, str)
    if not is_text or value not in choices:
        rule = f"one of {', '.join(choices)}" if choices else "one that is there (there is none yet)"
        raise InputError(f"`{name}` must be {rule}, got {value!r}{nearest(value, choices) if is_text else ''}")


def _check_whose(connection: sqlite3.Connection, path: Path, read_only: bool) -> None:
    connection.execute("BEGIN")  # one snapshot: another process may be making the file
    application_id, version, tables = (
        connection.execute(sql).fetchone()[0]
        for sql in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    connection.execute("COMMIT")
    fresh = application_id == 0 and version == 0 and tables == 0
    if application_id != APPLICATION_ID and (read_only or not fresh):
        holds = "an empty file" if fresh else "another program's database"
        raise InputError(f"`database` must be a nasjac database, got {str(path)!r}, {holds}")
    if version > SCHEMA_VERSION:
        raise InputError(
            f"`database` must have schema version {SCHEMA_VERSION} at most, got {str(path)!r} of version {version}, "
            "which a newer nasjac wrote"
        )
    if read_only and version < SCHEMA_VERSION:
        raise InputError(
            f"`database` must have schema version {SCHEMA_VERSION} to be read, got {str(path)!r} of version {version}; "
            "opening it for writing (nasjac.Store) migrates it"
        )


def begin(connection: Connection) -> None:
    """Begin a transaction that writes. The first one makes the write-ahead log: what is not written stays as it was.

    At once: a reader that becomes a writer is not made to wait.
    """
    if not (connection.read_only or connection.is_logged):
        _use_write_ahead_log(connection)
        connection.is_logged = True
    connection.execute("BEGIN IMMEDIATE")


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")  # a stored batch survives a power cut too
    connection.execute("PRAGMA wal_autocheckpoint = 8192")  # pages, 32 MB: a checkpoint waits for the disk
    connection.execute("PRAGMA foreign_keys = ON")
    migrate(connection)  # takes the write lock even with nothing to do: a file that cannot be written fails here


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Tried until BUSY_SECONDS: when two processes switch a new file at once, SQLite refuses both without waiting."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise sqlite3.OperationalError("its file system has no shared memory for a write-ahead log")
        return


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return the choice that somebody may have meant, as the end of a sentence, or nothing."""
    near = difflib.get_close_matches(value, list(choices), n=1)
    return f"; did you mean {near[0]}?" if near else ""
