"""What a person sees while a command works: a progress bar, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console as Rich
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

#: seconds between two plain progress lines
PLAIN_INTERVAL = 5.0

#: (done, text): how far the work is, and what to say beside it
Advance = Callable[[int, str], None]


class Console:
    """Progress and remarks go to standard error, unless it is `quiet`."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._rich = Rich(stderr=True, quiet=quiet, highlight=False)

    def say(self, text: str) -> None:
        """Print a remark, unless the console is quiet."""
        if not self.quiet:
            self._rich.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, title: str, total: int, start: int = 0) -> Iterator[Advance]:
        """Show progress with rate and time left while the block lasts; `start` of `total` are done already."""
        if self._rich.is_terminal and not self.quiet:
            yield from self._live(title, total, start)
        else:
            yield self._plain(title, total, start)

    def _live(self, title: str, total: int, start: int) -> Iterator[Advance]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        began = time.perf_counter()
        with Progress(*columns, console=self._rich) as progress:
            task = progress.add_task(title, total=total, completed=start, rate="", text="")

            def advance(done: int, text: str) -> None:
                progress.update(task, completed=done, rate=_rate(done - start, began), text=text)

            yield advance

    def _plain(self, title: str, total: int, start: int) -> Advance:
        began = said = time.perf_counter()

        def advance(done: int, text: str) -> None:
            nonlocal said
            now = time.perf_counter()
            if done >= total or now - said >= PLAIN_INTERVAL:
                said = now
                left = (total - done) * (now - began) / max(1, done - start)
                self.say(f"{title} {done}/{total} {_rate(done - start, began)} {left:.0f} s left {text}".rstrip())

        return advance


def _rate(done: int, began: float) -> str:
    return f"{done / max(1e-9, time.perf_counter() - began):.1f}/s"
