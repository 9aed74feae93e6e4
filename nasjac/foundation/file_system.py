"""What file systems offer, each with what happens where one does not: files without a name, exchanges, links, locks."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

#: what a system answers that does not know files without a name, an exchange of paths, hard links (to this file), locks, or
#: a folder that is written to the disk
NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
NO_LINK = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)
NO_LOCK = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF)
NO_SYNC = (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP)
#: of Linux: exchange the two paths; paths are relative to the current folder
RENAME_EXCHANGE, AT_FDCWD = 2, -100
#: seconds that one process waits for another, whose turn takes milliseconds
PATIENCE = 60.0


def nameless(folder: Path, content: bytes) -> int | None:
    """Return the descriptor of a file without a name that is on the disk; None where the system has no such files."""
    without_name: int | None = vars(os).get("O_TMPFILE")  # Linux has it
    if without_name is None:
        return None
    try:
        descriptor = os.open(folder, without_name | os.O_RDWR, 0o666)
    except OSError as error:
        if error.errno in NO_NAMELESS and folder.is_dir():
            return None
        raise
    try:
        _write(descriptor, content)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def named(path: Path, content: bytes, descriptor: int | None) -> None:
    """Give `path` to the file of a descriptor of `nameless`, or write the file there where the system had none."""
    if descriptor is not None:  # with a folder's descriptor Python follows the link to the file itself
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        _write(descriptor, content)
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.fsync(descriptor)


def linked(path: str | Path, other: str | Path) -> bool:
    """Give a file, or a symbolic link itself, a second path; return False where the system does not allow that."""
    with _unless(NO_LINK):
        os.link(path, other, follow_symlinks=False)
        return True
    return False


def exchanged(one: Path, other: Path) -> bool:
    """Let what is at two paths change places in one step; return False where the system has no such step."""
    call = _renameat2()
    if call is None:
        return False
    if call(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


@cache
def _renameat2() -> Callable[..., int] | None:
    """Linux's system call, which Python does not have; None in other systems and older C libraries."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return call


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can be asked to."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with _unless(NO_SYNC):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, which the system lifts when the process ends, however that is.

    Yields:
        False where the file system has no locks, and True where this is the only process that holds one.

    Raises:
        TimeoutError: Another process has held it for `PATIENCE` seconds.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield _lock(descriptor, folder)
    finally:
        os.close(descriptor)


@contextmanager
def _unless(codes: Collection[int]) -> Iterator[None]:
    """Leave the block where the system answers with one of these errors: it does not know what was asked."""
    try:
        yield
    except OSError as error:
        if error.errno not in codes:
            raise


def _lock(descriptor: int, folder: Path) -> bool:
    end = time.monotonic() + PATIENCE
    while True:
        with suppress(BlockingIOError):  # another process has it
            with _unless(NO_LOCK):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            return False
        if time.monotonic() > end:
            raise TimeoutError(f"another process has been writing in {folder} for {PATIENCE:g} s")
        time.sleep(0.02)
