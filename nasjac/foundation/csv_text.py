"""Text of CSV files as spreadsheet programs write them, read as rows of cells."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import check_file

#: what a file begins with that is not text in UTF-8
STARTS = {
    b"\xff\xfe": "UTF-16 (or UTF-32); save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"PK\x03\x04": "an archive or a spreadsheet program's own format; save it as CSV",
}
#: separators other than the comma, by their names
SEPARATORS = {";": "semicolons", "\t": "tabs"}
#: what Python says of a row that is no CSV, where its words do not say what is wrong
REASONS = {"unexpected end of data": "a quotation mark that nothing closes"}
#: characters of a line that is still read: the whole line is in memory
LONGEST_LINE = 2**24


class Spoiled(NamedTuple):
    """A row that is no CSV: why. What follows it is read on."""

    reason: str


def csv_rows(path: str | Path, name: str) -> Iterator[list[str]]:
    """Yield the rows of a CSV file as lists of cells: the header first, a blank line as an empty list.

    The file is UTF-8, with a byte-order mark or without, and compressed if its name ends in .gz. Spaces around the names in
    the header are not part of them. What the rows hold is not looked at: they may have too many or too few cells.

    Args:
        path: The file.
        name: The option that gave it, for the errors.

    Raises:
        InputError: There is no such file; it is no regular file, damaged, empty, not UTF-8, or not separated by commas.
    """
    for number, row in enumerate(csv_records(path, name), 1):
        if isinstance(row, Spoiled):
            raise InputError(f"`{name}` must be CSV text in UTF-8, got row {number} of {path}: {row.reason}")
        yield row


def csv_records(path: str | Path, name: str) -> Iterator[list[str] | Spoiled]:
    """Yield the rows of a CSV file as `csv_rows` does, but one that is no CSV as `Spoiled` instead of stopping there.

    A row that breaks the rules of CSV costs its first line alone: reading goes on with the line after it, so that a
    quotation mark which nobody closes does not swallow the rest of the file.

    Raises:
        InputError: As of `csv_rows`, where the file as a whole or its header cannot be read.
    """
    checked = check_file(path, name)
    try:
        with gzip.open(checked) if checked.suffix == ".gz" else checked.open("rb") as file:
            for start, kind in STARTS.items():
                if file.peek(len(start)).startswith(start):
                    raise InputError(f"`{name}` must be CSV text in UTF-8, got {path}, which is {kind}")
            with io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
                yield from _records(_Lines(text, path, name))
    except (OSError, EOFError, zlib.error) as error:  # the last two: a compressed file that is cut or damaged
        raise InputError(f"`{name}` must be a CSV file that can be read, got {path}: {error}") from error


def _records(lines: _Lines) -> Iterator[list[str] | Spoiled]:
    path, name = lines.path, lines.name
    read = _record(lines, skips_spaces=True)
    if isinstance(read, Spoiled):
        raise InputError(f"`{name}` must be CSV text in UTF-8, got row 1 of {path}: {read.reason}")
    first, header = "".join(lines.record), [cell.strip() for cell in read or []]
    if wrong := [kind for mark, kind in SEPARATORS.items() if _cells(first, mark) > len(header)]:
        raise InputError(f"`{name}` must be separated by commas, got {wrong[0]} in {path}")
    if not any(header):
        raise InputError(f"`{name}` must have a header with the names of its columns in line 1, got none in {path}")
    yield header
    while (record := _record(lines)) is not None:
        yield record


def _record(lines: _Lines, skips_spaces: bool = False) -> list[str] | Spoiled | None:
    """The next row; None at the end."""
    lines.record = []
    try:
        row = next(csv.reader(lines, skipinitialspace=skips_spaces, strict=True), None)
    except csv.Error as error:
        reason = _spoiled(lines.record[0]) or REASONS.get(str(error), str(error))
        lines.rewind(keep=1)
        return Spoiled(reason)
    reasons = [found for line in lines.record if (found := _spoiled(line))]
    return Spoiled(reasons[0]) if reasons else row


def _spoiled(line: str) -> str | None:
    """Why a line is no text, as it was decoded with surrogates for bytes that are not UTF-8; None if it is."""
    if "\0" in line:
        return "a null character (UTF-16 has them)"
    escaped = next((char for char in line if "\udc80" <= char <= "\udcff"), None) if not line.isascii() else None
    return None if escaped is None else f"a byte 0x{ord(escaped) - 0xDC00:02x} that is not UTF-8"


class _Lines(Iterator[str]):
    """Lines of a bounded length, of which those of the row at hand can be read again."""

    def __init__(self, text: io.TextIOWrapper, path: str | Path, name: str) -> None:
        self.text, self.path, self.name = text, path, name
        self.again: deque[str] = deque()
        self.record: list[str] = []

    def __next__(self) -> str:
        line = self.again.popleft() if self.again else self.text.readline(LONGEST_LINE + 1)
        if not line:
            raise StopIteration
        if len(line) > LONGEST_LINE:
            rule = f"have lines of at most {LONGEST_LINE} characters"
            raise InputError(f"`{self.name}` must {rule}, got a longer one in {self.path}")
        self.record.append(line)
        return line

    def rewind(self, keep: int = 0) -> None:
        """Give the lines of the row at hand again, but for the first ones."""
        self.again.extendleft(reversed(self.record[keep:]))


def _cells(line: str, separator: str) -> int:
    """How many cells a line, read before without an error, has under a separator."""
    try:
        return len(next(csv.reader([line], delimiter=separator, skipinitialspace=True), []))
    except csv.Error:  # a cell under this separator is too long to be one
        return 0
