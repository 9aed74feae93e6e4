"""Where a database lies: reading it without writing, and leaving it as one file.

A database that is being written has a write-ahead log beside it (`-wal`, and `-shm` for the processes that share it), so
that readers and writers do not wait for one another. A database that nobody has open is one file without a log, which can
be copied alone and read where nothing can be written.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import check_file
from nasjac.store.boundary import code_of

LOGS = ("-wal", "-shm", "-journal")  # what SQLite puts beside a database while it is written
WRITE_AHEAD = 2  # the byte of the header, at this offset, that says a database is written by way of a write-ahead log
HEADER_OFFSET = 18
FOLDING_TRIES = 3  # two processes that close at once refuse each other, and one of them has to try again

NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "sshfs", "glusterfs", "ceph", "lustre", "gpfs", "afs", "beegfs")
MOUNTS = Path("/proc/mounts")  # the table of mounts, on Linux

_IN_USE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def check_files(path: Path) -> None:
    """Raise InputError where the database or what lies beside it is no file: SQLite would open a named pipe and wait."""
    if path.exists():
        check_file(path, "database")
    for suffix in LOGS:
        log = beside(path, suffix)
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
        if _size(beside(path, "-journal")):
            _ask(path, "SELECT count(*) FROM sqlite_master", timeout)  # undoes what a killed writer left half done
        return f"{path.as_uri()}?mode=ro"
    if not _is_logged(path):
        return f"{path.as_uri()}?mode=ro"
    log = beside(path, "-wal")
    if not _size(log):
        return f"{path.as_uri()}?mode=ro&immutable=1"  # nobody writes: a writer has a log
    if not beside(path, "-shm").exists():
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


def beside(path: Path, suffix: str) -> Path:
    """Return the path of what SQLite puts beside a database."""
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def network_file_system(path: Path, mounts: str) -> str | None:
    """Return the type of the network file system that `path` lies on by a table of mounts; None: a local one."""
    point, kind = Path(), ""
    for line in mounts.splitlines():
        _, escaped, mounted, *_ = line.split(" ")
        candidate = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped))
        if path.is_relative_to(candidate) and len(candidate.parts) >= len(point.parts):  # a later mount covers
            point, kind = candidate, mounted
    family = kind.removeprefix("fuse.")
    return kind if family.startswith(NETWORK_FILE_SYSTEMS) else None


_EFFECTIVE = os.access in os.supports_effective_ids
