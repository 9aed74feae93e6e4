"""The end of a question that SQLite itself cannot stop.

SQLite looks at the clock between the steps of its machine, and a single step can take days:
`instr(zeroblob(100000000), zeroblob(50000000) || x'01')`.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import NoReturn

from nasjac.store.time_limit import TimeLimit

GRACE = 1.0  # seconds in which a question ends by itself, as it nearly always does
LOOKS = 0.25  # seconds between two looks


@contextmanager
def last_resort(limit: TimeLimit) -> Iterator[None]:
    """End the process, with a sentence, if a step of SQLite in the block outlasts Ctrl-C or the limit by GRACE.

    Output that is not written out yet is lost then. Only the main thread hears of Ctrl-C.
    """
    heard, hears = os.pipe()
    os.set_blocking(hears, False)
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.set_wakeup_fd(hears, warn_on_full_buffer=False) if is_main else -1
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(limit, heard, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        if is_main:
            signal.set_wakeup_fd(before)
        os.close(heard)
        os.close(hears)


def _watch(limit: TimeLimit, heard: int, done: threading.Event) -> None:
    asked_at: float | None = None
    while not done.wait(LOOKS):
        if select.select([heard], [], [], 0)[0] and signal.SIGINT in os.read(heard, 64):
            asked_at = monotonic()
        if asked_at is not None and monotonic() > asked_at + GRACE and limit.is_running():
            _end("interrupted", 130)
        if limit.is_over(GRACE) and limit.is_running():
            _end(limit.sentence(), 2)


def _end(sentence: str, code: int) -> NoReturn:
    os.write(2, f"nasjac: {sentence}\n".encode())
    os._exit(code)
