"""The reader of tables of trained architectures, which names every bad row."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nasjac.errors import InputError
from nasjac.spaces.tabular import Elsewhere, Entry, Problem, Table, TableSpace
from nasjac.spec import KINDS, check_choice

#: columns that are understood, where a space has them: what may stand in them
MARKS = {"kind": tuple(KINDS), "status": ("ok", "diverged"), "half": ("choose", "report")}
#: training seeds that may have columns of their own, as in accuracy_0
SEEDS = (0, 1)


def read_table(path: str | Path, space: TableSpace, target: str | None = None) -> Table:
    """Read a CSV file (.gz too) with a header.

    Of further columns these are understood if the space lists them: `kind`, rows of another one are elsewhere; `status`, a
    row that is diverged has no target; `half`, choose or report; TARGET_0 and TARGET_1, what single seeds gave.

    Bad rows become problems: malformed and repeated architectures, targets that are not finite numbers, too few or too many
    cells; and, of row 1, columns that the space does not know. ValueError: no such file, no architectures, no target.
    """
    path = Path(path)
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
            rows = list(csv.reader(lines))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"`table` must be a CSV file, got {path}: {error}") from error
    header = rows[0] if rows else []
    targets = _targets(header, space, target, path)
    known = {space.column, *space.targets, *space.others, *targets}
    choices = ", ".join([space.column, *space.targets, *space.others])
    table = Table(targets=targets)
    unknown = [name for name in header if name not in known]
    table.problems.extend(Problem(1, name, f"unknown column; {space.name} knows {choices}") for name in unknown)
    first: dict[str, int] = {}
    for number, row in enumerate(rows[1:], 2):
        if row:
            _read_row(table, number, row, header, space, first)
    return table


def of_seeds(target: str) -> tuple[str, ...]:
    """The columns of a target's single seeds."""
    return tuple(f"{target}_{seed}" for seed in SEEDS)


def _targets(header: Sequence[str], space: TableSpace, target: str | None, path: Path) -> tuple[str, ...]:
    """The targets that the table has, the one asked for first."""
    if twice := {name for name in header if header.count(name) > 1}:
        raise InputError(f"`table` must have different names of columns, got {min(twice)} twice in {path}")
    if space.column not in header:
        raise InputError(f"`table` must have a column {space.column} for {space.name}, got {', '.join(header)} in {path}")
    there = [name for name in space.targets if name in header]
    if target is not None and target not in header:
        raise InputError(f"`target` must be a column of the table, one of {', '.join(header)}, got {target!r}")
    if target is None and not there:
        raise InputError(f"`table` must have one of {', '.join(space.targets)}, or `target` name a column, in {path}")
    return tuple(dict.fromkeys([*([target] if target else []), *there]))


class _Wrong(Exception):
    """What is wrong with a row as a whole."""

    def __init__(self, column: str, reason: object) -> None:
        self.column, self.reason = column, str(reason)


def _read_row(
    table: Table, number: int, row: Sequence[str], header: Sequence[str], space: TableSpace, first: dict[str, int]
) -> None:
    try:
        if len(row) != len(header):
            raise _Wrong(space.column, f"{len(row)} cells for {len(header)} columns")
        cells = dict(zip(header, row, strict=True))
        marks = _marks(cells, space)
        architecture = _architecture(cells[space.column], marks, space)
        if architecture is None:
            table.elsewhere.append(number)
            return
        name = architecture.to_json()
        if name in first:
            raise _Wrong(space.column, f"the architecture of row {first[name]} again")
        failure = _failure(cells, marks, space)
    except _Wrong as wrong:
        table.problems.append(Problem(number, wrong.column, wrong.reason))
        return
    first[name] = number
    values = {} if failure else dict(_numbers(cells, table.targets, space))
    bad = [column for column, value in values.items() if not math.isfinite(value)]
    table.problems.extend(Problem(number, column, f"not a finite number: {cells[column]!r}") for column in bad)
    numbers = {column: value for column, value in values.items() if column not in bad}
    table.entries.append(Entry(number, architecture, numbers, marks.get("half"), failure))


def _marks(cells: Mapping[str, str], space: TableSpace) -> dict[str, str]:
    """What a row says in the columns that are understood; of one of another kind no more than that."""
    found: dict[str, str] = {}
    for name in (name for name in MARKS if name in space.others and name in cells):
        try:
            check_choice(name, cells[name], MARKS[name])
        except ValueError as error:
            raise _Wrong(name, error) from error
        found[name] = cells[name]
        if found.get("kind", space.name) != space.name:
            break
    return found


def _architecture(text: str, marks: Mapping[str, str], space: TableSpace) -> Any:
    """None: of another space."""
    if marks.get("kind", space.name) != space.name:
        return None
    try:
        return space.parse(text)
    except Elsewhere as error:
        if "kind" in marks:
            raise _Wrong(space.column, f"{error}, where `kind` is {marks['kind']}") from error
        return None
    except ValueError as error:
        raise _Wrong(space.column, error) from error


def _failure(cells: Mapping[str, str], marks: Mapping[str, str], space: TableSpace) -> str | None:
    if marks.get("status", "ok") == "ok":
        return None
    if figures := [name for name in space.targets if cells.get(name)]:
        raise _Wrong("status", f"{marks['status']}, but {figures[0]} is {cells[figures[0]]!r}")
    return marks["status"]


def _numbers(cells: Mapping[str, str], targets: Sequence[str], space: TableSpace) -> Iterator[tuple[str, float]]:
    """The targets, nan where there is none, and what single seeds gave, which may be left empty."""
    single = [name for target in targets for name in of_seeds(target) if name in space.others and cells.get(name)]
    for name in dict.fromkeys([*targets, *single]):
        try:
            yield name, float(cells[name])
        except ValueError:
            yield name, math.nan
