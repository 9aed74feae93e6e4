"""Folders that a user named, looked at before the work whose results they are to hold."""

from __future__ import annotations

import os
from pathlib import Path

from nasjac.foundation.errors import InputError

#: bytes of a file's name on the file systems in use
LONGEST_NAME = 255
#: and of a folder that we make: while it is written it has a longer name
LONGEST = 200
#: of a whole path, with the names of files inside
LONGEST_PATH = 3_600


def check_folder(path: str | Path, name: str) -> Path:
    """Return the path of a folder that is there and can be written, or that can be made; nothing is made yet.

    Args:
        path: What the user gave.
        name: The option that gave it, for the error.

    Raises:
        InputError: The path is empty, holds a name that is too long or a null character, leads through a file, or to a
            place that cannot be written.
    """
    text = str(path)
    if not text.strip() or "\0" in text:
        raise InputError(f"`{name}` must be a folder's path, got {text!r}")
    folder = Path(path)
    lengths = [len(os.fsencode(part)) for part in folder.parts]
    for length, most in [*((length, LONGEST_NAME) for length in lengths), *((length, LONGEST) for length in lengths[-1:])]:
        if length > most:
            raise InputError(f"`{name}` must be a path whose names have at most {most} bytes, got one of {length}")
    if (length := len(os.fsencode(folder.absolute()))) > LONGEST_PATH:
        raise InputError(f"`{name}` must be a path of at most {LONGEST_PATH} bytes, got one of {length}")
    try:
        there = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
        is_folder = there.is_dir()
    except OSError as error:  # such as a path that is too long as a whole
        raise InputError(f"`{name}` must be a folder that can be made, got {text[:200]!r}: {error.strerror}") from error
    if not is_folder:
        raise InputError(f"`{name}` must be a folder, or one that can be made, got {text!r}: {there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"`{name}` must be a folder that can be written, got {text!r}: {there} cannot be")
    return folder
