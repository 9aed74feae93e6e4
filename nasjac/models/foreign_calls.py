"""Calls of somebody else's code: what fails there is told in a sentence, and what fails in ours stays as it is."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nasjac.foundation.errors import InputError

#: where our hooks are, which their code calls
HERE = str(Path(__file__).parent)
#: most characters of their message that are repeated
LONGEST = 400


class TheirError(InputError):
    """A user's own code failed; its exception, with its traceback, is the cause."""


def called(
    what: str,
    function: Callable[..., Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    apart_from: tuple[type[Exception], ...] = (),
) -> Any:
    """Call a function of somebody else's and return what it returns.

    Args:
        what: What could not be done where it fails, for the error.
        function: Theirs.
        args: Its arguments.
        kwargs: Its arguments by name.
        apart_from: Exceptions that the caller expects and handles.

    Raises:
        TheirError: The function raised something, or called sys.exit. An InputError, what is in `apart_from`, and the
            fault of a hook of ours that the function called pass as they are.
    """
    try:
        return function(*args, **(kwargs or {}))
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, apart_from) or _is_ours(error):
            raise
        raise TheirError(f"{what}: it raised {type(error).__name__}: {_said(error)}") from error


def taking(model: object) -> str:
    """What fails where a model raises something on its inputs."""
    return f"`model` {type(model).__name__} could not take `inputs`"


def _is_ours(error: BaseException) -> bool:
    """Whether the last of our frames is another than the one that called them: that of a hook."""
    ours = [frame.filename for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(HERE)]
    return ours[-1] != __file__


def _said(error: BaseException) -> str:
    message = " ".join(str(error).split())
    return message if len(message) <= LONGEST else f"{message[:LONGEST]} ..."
