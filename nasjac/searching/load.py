"""Options that a user has written: objects named package.module:name."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from nasjac.foundation.arguments import shown
from nasjac.foundation.errors import InputError
from nasjac.models.foreign_calls import called, own_traceback


def load(name: str) -> Any:
    """Return the object package.module:name, which may lie in the current folder.

    Raises:
        InputError: There is no such object, or its module fails when it is imported; then its traceback is printed first.
    """
    rule = f"an option of your own must be package.module:name, got {shown(name)}"
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise InputError(rule)
    try:
        with own_traceback(name):
            return imported(module, attribute, f"the module of {name} must be one that can be imported, which it is not")
    except (ImportError, AttributeError) as error:
        hint = f"; write it without .py, {module.removesuffix('.py')}:{attribute}" if module.endswith(".py") else ""
        raise InputError(f"{rule}: {error}{hint}") from error


def imported(module: str, attribute: str, what: str) -> Any:
    """Return an attribute of a module, which may lie in the current folder.

    ImportError, AttributeError: it is not there. InputError, that begins with `what`: the module fails when it is imported.
    """
    import_from_here()
    return getattr(called(what, import_module, (module,), apart_from=(ImportError,)), attribute)


def import_from_here() -> None:
    """Let modules in the current folder be imported."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
