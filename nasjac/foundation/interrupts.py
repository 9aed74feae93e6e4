"""Ctrl-C and SIGTERM as a question that long work asks between its steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted:
    """Whether a signal has asked to stop, and which: its number, None so far."""

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None


@contextmanager
def interrupts() -> Iterator[Interrupted]:
    """Within this block the first SIGINT or SIGTERM is only noted; a second one acts as it would have before.

    In another thread than the main one, which alone hears signals, nothing is noted.
    """
    asked = Interrupted()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        asked.signal = number
        _restore(before)

    for number in before:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        _restore(before)


def _restore(handlers: dict[signal.Signals, signal._HANDLER]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
