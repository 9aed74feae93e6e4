"""The header of a table of trained architectures: which columns are there, and which are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nasjac.foundation.errors import InputError
from nasjac.tables.cells import listed, printable
from nasjac.tables.space import TableSpace
from nasjac.tables.table import Problem, of_seeds


@dataclass
class Header:
    """The names of a table's columns, some of which may be empty, and the targets, the one asked for first."""

    names: Sequence[str]
    targets: tuple[str, ...]
    #: columns without a name that hold something, by number
    nameless: set[int] = field(default_factory=set)

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.names)

    def named(self, record: Sequence[str]) -> dict[str, str] | None:
        """The cells of a row by the names of their columns; None if there are too few or too many of them."""
        cells = [cell.strip() for cell in record]
        while len(cells) > self.width and not cells[-1]:
            cells.pop()
        least = max(place for place, name in enumerate(self.names, 1) if name)
        if not least <= len(cells) <= self.width:
            return None
        self.nameless |= {place for place, cell in enumerate(cells, 1) if cell and not self.names[place - 1]}
        return {name: cell for name, cell in zip(self.names, cells, strict=False) if name}

    def problems(self, space: TableSpace) -> Iterator[Problem]:
        """Columns that are not read."""
        seeds = {name for target in self.targets for name in of_seeds(target)} & {*space.others}
        known = {space.column, *space.targets, *space.others, *self.targets, *seeds}
        choices = ", ".join([space.column, *space.targets, *space.others])
        for name in (name for name in self.names if name and name not in known):
            yield Problem(1, printable(name), f"unknown column; {space.name} knows {choices}", "unknown column")
        for place in sorted(self.nameless):
            yield Problem(1, f"column {place}", "it has no name, and is not read", "unknown column")


def header_of(names: Sequence[str], space: TableSpace, target: str | None, path: str | Path) -> Header:
    """The header of a table. InputError: a name twice, no architectures, no target."""
    there = [name for name in names if name]
    if twice := {name for name in there if there.count(name) > 1}:
        raise InputError(f"`table` must have different names of columns, got {listed([min(twice)])} twice in {path}")
    if space.column not in there:
        rule = f"a column {space.column} for {space.name}"
        raise InputError(f"`table` must have {rule}, got {listed(there)} in {path}")
    known = [name for name in space.targets if name in there]
    if target is not None and target not in there:
        raise InputError(f"`target` must be a column of the table, one of {listed(there)}, got {target!r}")
    if target is None and not known:
        got = f"got {listed(there)} in {path}"
        raise InputError(f"`table` must have one of {', '.join(space.targets)}, or `target` name a column, {got}")
    return Header(names, tuple(dict.fromkeys([*([target] if target else []), *known])))
