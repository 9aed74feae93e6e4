"""Calls of a user's code: its errors become one sentence, and errors of nasjac's own code stay as they are."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import nn

from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.foundation.memory import free
from nasjac.models.example import example
from nasjac.models.nested import mapped

Factory = Callable[[], nn.Module]

#: the folder of nasjac's hooks, which a user's code calls
HERE = str(Path(__file__).parent)
#: most characters of a user's error message that are repeated
LONGEST = 400
#: packages that are not a user's code: what they raise is the fault of their caller
LIBRARIES = sys.stdlib_module_names | {"torch", "numpy", "scipy", "safetensors"}


class TheirError(InputError):
    """A user's own code failed; its exception, with its traceback, is the cause."""


def called(
    what: str,
    function: Callable[..., Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    apart_from: tuple[type[Exception], ...] = (),
) -> Any:
    """Call a function of a user and return what it returns.

    Args:
        what: The beginning of the error where it fails: what could not be done.
        function: The user's function.
        args: Its arguments.
        kwargs: Its arguments by name.
        apart_from: Exceptions that the caller expects and handles.

    Raises:
        TheirError: The function raised an exception, or called sys.exit. An InputError, an exception in `apart_from`, and
            one from a hook of nasjac's that the function called pass unchanged.
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
    """Return the beginning of the error for a model that raises an exception on its inputs."""
    return f"`model` {type(model).__name__} could not take `inputs`"


def _is_ours(error: BaseException) -> bool:
    """Whether the last frame in this folder is not that of `called`: then the error comes from a hook."""
    ours = [frame.filename for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(HERE)]
    return ours[-1] != __file__


def _said(error: BaseException) -> str:
    message = " ".join(str(error).split())
    return message if len(message) <= LONGEST else f"{message[:LONGEST]} ..."


def built(
    name: str, make: Factory, inputs: str | Callable[[], Any], seed: int, device: torch.device
) -> tuple[nn.Module, Any]:
    """Make a user's model and its batch, both on the device.

    Args:
        name: What the model is called, for errors.
        make: Makes the model.
        inputs: A description of the batch (`nasjac.models.example.FORMS`), or a function that makes it.
        seed: The seed of the random state in which the model is made, and of a batch that is drawn.
        device: The device of both.

    Raises:
        InputError: The user's code fails (its traceback is printed first), or it makes no nn.Module.
    """
    torch.manual_seed(arguments.seed("seed", seed))
    with own_traceback(name):
        module = called(f"`model` must make an nn.Module, which {name} did not", make)
    if not isinstance(module, nn.Module):
        raise InputError(f"`model` must make an nn.Module, got {type(module).__name__} from {name}")
    if isinstance(inputs, str):
        batch = example(inputs, module, seed, free(torch.device("cpu")) // 2)
    else:
        with own_traceback(name):
            batch = called("`input` must make a batch, which it did not", inputs)
    return module.to(device), mapped(batch, lambda tensor: tensor.to(device))


@contextmanager
def own_traceback(name: str) -> Iterator[None]:
    """Print the traceback of an error in a user's code, called `name`, and raise an InputError in its place.

    An error that a library raises because nasjac called it wrongly is nasjac's fault, and passes unchanged.
    """
    try:
        yield
    except TheirError as error:
        assert error.__cause__ is not None
        _show(error.__cause__, _beneath(error.__cause__))
        raise InputError(f"{error} (its traceback is above; from {name})") from error
    except InputError:
        raise
    except Exception as error:
        theirs = _beneath(error)
        if not any(_package(frame) not in LIBRARIES for frame, _ in traceback.walk_tb(theirs)):
            raise
        _show(error, theirs)
        raise InputError(f"`model` {name} raised {type(error).__name__} (its traceback is above): {error}") from error


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _beneath(error: BaseException) -> TracebackType | None:
    """The part of an error's traceback beneath the last frame of this package; all of it where there is no such frame."""
    theirs = rest = error.__traceback__
    while rest is not None:
        if _package(rest.tb_frame) == "nasjac":
            theirs = rest.tb_next
        rest = rest.tb_next
    return theirs


def _show(error: BaseException, part: TracebackType | None) -> None:
    traceback.print_exception(type(error), error.with_traceback(part), part, chain=False, file=sys.stderr)
