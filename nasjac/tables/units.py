"""Columns of numbers in one unit: per cent, where most of the cells have the sign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nasjac.tables.table import Draft, Entry, Problem


def in_one_unit(drafts: Sequence[Draft]) -> tuple[list[Entry], list[Problem]]:
    """Return the entries of a table, their numbers in the unit that most of a column have, and what is in another one.

    Of as many with the sign as without, those without are right.
    """
    units = Counter((name, found.is_percent) for draft in drafts for name, found in draft.numbers.items())
    percent = {name for name, is_percent in units if units[name, True] > units[name, False]}
    entries, problems = [], []
    for draft in drafts:
        numbers = {}
        for name, found in draft.numbers.items():
            if found.is_percent == (name in percent):
                numbers[name] = found.as_share
                continue
            got = (
                "with %, which most of the column are without"
                if found.is_percent
                else "without %, which most of the column have"
            )
            problems.append(Problem(draft.row, name, f"a number {got}: {found.value:g}", "a number of another unit"))
        entries.append(Entry(draft.row, draft.architecture, numbers, draft.half, draft.failure))
    return entries, problems
