"""Files that are there whole or not at all, whenever the process is killed."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

#: what a file system answers that knows no files without a name
UNKNOWN = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


def write_whole(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `folder` with these files, each of which gets its name when all are written and on the disk.

    On Linux they have no name until then, so that a process that is killed leaves nothing behind. OSError: as the system
    says.
    """
    nameless = [(name, _nameless(folder.parent, content)) for name, content in files.items()]
    try:
        folder.mkdir()
        for name, descriptor in nameless:
            if descriptor is None:
                _plain(folder / name, files[name])
            else:  # with a folder's descriptor Python follows the link to the file itself
                os.link(f"/proc/self/fd/{descriptor}", folder / name, src_dir_fd=descriptor)
    finally:
        for _, descriptor in nameless:
            if descriptor is not None:
                os.close(descriptor)


def _nameless(folder: Path, content: bytes) -> int | None:
    """The descriptor of a file without a name; None where the system has none."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
    except OSError as error:
        if error.errno in UNKNOWN and folder.is_dir():
            return None
        raise
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.fsync(descriptor)
    return descriptor


def _plain(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
