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

import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nasjac.foundation.errors import InputError
from nasjac.foundation.file_system import locked, named, nameless, sync_folder
from nasjac.foundation.folder_exchange import swap, sweep


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
    _put(folder, files, names, lambda draft, target: swap(draft, target, names), option)


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
