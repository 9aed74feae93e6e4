"""Columns of the leaderboard that the options of nasjac query name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nasjac.foundation.errors import InputError
from nasjac.store.database import nearest
from nasjac.store.schema import column_names


def check_columns(columns: Sequence[str]) -> None:
    """Raise InputError unless the leaderboard has all of them."""
    for column in columns:
        words = column.split()
        separated = len(words) > 1 and all(word in column_names()["leaderboard"] for word in words)
        _check("columns", column, f"; commas separate columns: --columns {','.join(words)}" if separated else "")


def check_sort(column: str) -> None:
    """Raise InputError unless the leaderboard has it."""
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
