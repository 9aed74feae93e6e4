"""What a row of a table says: its marks, its architecture, why it has no target; and what is wrong with it as a whole."""

from __future__ import annotations

from collections.abc import Mapping

from nasjac.architecture.spec import KINDS
from nasjac.foundation.errors import InputError
from nasjac.tables.cells import quoted
from nasjac.tables.space import Architecture, Elsewhere, TableSpace

#: columns that are understood, where a space has them: what may stand in them
MARKS = {"kind": tuple(KINDS), "status": ("ok", "diverged"), "half": ("choose", "report")}


class Wrong(Exception):
    """What is wrong with a row as a whole."""

    def __init__(self, column: str, reason: object, rule: str) -> None:
        self.column, self.reason, self.rule = column, str(reason), rule


def marks_of(cells: Mapping[str, str], space: TableSpace) -> dict[str, str]:
    """Return what a row says in the columns that are understood; of one of another kind no more than that."""
    found: dict[str, str] = {}
    for name in (name for name in MARKS if name in space.others and name in cells):
        if cells[name] not in MARKS[name]:
            reason = f"`{name}` must be one of {', '.join(MARKS[name])}, got {quoted(cells[name])}"
            raise Wrong(name, reason, "none of its choices")
        found[name] = cells[name]
        if found.get("kind", space.name) != space.name:
            break
    return found


def architecture_of(text: str, marks: Mapping[str, str], space: TableSpace) -> Architecture | None:
    """Return the architecture of a row, None if it is of another space."""
    if marks.get("kind", space.name) != space.name:
        return None
    try:
        architecture: Architecture = space.parse(text)
        return architecture
    except Elsewhere as error:
        if "kind" in marks:
            reason = f"{error}, where `kind` is {marks['kind']}"
            raise Wrong(space.column, reason, "an architecture of another kind than it says") from error
        return None
    except InputError as error:
        raise Wrong(space.column, error, "no architecture of this space") from error


def failure_of(cells: Mapping[str, str], marks: Mapping[str, str], space: TableSpace) -> str | None:
    """Return why a row has no target, where it says so."""
    if marks.get("status", "ok") == "ok":
        return None
    if figures := [name for name in space.targets if cells.get(name)]:
        reason = f"{marks['status']}, but {figures[0]} is {quoted(cells[figures[0]])}"
        raise Wrong("status", reason, "a figure although it is said to have none")
    return marks["status"]
