"""The README's example of a grid over a space of one's own works as it stands."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from nasjac.store import Store
from tests.cli.test_cli import Run, run  # noqa: F401

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_grid_of_the_readme(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    shown = README.partition("of a space of your own, `small.py`:\n\n")[2]
    lines = [line.removeprefix("    ") for line in shown.partition("\n\nthe search of six")[0].splitlines()]
    Path("small.py").write_text("\n".join(lines))
    monkeypatch.setattr(sys, "path", [str(Path.cwd()), *sys.path])
    monkeypatch.delitem(sys.modules, "small", raising=False)
    [command] = [line for line in shown.splitlines() if "GridSampler" in line]
    none = [f"validation.{name}=0" for name in ("top", "random", "matched")]
    code, _, err = run(*shlex.split(command)[1:], "study=grid", "quiet=true", *none)
    assert code == 0, err
    with Store("nasjac.db", read_only=True) as store:
        rows = store.select("SELECT depth, width FROM leaderboard ORDER BY depth, width").rows
    assert rows == [(depth, width) for depth in (4, 8, 16) for width in (8, 16)]
