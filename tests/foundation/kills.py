"""A writer that is killed at each step of its writing, and what is seen then. A light process forks quickly."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

#: calls into the system by their modules, and methods of files
MODULES, METHODS = ("posix", "fcntl"), ("write", "flush")

Tree = dict[str, bytes]


class Deadly:
    """A profiler that kills the process at its call number `at` into the system, before or after the exchange of paths."""

    def __init__(self, at: int, number: signal.Signals) -> None:
        self.left, self.number = at, number

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        """Count a step."""
        is_call = event == "c_call" and (arg.__module__ in MODULES or arg.__name__ in METHODS)
        if is_call or (event in ("call", "return") and frame.f_code.co_name == "exchanged"):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), self.number)


def killed(write: Callable[[], object], at: int) -> bool:
    """Whether a process that does `write` was killed at its step `at`; False where it has fewer."""
    child = os.fork()
    if not child:
        try:
            sys.setprofile(Deadly(at, signal.SIGKILL))
            write()
            sys.setprofile(None)
        except BaseException:
            sys.setprofile(None)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) == signal.SIGKILL
    assert os.WEXITSTATUS(status) == 0, f"step {at}: failed instead of being killed"
    return False


def tree(folder: Path) -> Tree:
    """The files in a folder and its folders by their paths; a symbolic link by where it points."""
    paths = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    return {
        str(path.relative_to(folder)): os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        for path in paths
    }


def make(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files the ordinary way."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def kill_everywhere(
    folder: Path,
    prepare: Callable[[], object],
    write: Callable[[], object],
    check: Callable[[int], object],
    stride: int = 1,
) -> int:
    """Prepare, kill the writer at its step 1, 1 + stride, ..., and check, until it has no more; returns how far it got."""
    step = 1 - stride
    while True:
        step += stride
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        prepare()
        if not killed(write, step):
            return step - 1
        check(step)


def litter(folder: Path) -> list[str]:
    """What begins with a dot."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.name.startswith("."))
