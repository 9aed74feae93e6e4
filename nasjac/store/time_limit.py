"""The seconds that SQLite may work on an answer."""

from __future__ import annotations

from time import monotonic


class TimeLimit:
    """A stopwatch with a limit, which runs while SQLite works.

    It stands still between the rows, so that whoever reads them slowly (a pager) is not cut off.
    """

    def __init__(self, seconds: float | None) -> None:
        """Take the limit; None is without end."""
        self.seconds = seconds
        self._spent = 0.0
        self._began: float | None = None

    def start(self) -> None:
        """Let it run."""
        self._began = monotonic()

    def stop(self) -> None:
        """Let it stand still."""
        self._spent, self._began = self.spent(), None

    def spent(self) -> float:
        """Return the seconds that it has run."""
        began = self._began  # once: another thread may ask
        return self._spent + (0.0 if began is None else monotonic() - began)

    def is_running(self) -> bool:
        """Return whether SQLite is at work."""
        return self._began is not None

    def is_over(self, grace: float = 0.0) -> bool:
        """Return whether it has run longer than the limit, and as many seconds more."""
        return self.seconds is not None and self.spent() > self.seconds + grace

    def sentence(self) -> str:
        """Return what to say when it is over."""
        unit = "second" if self.seconds == 1 else "seconds"
        return (
            f"the question was stopped after {self.seconds:g} {unit}; give --timeout a larger number, or none for no limit"
        )
