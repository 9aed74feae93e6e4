"""What all parts of the Store do with its tables: reading checked rows, asking, and writing in transactions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from nasjac.foundation.errors import InputError
from nasjac.store.columns import Content, Row, of_row
from nasjac.store.database import Table, begin, connect, path_of
from nasjac.store.select import select
from nasjac.store.typed import checked

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R", bound=Row)

#: SQL: the value is one of the list in JSON :keys, or there is no such list; a list of any length is one parameter
AMONG = "(:keys IS NULL OR {} IN (SELECT value FROM json_each(:keys)))"


#: what is recorded outside a run says of whose it is
NO_RUN: Content = {"run_id": None, "fingerprint": None}


class Tables:
    """An open database and its tables."""

    def __init__(self, url: str | Path = "nasjac.db", read_only: bool = False, *, trust: bool = False):
        self.path, self.trust = path_of(url), trust
        self._connection = connect(self.path, read_only, trust)
        self._origin = NO_RUN

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. The last to close it folds the write-ahead log in, so that it is one file."""
        self._connection.close()

    def select(self, sql: str, values: Mapping[str, Any] | None = None) -> Table:
        """Return column names and rows of one SELECT. See `nasjac.store.select.select`, also for the errors."""
        return select(self._connection, sql, values or {})

    def rows(self, relation: str, sql: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return what a SELECT of nasjac's own gives of the columns of one table or view, JSON as what it says.

        Columns go by their names there. InputError: a value that is not of its column's type.
        """
        found = self._connection.execute(sql, values or {})
        names = [entry[0] for entry in found.description]
        return [dict(zip(names, row, strict=True)) for row in checked(self.path, relation, names, found.fetchall())]

    def query(self, sql: str, /, **values: Any) -> pd.DataFrame:
        """Return what one SELECT gives; :x in it takes the value x. InputError: malformed, or anything but reading."""
        import pandas as pd  # late: half a second that `nasjac query` need not wait

        if not isinstance(sql, str):
            raise InputError(f"`sql` must be the text of one SELECT, got {sql!r}")
        table = self.select(sql, values)
        return pd.DataFrame.from_records(table.rows, columns=list(table.columns), coerce_float=True)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Everything inside is stored, or nothing. One inside another is a part of it."""
        if self._connection.in_transaction:
            yield
            return
        try:
            begin(self._connection)
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _insert(self, rows: Sequence[Row], how: str = "INSERT", then: str = "") -> None:
        if rows:
            self._insert_into(rows[0].table, [of_row(row) for row in rows], how, then)

    def _insert_into(self, table: str, content: Sequence[Content], how: str = "INSERT", then: str = "") -> None:
        if content:
            names, marks = ", ".join(content[0]), ", ".join("?" * len(content[0]))
            sql = f"{how} INTO {table} ({names}) VALUES ({marks}) {then}"
            self._connection.executemany(sql, [tuple(row.values()) for row in content])

    def _read(self, kind: type[R], condition: str, **values: Any) -> list[R]:
        """Return the rows of a table that meet the condition."""
        return [kind(*row) for row in self._checked(kind.table, [item.name for item in fields(kind)], condition, **values)]

    def _checked(self, table: str, names: Sequence[str], condition: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return those columns of the rows that meet the condition, each value of its column's type."""
        found = self._connection.execute(f"SELECT {', '.join(names)} FROM {table} WHERE {condition}", values)
        return checked(self.path, table, names, found.fetchall())


def now() -> str:
    """Return the time in UTC, by ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def listed(keys: Collection[str] | None) -> str | None:
    """Return keys as the parameter :keys of AMONG."""
    return None if keys is None else json.dumps(list(keys))
