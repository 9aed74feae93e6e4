"""Rows on standard output as they come, whatever it is: a terminal, a file, a pipe that somebody closes."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nasjac.foundation import text_tables as tables
from nasjac.foundation.errors import InputError


@contextmanager
def written_out() -> Iterator[None]:
    """Write all output out at the end of the block. OSError: it cannot be (BrokenPipeError: nobody reads it any more)."""
    if sys.stdout is None:
        raise InputError("the standard output must be open, got none: it was closed before nasjac began")
    try:
        yield
    finally:  # here, while the command line can still answer it, and not when the interpreter ends
        sys.stdout.flush()


def write(columns: Sequence[str], rows: Iterable[Sequence[Any]], form: str) -> None:
    """Print rows as table, csv or json. InputError: json has two columns of one name, csv a character without a code."""
    if form == "table" and sys.stdout.isatty() and _is_utf8():
        tables.print_rich(columns, rows)
    elif form == "table":  # into a file or pipe, or where there is no UTF-8
        for line in tables.text_lines(columns, rows):
            put_text(line)
    elif form == "csv":
        for line in tables.csv_lines(columns, rows):
            _put(line)
    else:
        for piece in tables.json_lines(columns, rows, is_ascii=not _is_utf8()):
            _put(piece)


def put_text(text: str) -> None:
    """Print text for people: characters that the output has no code for are escaped."""
    encoding = _encoding()
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _put(text: str) -> None:
    """Print text for programs."""
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError as error:
        raise InputError(
            f"the encoding of the output must have a code for every character, got {_encoding()} for "
            f"{text[error.start : error.end]!r}; PYTHONIOENCODING=utf-8 has them all, --format json needs none"
        ) from error


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"


def _is_utf8() -> bool:
    return codecs.lookup(_encoding()).name == "utf-8"
