"""The reader of tables of trained architectures, which names every bad row and goes on with the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nasjac.foundation.csv_text import Spoiled, csv_records
from nasjac.foundation.errors import InputError
from nasjac.tables.cells import Number, listed, number, printable
from nasjac.tables.header import Header, header_of
from nasjac.tables.row import Wrong, architecture_of, failure_of, marks_of
from nasjac.tables.space import TableSpace
from nasjac.tables.table import Entry, Problem, Table, of_seeds
from nasjac.tables.units import Draft, in_one_unit

#: rows that are read, at most
MOST = 1_000_000
#: bad rows that the error names where all are bad
NAMED = 3


def read_table(path: str | Path, space: TableSpace, target: str | None = None) -> Table:
    """Read a CSV file (.gz too) with a header.

    Of further columns these are understood if the space lists them: `kind`, rows of another one are elsewhere; `status`, a
    row that is diverged has no target; `half`, choose or report; TARGET_0 and TARGET_1, what single seeds gave.

    Tables are read as spreadsheet programs write them: spaces around names and cells, empty rows, and empty cells after the
    last column are not part of them. A cell such as 94.37% is 0.9437, if most of its column have the sign, and where most
    do not it is bad, as those without it are in the first case: nobody can tell whether 0.91 beside 94.37% is a share.

    Bad rows become problems, and the others are read: rows that are no CSV, have too few or too many cells, malformed and
    repeated architectures, targets that are not finite numbers; and, of row 1, columns that the space does not know.

    Raises:
        InputError: No such file, no architectures, no target, no row that is not bad.
    """
    if "://" in str(path):
        raise InputError(f"`table` must be a file, got the address {str(path)!r}, which nasjac does not fetch")
    records = csv_records(path, "table")
    names = next(records)
    assert not isinstance(names, Spoiled), "the header is read or refused"
    header = header_of(names, space, target, path)
    reader = _Reader(Table(targets=header.targets, column=space.column), header, space)
    for row, cells in enumerate(records, 2):
        if row > MOST + 1:
            raise InputError(f"`table` must have at most {MOST} rows, got more in {path}")
        reader.read(row, cells)
    table = reader.finished()
    _check_some(table, path)
    return table


def _check_some(table: Table, path: str | Path) -> None:
    if not table.rows:
        raise InputError(f"`table` must have rows below its header, got none in {path}")
    bad = table.left_out()
    if len(bad) == table.rows:
        named = "; ".join(f"row {one.row}, {listed([one.column])}: {printable(one.reason, 120)}" for one in bad[:NAMED])
        rest = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise InputError(f"`table` must have a row that can be used, got {len(bad)} bad ones in {path}: {named}{rest}")


@dataclass
class _Reader:
    """A table under construction."""

    table: Table
    header: Header
    space: TableSpace
    drafts: list[Draft] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=dict)

    def read(self, row: int, record: list[str] | Spoiled) -> None:
        """Take in one row: as a draft of an entry, as a problem, or as one of another space."""
        if not isinstance(record, Spoiled) and not any(cell.strip() for cell in record):
            return
        self.table.rows += 1
        try:
            if isinstance(record, Spoiled):
                raise Wrong(self.space.column, f"no CSV: {record.reason}", "no CSV")
            draft = self._draft(row, self._cells(record))
        except Wrong as wrong:
            self.table.problems.append(Problem(row, wrong.column, printable(wrong.reason), wrong.rule))
            return
        if draft is None:
            self.table.elsewhere.append(row)
        else:
            self.drafts.append(draft)

    def finished(self) -> Table:
        """The table, with every column of numbers in one unit."""
        self.table.problems.extend(self.header.problems(self.space))
        entries, problems = in_one_unit(self.drafts)
        self.table.entries.extend(entries)
        self.table.problems.extend(problems)
        self.table.problems.sort(key=lambda problem: problem.row)
        return self.table

    def _cells(self, record: Sequence[str]) -> dict[str, str]:
        cells = self.header.named(record)
        if cells is None:
            got = f"{len(record)} cells for {self.header.width} columns"
            raise Wrong(self.space.column, got, "another number of cells than columns")
        return cells

    def _draft(self, row: int, cells: Mapping[str, str]) -> Draft | None:
        """None: of another space."""
        space = self.space
        marks = marks_of(cells, space)
        architecture = architecture_of(cells[space.column], marks, space)
        if architecture is None:
            return None
        name = architecture.to_json()
        if name in self.first:
            raise Wrong(space.column, f"the architecture of row {self.first[name]} again", "an architecture again")
        failure = failure_of(cells, marks, space)
        self.first[name] = row
        numbers = self._numbers(row, cells) if failure is None else {}
        return Entry(row, architecture, {}, marks.get("half"), failure), numbers

    def _numbers(self, row: int, cells: Mapping[str, str]) -> dict[str, Number]:
        """The targets, and what single seeds gave, which may be left empty."""
        seeds = [name for target in self.table.targets for name in of_seeds(target)]
        single = [name for name in seeds if name in self.space.others and cells.get(name)]
        numbers = {}
        for name in dict.fromkeys([*self.table.targets, *single]):
            try:
                numbers[name] = number(cells[name])
            except InputError as error:
                self.table.problems.append(Problem(row, name, printable(str(error)), "not a finite number"))
        return numbers
