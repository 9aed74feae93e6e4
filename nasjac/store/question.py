"""A question to a results database and to CSV files, and its answer row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasjac.store.database import check_known, path_of
from nasjac.store.files import opened
from nasjac.store.leaderboard import leaderboard_sql
from nasjac.store.select import Stream, select, stream
from nasjac.store.time_limit import TimeLimit


@dataclass(frozen=True)
class Question:
    """What is asked: a SELECT, or, where `sql` is None, the leaderboard by the other options (`leaderboard_sql`)."""

    sql: str | None = None
    columns: Sequence[str] | None = None
    study: str | None = None
    where: str | None = None
    sort: str = "trainability_cost"
    descending: bool = False
    limit: int | None = None

    def select(self) -> tuple[str, Mapping[str, Any]]:
        """Return the SELECT and its parameters."""
        if self.sql is not None:
            return self.sql, {}
        return leaderboard_sql(self.columns, self.study, self.where, self.sort, self.descending, self.limit)


@contextmanager
def answered(
    question: Question, database: str | Path, files: Mapping[str, str], limit: TimeLimit, trust: bool = False
) -> Iterator[Stream]:
    """Give what the database says to a question, row by row, for as long as the block lasts.

    Args:
        question: What is asked.
        database: The database; beside files it need not be there.
        files: CSV files by the names of their tables.
        limit: How long SQLite may work on the answer.
        trust: Whether its tables, views and triggers may be other ones than nasjac makes.

    Yields:
        The columns and the rows.

    Raises:
        InputError: See `leaderboard_sql`, `nasjac.store.files.opened` and `nasjac.store.select.stream`; the study is not
            there.
    """
    sql, values = question.select()
    name = "sql" if question.where is None else "where"
    with opened(files, path_of(database), trust=trust) as connection:
        if question.study is not None:
            studies = select(connection, "SELECT name FROM study ORDER BY rowid", {}, "study").rows
            check_known("study", question.study, [study for (study,) in studies])
        with stream(connection, sql, values, name, question.where, limit) as found:
            yield found
