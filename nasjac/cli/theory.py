"""nasjac theory: the closed forms of one architecture."""

from __future__ import annotations

from dataclasses import dataclass

from nasjac.cli.call import Answer, Call, answer
from nasjac.cli.given import ArchitectureConfig, architecture
from nasjac.models.theory import theory


@dataclass(frozen=True)
class Config(ArchitectureConfig):
    """The options of nasjac theory."""

    out: str | None = "reports/theory"


def run(call: Call) -> Answer:
    """Compute the closed forms of an architecture."""
    found = theory(architecture(call), call.config.stream_variance, call.config.out)
    return answer(found.as_text(), found.to_json())
