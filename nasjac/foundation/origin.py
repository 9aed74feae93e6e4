"""Whose line raised an exception: a library refuses what a user gave it, our own code has a fault."""

from __future__ import annotations

import traceback
from collections.abc import Collection


def origin(error: BaseException, beneath: Collection[str] = ()) -> str | None:
    """Return the top-level package of the line that raised `error`.

    Args:
        error: An exception that was caught.
        beneath: Packages that others compute with; the line that called them counts.

    Returns:
        Such as "optuna"; None for an exception that was never raised here, as one from another process.
    """
    names = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    packages = [name.partition(".")[0] for name in names]
    return next((package for package in reversed(packages) if package not in beneath), None)
