"""Reading what a stranger may have written: files that are files, and JSON of a sane depth and size."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from nasjac.foundation.errors import InputError

#: what a path that is no file may be instead
KINDS = {
    "folder": stat.S_ISDIR,
    "named pipe": stat.S_ISFIFO,
    "device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    "socket": stat.S_ISSOCK,
}


def check_file(path: str | Path, name: str) -> Path:
    """Return the path of a regular file, which can be read to its end.

    Opening a named pipe or reading a device may never return, so they are refused before they are opened.

    Args:
        path: What the user gave.
        name: The option that gave it, for the error.

    Raises:
        InputError: There is nothing at `path`, or something that is no regular file.
    """
    try:
        mode = Path(path).expanduser().stat().st_mode
    except (OSError, ValueError) as error:  # InputError: a null character inside
        raise InputError(f"`{name}` must be a file that exists, got {str(path)!r}: {error}") from error
    if not stat.S_ISREG(mode):
        kind = next((kind for kind, holds in KINDS.items() if holds(mode)), "special file")
        raise InputError(f"`{name}` must be a file, got {str(path)!r}, which is a {kind}")
    return Path(path).expanduser()


def parse_json(text: str | bytes, name: str) -> Any:
    """Return the value that a JSON text stands for.

    Args:
        text: The text, or its bytes in UTF-8.
        name: What holds the text, for the error.

    Raises:
        InputError: The text is not JSON, is nested too deeply, or holds a whole number of too many digits.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise InputError(f"`{name}` must be JSON of a depth that can be read, got one nested too deeply") from error
    except ValueError as error:  # malformed, not UTF-8, or a number of more digits than Python converts
        raise InputError(f"`{name}` must be JSON, got {_start(text)}: {error}") from error


def _start(text: str | bytes, length: int = 60) -> str:
    shown = repr(text[:length])
    return shown if len(text) <= length else f"{shown} ..."
