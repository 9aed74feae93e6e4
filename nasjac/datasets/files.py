"""The files of datasets: read whole, and of a size that memory has room for."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import check_file

#: bytes of a file that is read, or of what a compressed one holds: as float32 four times as many
LARGEST = 2**30
CHUNK = 2**20


def read_bytes(path: str | Path, name: str, is_packed: bool = False) -> bytearray:
    """Return the content of a file.

    Args:
        path: The file.
        name: The option that gave it, for the error.
        is_packed: Whether gzip made the file, and what it was before is asked for.

    Raises:
        InputError: There is no such file, it is a named pipe, a device or a folder, it is damaged, or it holds more than
            `LARGEST` bytes.
    """
    checked = check_file(path, name)
    try:
        with gzip.open(checked) if is_packed else checked.open("rb") as file:
            content = bytearray()
            while len(content) <= LARGEST and (chunk := file.read(CHUNK)):
                content += chunk
    except (OSError, EOFError, zlib.error) as error:  # the last two: a compressed file that is cut or damaged
        raise InputError(f"`{name}` must hold files that can be read, got {path}: {error}") from error
    if len(content) > LARGEST:
        raise InputError(f"`{name}` must hold files of at most {LARGEST} bytes, got more in {path}")
    return content
