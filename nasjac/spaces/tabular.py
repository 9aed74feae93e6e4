"""Tables of trained architectures: what their spaces say of themselves, and the reader that names every bad row."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from nasjac.networks.draws import Draws
from nasjac.networks.tabular import Pullbacks


class Architecture(Protocol):
    """A frozen dataclass; `key` is that of the function it computes, 12 hexadecimal digits."""

    @property
    def key(self) -> str: ...

    def to_json(self) -> str: ...


class TableSpace(Protocol):
    """The architectures of a published table.

    `column` holds the architecture, `targets` what training gave (the first one unless another is asked for), `others`
    are further columns that the table has.
    """

    @property
    def name(self) -> str: ...

    column: ClassVar[str]
    targets: ClassVar[tuple[str, ...]]
    others: ClassVar[tuple[str, ...]]

    def parse(self, text: str) -> Any:
        """The architecture of a cell of `column`. ValueError: malformed."""

    def facts(self, architecture: Any) -> Mapping[str, float]:
        """params, flops (a multiply-add is two), depth, width and skip_count of the trained network."""


class SampledSpace(TableSpace, Protocol):
    """One whose networks nasjac builds, of images of `shape` [C, H, W]: scores run their passes on it."""

    shape: ClassVar[tuple[int, int, int]]

    def live_params(self, architecture: Any) -> int:
        """Parameters of the trained network with a non-zero Jacobian."""

    def live_flops(self, architecture: Any) -> int:
        """FLOPs of the trained network on paths from input to output."""

    def random(self, count: int, seed: int) -> list[Any]:
        """Architectures drawn uniformly."""

    def network(self, architecture: Any, draws: Draws) -> nn.Module:
        """The trained network before training, images [B, 3, H, W] to logits."""

    def pullbacks(
        self, architectures: Sequence[Any], images: Tensor, draws: Draws, channels: int, norms: bool
    ) -> Pullbacks:
        """Of small networks of the same architectures with shared weights, BatchNorm in training mode; h_0 is behind the
        stem, h_L before what the readout sees.
        """


@dataclass(frozen=True)
class Problem:
    """What is wrong with a row (the header is row 1)."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """A row whose architecture is sound, with those of its targets that are numbers."""

    row: int
    architecture: Any
    targets: Mapping[str, float]


@dataclass(frozen=True)
class Table:
    """A table as read; every row that is not among `entries` has a problem."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    targets: tuple[str, ...] = ()


def read_table(path: str | Path, space: TableSpace, target: str | None = None) -> Table:
    """Read a CSV file (.gz too) with a header.

    Bad rows become problems: malformed and repeated architectures, targets that are not finite numbers, too few or too many
    cells; and, of row 1, columns that the space does not know. ValueError: no such file, no architectures, no target.
    """
    path = Path(path)
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
            rows = list(csv.reader(lines))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"`table` must be a CSV file, got {path}: {error}") from error
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


def _targets(header: Sequence[str], space: TableSpace, target: str | None, path: Path) -> tuple[str, ...]:
    """The targets that the table has, the one asked for first."""
    if twice := {name for name in header if header.count(name) > 1}:
        raise ValueError(f"`table` must have different names of columns, got {min(twice)} twice in {path}")
    if space.column not in header:
        raise ValueError(f"`table` must have a column {space.column} for {space.name}, got {', '.join(header)} in {path}")
    there = [name for name in space.targets if name in header]
    if target is not None and target not in header:
        raise ValueError(f"`target` must be a column of the table, one of {', '.join(header)}, got {target!r}")
    if target is None and not there:
        raise ValueError(f"`table` must have one of {', '.join(space.targets)}, or `target` name a column, in {path}")
    return tuple(dict.fromkeys([*([target] if target else []), *there]))


def _read_row(
    table: Table, number: int, row: Sequence[str], header: Sequence[str], space: TableSpace, first: dict[str, int]
) -> None:
    def problem(column: str, reason: str) -> None:
        table.problems.append(Problem(number, column, reason))

    if len(row) != len(header):
        return problem(space.column, f"{len(row)} cells for {len(header)} columns")
    cells = dict(zip(header, row, strict=True))
    try:
        architecture = space.parse(cells[space.column])
    except ValueError as error:
        return problem(space.column, str(error))
    name = architecture.to_json()
    if name in first:
        return problem(space.column, f"the architecture of row {first[name]} again")
    first[name] = number
    values = {}
    for target in table.targets:
        try:
            value = float(cells[target])
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            values[target] = value
        else:
            problem(target, f"not a finite number: {cells[target]!r}")
    table.entries.append(Entry(number, architecture, values))
