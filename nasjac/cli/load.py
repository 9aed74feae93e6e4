"""Options of the user's own: objects named package.module:name."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from nasjac.errors import InputError


def load(name: str) -> Any:
    """The object package.module:name, which may lie in the current folder. ValueError if it is not there."""
    module, _, attribute = name.partition(":")
    import_from_here()
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"an option of your own must be package.module:name, got {name!r}: {error}") from error


def import_from_here() -> None:
    """Let modules in the current folder be imported."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
