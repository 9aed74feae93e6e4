"""nasjac report: the page of a stored study."""

from __future__ import annotations

from dataclasses import dataclass

from nasjac.cli.call import Answer, Call, answer
from nasjac.cli.config import Common
from nasjac.searching.stored_studies import report


@dataclass(frozen=True)
class Config(Common):
    """The options of nasjac report."""

    study: str = "???"
    out: str = "reports"


def run(call: Call) -> Answer:
    """Write the report of a study."""
    page = report(**call.values(("study", "database", "out", "trust")))
    return answer(page.text, page.summary)
