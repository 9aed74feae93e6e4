"""Folders of files that appear at once or stay as they were, whenever the process is killed.

The contents are written into files without a name. Under the lock of the folder's parent they get their names in a draft
beside the folder, `.NAME.<32 hexadecimal digits>`, and the draft takes the folder's place in one step: a rename where
nothing is there, an exchange of the two paths where there is an earlier folder. The earlier one is then
`.NAME.<digits>.old` and goes. Where the file system cannot exchange paths (some network file systems, macOS), the earlier
one is renamed to `.old` first, and for the moment between the two renames nothing is at the folder's path.

Whatever a kill leaves of this is swept by the next run that writes the same folder: under the lock no living process has
a draft. A draft is removed; of an `.old` folder the files that nasjac writes are removed and everything else goes back
where it was, the whole of it where the folder itself is missing. Where the file system has no locks nothing is swept.

The folder that the command runs in, or one above it, keeps its place: there the files are written one by one, each at once.

What others keep in such a folder stays: files are linked into the draft, folders are moved after the exchange. A shell that
stands in the folder is in the earlier one afterwards, and `cd .` brings it back.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nasjac.foundation.errors import InputError
from nasjac.foundation.file_system import exchanged, linked, locked, named, nameless, sync_folder


def replace_folder(
    folder: str | Path, files: Mapping[str, bytes], earlier: Collection[str] = (), option: str = "out"
) -> None:
    """Write the files into a folder, all of them at once; whatever happens before, the folder stays as it was.

    Args:
        folder: May be there already. Files and folders in it that are not in `files` or `earlier` stay.
        files: The content of each file by its name.
        earlier: Names that an earlier call may have written, which go unless they are in `files` too.
        option: What the user calls the folder, for the error.

    Raises:
        InputError: The folder cannot be written, or not be replaced.
    """
    if _holds_this_process(_real(folder, option)):
        _write_each(folder, files, earlier, option)
        return
    names = {*files, *earlier}
    _put(folder, files, names, lambda draft, target: _swap(draft, target, names), option)


def place_folder(folder: str | Path, files: Mapping[str, bytes], option: str = "out") -> None:
    """Make a new folder with these files, all of them at once.

    Raises:
        InputError: There is something in the folder, or it cannot be written.
    """
    _put(folder, files, files, os.rename, option)  # the system refuses to rename onto a folder with something in it


def check_replaceable(folder: str | Path, option: str = "out") -> None:
    """Check before the work what would be refused after it.

    Raises:
        InputError: It is something else than a folder.
    """
    target = _real(folder, option)
    if target.exists() and not target.is_dir():
        raise InputError(f"`{option}` must be a folder, got {str(folder)!r}, which is something else")


def _holds_this_process(target: Path) -> bool:
    """Whether the command runs in this folder or below it: replaced as a whole, it would be gone from under the command."""
    here = Path(os.path.realpath(Path.cwd()))
    return here == target or target in here.parents


def _write_each(folder: str | Path, files: Mapping[str, bytes], earlier: Collection[str], option: str) -> None:
    """Write the files into the folder where it is, each of them at once; a kill leaves some of them as they were."""
    target = _real(folder, option)
    draft = target / f".{uuid.uuid4().hex}"
    with _refused(folder, option), locked(target) as is_alone:
        for entry in list(os.scandir(target)) if is_alone else ():
            if re.fullmatch(r"\.[0-9a-f]{32}", entry.name) and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)  # what a killed process has left
        try:
            draft.mkdir()
            for name, content in files.items():
                named(draft / name, content, None)
            for name in files:
                os.replace(draft / name, target / name)
            for name in set(earlier) - set(files):
                (target / name).unlink(missing_ok=True)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        sync_folder(target)


@contextmanager
def _refused(folder: str | Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"`{option}` must be a folder that can be written, got {str(folder)!r}: {error}") from error


def _real(folder: str | Path, option: str) -> Path:
    """Where the folder is: behind symbolic links, which stay."""
    if "\0" in str(folder):
        raise InputError(f"`{option}` must be a path, got {str(folder)!r}, with a null character")
    return Path(os.path.realpath(folder))


def _put(
    folder: str | Path,
    files: Mapping[str, bytes],
    names: Collection[str],
    move: Callable[[Path, Path], None],
    option: str,
) -> None:
    check_replaceable(folder, option)
    target = _real(folder, option)
    if _holds_this_process(target):
        raise InputError(f"`{option}` must be another folder than the one that the command runs in, got {str(folder)!r}")
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    with _refused(folder, option):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _written(target.parent, files) as descriptors, locked(target.parent) as is_alone:
            if is_alone:
                sweep(target, names)
            try:
                draft.mkdir()
                for name, content in files.items():
                    named(draft / name, content, descriptors[name])
                sync_folder(draft)
                move(draft, target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)  # it has moved, unless something failed
            sync_folder(target.parent)


@contextmanager
def _written(folder: Path, files: Mapping[str, bytes]) -> Iterator[dict[str, int | None]]:
    """The files without a name; they are gone at the end unless they have one by then."""
    with ExitStack() as stack:
        descriptors: dict[str, int | None] = {}
        for name, content in files.items():
            descriptors[name] = descriptor = nameless(folder, content)
            if descriptor is not None:
                stack.callback(os.close, descriptor)
        yield descriptors


def _swap(draft: Path, target: Path, names: Collection[str]) -> None:
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
