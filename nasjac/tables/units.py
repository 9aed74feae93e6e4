"""Columns of numbers in one unit: percentages where most of the cells have the sign %."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from nasjac.tables.cells import Number
from nasjac.tables.table import Entry, Problem

#: an entry without targets, and its numbers as their cells have them
Draft = tuple[Entry, dict[str, Number]]


def in_one_unit(drafts: Sequence[Draft]) -> tuple[list[Entry], list[Problem]]:
    """Return the entries of a table, in the unit of most cells of a column, and a problem for each cell in the other unit.

    Where as many cells have the sign % as not, those without it are kept.
    """
    units = Counter((name, found.is_percent) for _, numbers in drafts for name, found in numbers.items())
    percent = {name for name, is_percent in units if units[name, True] > units[name, False]}
    entries, problems = [], []
    for entry, numbers in drafts:
        alike = {name: found for name, found in numbers.items() if found.is_percent == (name in percent)}
        entries.append(replace(entry, targets={name: found.as_share for name, found in alike.items()}))
        for name in (name for name in numbers if name not in alike):
            found = numbers[name]
            most = "with %, which most of the column are without"
            got = most if found.is_percent else "without %, which most of the column have"
            problems.append(Problem(entry.row, name, f"a number {got}: {found.value:g}", "a number of another unit"))
    return entries, problems
