"""A draft takes the place of a folder, and what killed processes have left is swept (`nasjac.foundation.atomic_files`)."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from nasjac.foundation.file_system import exchanged, linked, sync_folder


def swap(draft: Path, target: Path, names: Collection[str]) -> None:
    """Put the draft in the folder's place; what is not called by one of the names stays in the folder."""
    if target.exists():
        _take_over(draft, target, names)
    try:
        os.rename(draft, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        aside = draft.with_name(f"{draft.name}.old")
        _exchange(draft, aside, target)
        sync_folder(target.parent)
        _give_back(aside, target, names)


def _take_over(draft: Path, target: Path, names: Collection[str]) -> None:
    """Link the other files of the folder into the draft, once it is sure that its other folders can be moved there."""
    others = []
    for entry in list(os.scandir(target)):
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name in names and is_folder:
            raise IsADirectoryError(errno.EISDIR, "a folder is where a file is to be written", entry.path)
        if is_folder and (not os.access(entry.path, os.W_OK) or os.path.ismount(entry.path)):
            raise PermissionError(errno.EPERM, "this folder cannot be moved, so it cannot be kept", entry.path)
        if entry.name not in names and not is_folder:
            others.append(entry)
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    for entry in others:
        with suppress(FileNotFoundError):  # whose it is has removed it
            linked(entry.path, draft / entry.name)  # where that is not possible it is moved after the exchange
    shutil.copymode(target, draft)
    sync_folder(draft)


def _exchange(draft: Path, aside: Path, target: Path) -> None:
    """Put the draft in the place of the folder, and the folder aside. Its name says that what is aside is whole."""
    os.rename(draft, aside)
    try:
        done = exchanged(aside, target)
    except OSError:  # and nothing else: after an interruption it is not known which of the two is aside
        os.rename(aside, draft)
        raise
    if done:
        return
    os.rename(aside, draft)
    os.rename(target, aside)
    try:
        os.rename(draft, target)
    finally:
        if not target.exists():
            os.rename(aside, target)


def sweep(target: Path, names: Collection[str]) -> None:
    """Clear away what killed processes have left of a folder; its parent must be locked."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{32}}(\.old)?")
    for entry in list(os.scandir(target.parent)):
        found = pattern.fullmatch(entry.name)
        if not found or not entry.is_dir(follow_symlinks=False):
            continue
        with suppress(PermissionError):  # it is another user's, and does not keep this one from writing
            if not found[1]:
                shutil.rmtree(entry.path)
            elif os.path.lexists(target):
                _give_back(Path(entry.path), target, names)
            else:
                os.rename(entry.path, target)


def _give_back(aside: Path, target: Path, names: Collection[str]) -> None:
    """Remove a folder that was replaced; what is not called by one of the names, and is not in the folder, goes there."""
    for entry in list(os.scandir(aside)):
        there = target / entry.name
        if entry.name in names and not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
        elif not os.path.lexists(there):
            os.rename(entry.path, there)
        elif not entry.is_dir(follow_symlinks=False) and not stat.S_ISDIR(there.lstat().st_mode):
            _keep_newer(Path(entry.path), there)
    if not os.listdir(aside):  # else there is a folder whose name was taken meanwhile, which stays aside
        os.rmdir(aside)


def _keep_newer(old: Path, there: Path) -> None:
    """Of a file that was linked into the new folder both are one, unless its owner has saved it anew meanwhile."""
    one, other = old.lstat(), there.lstat()
    if not os.path.samestat(one, other) and one.st_mtime_ns > other.st_mtime_ns:
        os.replace(old, there)
    else:
        os.unlink(old)
