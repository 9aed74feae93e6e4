"""nasjac grow: new residual blocks in a trained network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nasjac.cli.call import Answer, Call, answer, names_of
from nasjac.cli.given import NetworkConfig, network
from nasjac.surgery.grow import grow
from nasjac.surgery.limits import Budget


@dataclass(frozen=True)
class Config(NetworkConfig):
    """The options of nasjac grow; of a `model`, `blocks` names its list of blocks."""

    blocks: Any = "???"
    insert: Any = None
    init: str | None = None
    gain: float = 0.1
    after: Any = None
    budget: Budget = field(default_factory=Budget)
    rule: str | None = None
    epsilon_spectral: float | None = None
    epsilon_rms: float | None = None
    points: int = 16
    seed: int = 0
    force: bool = False
    allow_pickle: bool = False
    out: str | None = None


def run(call: Call) -> Answer:
    """Insert new blocks."""
    of = network(call, ("checkpoint", "model"))
    found = grow(**of._asdict(), **call.values(names_of(Config, NetworkConfig)), say=call.console.say)
    return answer(repr(found), found.to_json())
