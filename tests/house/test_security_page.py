"""Every line of docs/security.md names a test that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
#: how a line ends: with one test or several
SHOWN = re.compile(r"\((`tests/\w+/test_\w+\.py::test_\w+`(, )?)+\)\.$")


def claims() -> list[str]:
    """The list items of the page, each on one line."""
    items = re.split(r"^(?=- |#)", PAGE, flags=re.MULTILINE)
    return [" ".join(item.split()) for item in items if item.startswith("- ")]


def names_in(path: str) -> set[str]:
    """The names of the test functions of a file."""
    return {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_claim_ends_with_a_test() -> None:
    found = claims()
    assert len(found) >= 20
    for claim in found:
        assert SHOWN.search(claim), f"no test is named: {claim}"


def test_every_test_that_is_named_is_there() -> None:
    named = re.findall(r"`(tests/\S+?)::(\w+)`", PAGE)
    assert len(named) >= len(claims())
    assert [(path, name) for path, name in named if name not in names_in(path)] == []


def test_claims_stand_in_lists_and_nowhere_else() -> None:
    loose = [line for line in PAGE.splitlines() if line and not line.startswith(("#", "- ", "  "))]
    introduction = PAGE.partition("\n## ")[0]
    assert all(line in introduction for line in loose), loose
