"""CSV files as tables that SQL can ask, beside a results database or without one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nasjac.errors import InputError
from nasjac.store.database import connect


@contextmanager
def opened(files: Mapping[str, str | Path], database: Path) -> Iterator[sqlite3.Connection]:
    """A connection in which each CSV file (.gz too) is a table of its name; those of the database too, if that is there.

    Columns of numbers are numbers, empty cells NULL. ValueError: a name that SQL does not take, a file that is no table.
    """
    import pandas as pd  # late: half a second that other questions need not wait

    connection = sqlite3.connect(":memory:", uri=True, isolation_level=None)
    try:
        if database.exists():
            connect(database, read_only=True).close()  # says what is wrong with it
            connection.execute("ATTACH ? AS results", [f"{database.resolve().as_uri()}?mode=ro"])
        for name, path in files.items():
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise InputError(f"`table` must have a name of letters, digits and _, NAME=FILE, got {name!r}")
            try:
                frame = pd.read_csv(path)
            except (OSError, EOFError, ValueError) as error:  # pandas' own errors are ValueErrors
                raise InputError(f"`table` must be a CSV file with a header, got {path}: {error}") from error
            frame.to_sql(name, connection, index=False)
        yield connection
    finally:
        connection.close()
