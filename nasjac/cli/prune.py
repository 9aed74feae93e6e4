"""nasjac prune: residual branches out of a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nasjac.architecture.spec import Spec
from nasjac.cli.call import Answer, Call, answer, names_of
from nasjac.cli.given import NetworkConfig, network, stored
from nasjac.foundation.errors import InputError
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.prune import PruneOptions, prune
from nasjac.surgery.sources import spec_from


@dataclass(frozen=True)
class SourceConfig(NetworkConfig):
    """What can be pruned: an architecture without weights too."""

    spec: str | None = None


@dataclass(frozen=True)
class Config(PruneOptions, SourceConfig):
    """The options of nasjac prune; of a `model`, `blocks` names its list of blocks."""

    blocks: str | None = None
    save_tuned: str | None = None
    allow_pickle: bool = False
    out: str | None = None


def run(call: Call) -> Answer:
    """Take branches out."""
    of = network(call, ("checkpoint", "spec", "model"))
    if call.config.spec is not None:
        of = of._replace(source=_spec(call))
    found = prune(**of._asdict(), **call.values(names_of(Config, SourceConfig)), say=call.console.say)
    return answer(repr(found), found.to_json())


def _spec(call: Call) -> Spec:
    """The Spec in a file, or that of a stored architecture."""
    given = call.config.spec
    if Path(given).exists():
        path = Path(given)
        return spec_from(path / checkpoint.SPEC if path.is_dir() else path)
    if given.endswith(".json") or "/" in given:
        raise InputError(f"`spec` must be a file with a Spec's JSON or the start of a stored key, got {given!r}")
    return stored(call, given)
