"""nasjac correlate: how well a score ranks a table of trained architectures."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar

from nasjac.cli.call import Answer, Call, plain
from nasjac.cli.config import Common
from nasjac.searching.load import load
from nasjac.searching.options import typed
from nasjac.tables.correlate import correlate
from nasjac.tables.correlate_text import as_text
from nasjac.tables.scores import TABLE_SCORES
from nasjac.tables.selection import Options
from nasjac.tables.spaces import TABLE_SPACES


@dataclass(frozen=True)
class Config(Options, Common):
    """The options of nasjac correlate, whose spaces and scores are those of tables."""

    groups: ClassVar[dict[str, dict[str, Any]]] = Common.groups | {"space": TABLE_SPACES, "score": TABLE_SCORES}

    table: str = "???"
    space: Any = None
    score: Any = None
    dataset: Any = None
    out: str | None = None


def run(call: Call) -> Answer:
    """Score the table's architectures."""
    space, score = (_option(call, group) for group in ("space", "score"))
    found = correlate(
        space=space,
        score=score,
        dataset=lambda: call.chosen("dataset").made.load(),
        **call.values(("table", "out", *(entry.name for entry in fields(Options)))),
        device=call.device,
        bar=lambda total: call.console.bar(f"correlate {score.name}", total),
    )
    return Answer(as_text(found), found.to_json())


def _option(call: Call, group: str) -> Any:
    """A table's space or score by its name, with its options."""
    name = call.choice(group, Config.groups)
    kind = load(name) if ":" in name else Config.groups[group][name]
    if not is_dataclass(kind):
        return kind
    return typed(kind if isinstance(kind, type) else type(kind), plain(call.config[group]), group)
