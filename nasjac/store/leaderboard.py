"""The SELECT that the options of `nasjac query` stand for, and the studies that have no leaderboard."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasjac.foundation.errors import InputError
from nasjac.store.database import nearest
from nasjac.store.expression import check_expression
from nasjac.store.schema import column_names

MOST_ROWS = 2**63 - 1  # the largest integer of SQLite
#: the part of a study's identity that says that it searched around a checkpoint, and the name of the measurements
AROUND = "checkpoint"


@dataclass(frozen=True)
class Leaderboard:
    """A question to the leaderboard.

    `columns`    None is all of them
    `study`      None is every study
    `where`      one SQL expression over the columns
    `sort`       a column; NULL sorts last either way, ties by study and number
    `descending` the largest first
    `limit`      of rows; None is none
    """

    columns: Sequence[str] | None = None
    study: str | None = None
    where: str | None = None
    sort: str = "trainability_cost"
    descending: bool = False
    limit: int | None = None

    def select(self) -> tuple[str, Mapping[str, Any]]:
        """Return the SELECT and its parameters.

        Raises:
            InputError: A column is not there, `where` is not one expression, or `limit` is not a number of rows.
        """
        columns = column_names()["leaderboard"] if self.columns is None else self.columns
        _check_columns(columns)
        _check_sort(self.sort)
        if self.limit is not None and not 1 <= self.limit <= MOST_ROWS:
            raise InputError(f"`limit` must be at least 1 and at most {MOST_ROWS}, got {self.limit}")
        conditions = ["study = :study"] if self.study is not None else []
        if self.where is not None:
            if not self.where.strip():
                raise InputError("`where` must be a condition, got an empty text")
            check_expression("where", self.where)
            # nothing binds less than OR, so that what follows it is one expression and no SELECT of its own; on its own
            # line, for it may end in a comment
            conditions.append(f"(false OR\n{self.where}\n)")
        order = f"{self.sort} {'DESC' if self.descending else 'ASC'} NULLS LAST, study, number"
        sql = f"SELECT {', '.join(columns)} FROM leaderboard WHERE {' AND '.join(conditions) or 'true'} ORDER BY {order}"
        return f"{sql} LIMIT :limit", {"study": self.study, "limit": -1 if self.limit is None else self.limit}


def _check_columns(columns: Sequence[str]) -> None:
    for column in columns:
        words = column.split()
        separated = len(words) > 1 and all(word in column_names()["leaderboard"] for word in words)
        _check("columns", column, f"; commas separate columns: --columns {','.join(words)}" if separated else "")


def _check_sort(column: str) -> None:
    found = re.fullmatch(r"(\w+)\s+(asc|desc|ascending|descending)", column.strip(), re.IGNORECASE)
    if found is None:
        _check("sort", column, "")
    elif found[2].lower().startswith("desc"):
        _check("sort", column, f"; the largest first are --sort {found[1]} --descending")
    else:
        _check("sort", column, f"; the smallest are first without a word: --sort {found[1]}")


def _check(option: str, column: str, hint: str) -> None:
    there = column_names()["leaderboard"]
    if column not in there:
        hint = hint or f"{nearest(column, there)}; `nasjac query --schema` lists all"
        raise InputError(f"`{option}` must be a column of the leaderboard, got {column!r}{hint}")


def check_of_initialization(study: str, identity: Any) -> None:
    """Refuse a study around a checkpoint where architectures without weights are meant.

    Args:
        study: Its name.
        identity: What the database says of its identity.

    Raises:
        InputError: It is one; the error says where its results are.
    """
    if isinstance(identity, dict) and AROUND in identity:
        rule = "be of architectures at initialization, which alone have a leaderboard, a validation and a report"
        out = f"its results are beside its checkpoint, and its trials in SELECT * FROM trial WHERE study = '{study}'"
        raise InputError(f"`study` must {rule}, got {study!r}, a search around a checkpoint: {out}")
