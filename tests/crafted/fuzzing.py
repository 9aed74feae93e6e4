"""Commands and calls in forked children of one warm process: what each said, how it ended, and whether that is a fault.

A child costs milliseconds, because torch and nasjac are imported already, and whatever it breaks (the working folder,
Hydra's state, all of its memory, its time) is lost with it.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import torch

import nasjac.cli.app
from nasjac.cli import main

#: how a command may end: done, the command is wrong, interrupted
GOOD_CODES = (0, 2, 130)
#: address space of a child, in bytes: one that takes all memory shall fail, not the machine
MEMORY = 8 * 2**30


@dataclass(frozen=True)
class Outcome:
    """How a child ended; `code` is None if it did not in the time that it had, and −n if signal n ended it."""

    code: int | None
    out: str
    err: str
    seconds: float

    @property
    def fault(self) -> str | None:
        """What is wrong with the outcome whatever the user gave; None if nothing is."""
        if self.code is None:
            return "no end"
        if "Traceback (most recent call last)" in self.err + self.out:
            return "traceback"
        if self.code not in GOOD_CODES:
            return f"exit code {self.code}"
        if self.code == 2 and not self.err.strip():
            return "exit code 2 without a sentence"
        return None


def run_forked(words: Sequence[str], folder: Path, seconds: float = 20.0) -> Outcome:
    """Run `nasjac WORDS` in a child that stands in `folder`."""
    return call_forked(lambda: main(list(words)), folder, seconds)


def call_forked(call: Callable[[], int | None], folder: Path, seconds: float = 20.0) -> Outcome:
    """Call a function without arguments in a child that stands in `folder`; what it returns is the exit code, None is 0.

    An exception that it raises prints its traceback and gives the exit code 1, as in an interpreter.
    """
    torch.set_num_threads(1)  # threads of a pool are not there in a child
    began = time.monotonic()
    with TemporaryFile() as out, TemporaryFile() as err:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            _be_child(call, folder, out, err)
        code = _ended(child, began + seconds)
        return Outcome(code, _text(out), _text(err), time.monotonic() - began)


def _be_child(call: Callable[[], int | None], folder: Path, out: IO[bytes], err: IO[bytes]) -> None:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        sys.stdin, sys.stdout, sys.stderr = open(0, closefd=False), open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        sys.stdout.reconfigure(errors="backslashreplace")
        sys.stderr.reconfigure(errors="backslashreplace")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(folder)
        code = call() or 0
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
        if isinstance(stopped.code, str):
            print(stopped.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ended(child: int, deadline: float) -> int | None:
    """The exit code of a child, which is killed with all of its own at the deadline."""
    pause = 0.001
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


#: the module is imported for its imports: a child does not pay for them
assert nasjac.cli.app.run_verb
