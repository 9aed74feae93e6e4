"""The commit of nasjac's own code, where it runs from a checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nasjac

#: the folder that holds the package
HOME = Path(nasjac.__file__).resolve().parent.parent
#: seconds that git may take
PATIENCE = 10.0
#: git runs what `core.fsmonitor` and hooks name, and takes locks to write its index
CAREFUL = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-optional-locks")


def commit_of(folder: Path = HOME) -> tuple[str | None, bool | None]:
    """Return the commit of a checkout and whether its files have changed since; None each where that is not known.

    git runs programs that the configuration of a checkout names: a file system monitor, filters of changed files. Therefore
    it is only asked about the checkout whose code runs anyway, never about the current folder, which may be a stranger's.
    A folder inside a checkout, such as a virtual environment, is not taken for the checkout.
    """
    if not (folder / ".git").exists():
        return None, None
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changes = _git(folder, "status", "--porcelain") if commit else None
    return commit, None if changes is None else bool(changes)


def _git(folder: Path, *words: str) -> str | None:
    """What git prints; None where there is no git, where it fails, or where it takes too long."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # no other repository
    command = ["git", *CAREFUL, "-C", str(folder), *words]
    try:
        done = subprocess.run(
            command, env=own, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None
