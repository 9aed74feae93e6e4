"""nasjac train: one stored architecture is trained and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nasjac.cli.call import Answer, Call, answer
from nasjac.cli.config import Common
from nasjac.searching.train import train


@dataclass(frozen=True)
class Config(Common):
    """The options of nasjac train."""

    key: str = "???"
    out: str = "???"
    dataset: Any = None
    trainer: Any = None


def run(call: Call) -> Answer:
    """Train the architecture."""
    options = call.values(("key", "out", "database", "device", "quiet", "trust"))  # first of all: some may be missing
    found = train(dataset=call.chosen("dataset"), trainer=call.chosen("trainer"), **options)
    best = found.best
    content = {
        "key": found.key,
        "status": "ok" if best else "diverged",
        **{name: vars(best)[name] if best else None for name in ("accuracy", "loss", "learning_rate", "seed")},
        "checkpoint": str(found.folder) if found.folder else None,
        "dataset": found.dataset,
        "dataset_digest": found.dataset_digest,
    }
    return answer(repr(found), content)
