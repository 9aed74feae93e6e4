"""Errors that a user can mend, as one sentence."""

from __future__ import annotations

import os
import sys


def print_usage_error(error: Exception | str) -> int:
    """Say what is wrong on standard error and return the exit code 2; with NASJAC_TRACEBACK set, raise it instead."""
    if isinstance(error, Exception) and os.environ.get("NASJAC_TRACEBACK"):
        raise error
    print(f"nasjac: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
