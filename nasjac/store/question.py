"""A question to a results database and to CSV files, and its answer row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nasjac.foundation.reading import parse_json
from nasjac.store.database import check_known, path_of
from nasjac.store.files import opened
from nasjac.store.leaderboard import Leaderboard, check_of_initialization
from nasjac.store.select import Stream, select, stream
from nasjac.store.time_limit import TimeLimit


@contextmanager
def answered(
    question: str | Leaderboard, database: str | Path, files: Mapping[str, str], limit: TimeLimit, trust: bool = False
) -> Iterator[Stream]:
    """Give what the database says to a question, row by row, for as long as the block lasts.

    Args:
        question: A SELECT, or what the leaderboard is asked.
        database: The database; beside files it need not be there.
        files: CSV files by the names of their tables.
        limit: How long SQLite may work on the answer.
        trust: Whether its tables, views and triggers may be other ones than nasjac makes.

    Yields:
        The columns and the rows.

    Raises:
        InputError: See `Leaderboard.select`, `nasjac.store.files.opened` and `nasjac.store.select.stream`; the study is not
            there.
    """
    board = question if isinstance(question, Leaderboard) else None
    sql, values = (question, {}) if isinstance(question, str) else question.select()
    study, where = (board.study, board.where) if board else (None, None)
    with opened(files, path_of(database), trust=trust) as connection:
        if study is not None:
            studies = dict(select(connection, "SELECT name, identity FROM study ORDER BY rowid", {}, "study").rows)
            check_known("study", study, studies)
            check_of_initialization(study, parse_json(str(studies[study]), f"identity of {study!r}"))
        with stream(connection, sql, values, "sql" if where is None else "where", where, limit) as found:
            yield found
