"""Text of CSV files as spreadsheet programs write them, read as rows of cells."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from nasjac.errors import InputError
from nasjac.reading import check_file

#: what a file begins with that is not text in UTF-8
STARTS = {
    b"\xff\xfe": "UTF-16 (or UTF-32); save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"PK\x03\x04": "an archive or a spreadsheet program's own format; save it as CSV",
}
#: separators other than the comma, by their names
SEPARATORS = {";": "semicolons", "\t": "tabs"}


def read_csv_rows(path: str | Path, name: str) -> list[list[str]]:
    """Return every row of a CSV file as `csv_rows` gives them, all at once."""
    return list(csv_rows(path, name))


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
    checked = check_file(path, name)
    try:
        with gzip.open(checked) if checked.suffix == ".gz" else checked.open("rb") as file:
            for start, kind in STARTS.items():
                if file.peek(len(start)).startswith(start):
                    raise InputError(f"`{name}` must be CSV text in UTF-8, got {path}, which is {kind}")
            yield from _rows(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), path, name)
    except (OSError, EOFError, zlib.error) as error:  # the last two: a compressed file that is cut or damaged
        raise InputError(f"`{name}` must be a CSV file that can be read, got {path}: {error}") from error


def _rows(text: io.TextIOWrapper, path: str | Path, name: str) -> Iterator[list[str]]:
    lines = _without_null(text, path, name)
    read = 0  # rows
    try:
        first = next(lines, "")
        commas, others = _cells(first, ","), {kind: _cells(first, mark) for mark, kind in SEPARATORS.items()}
        if wrong := [kind for kind, cells in others.items() if cells > commas]:
            raise InputError(f"`{name}` must be separated by commas, got {wrong[0]} in {path}")
        lines = chain([first], lines)  # a name in the header may be quoted and go on in the next line
        header = [cell.strip() for cell in next(csv.reader(lines, skipinitialspace=True, strict=True), [])]
        if not any(header):
            raise InputError(f"`{name}` must have a header with the names of its columns in line 1, got none in {path}")
        read = 1
        yield header
        for row in csv.reader(lines, strict=True):
            read += 1
            yield row
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(f"`{name}` must be CSV text in UTF-8, got a byte 0x{byte:02x} that is not, in {path}") from error
    except csv.Error as error:
        raise InputError(f"`{name}` must be CSV, got row {read + 1} of {path}: {error}") from error


def _without_null(lines: Iterator[str], path: str | Path, name: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise InputError(
                f"`{name}` must be CSV text in UTF-8, got a null character in line {number} of {path} (UTF-16 has them)"
            )
        yield line


def _cells(line: str, separator: str) -> int:
    """How many cells a line has under a separator."""
    return len(next(csv.reader([line], delimiter=separator, skipinitialspace=True), []))
