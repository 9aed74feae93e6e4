"""nasjac search: architectures are sampled, scored before training, stored, and the best of them trained briefly."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from nasjac.cli.call import Answer, Call, answer, given_names
from nasjac.cli.config import Common
from nasjac.foundation.errors import InputError
from nasjac.searching.front import search
from nasjac.searching.job import SearchOptions
from nasjac.searching.objectives import Budget
from nasjac.searching.results import WarmSearchResult
from nasjac.searching.validate import ValidationOptions
from nasjac.searching.warm_space import WarmOptions

#: what every search takes
PLAIN = ("study", "seed", "database", "device", "on_conflict", "quiet", "trust", "search", "budget")
#: what a search from a checkpoint takes: the rest belongs to architectures without weights
TAKEN = (*PLAIN, "warm", "sampler", "dataset", "format", "out", "hydra")
NOT_TAKEN = ("search.racing", "budget.min_effective_depth")


@dataclass(frozen=True)
class StudyConfig(Common):
    """What a search and a validation take alike."""

    study: str | None = None
    space: Any = None
    score: Any = None
    sampler: Any = None
    dataset: Any = None
    trainer: Any = None
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    save: str | None = None
    out: str = "reports"


@dataclass(frozen=True)
class Config(StudyConfig):
    """The options of nasjac search."""

    on_conflict: str = "resume"
    seed: int = 0
    budget: Budget = field(default_factory=Budget)
    search: SearchOptions = field(default_factory=SearchOptions)
    warm: WarmOptions = field(default_factory=WarmOptions)


def run(call: Call) -> Answer | int:
    """Run or resume a search; return an exit code where a signal has stopped it."""
    names, is_warm = given_names(), call.config.search.warm_start is not None
    _check_given(names, is_warm)
    if is_warm:
        options = call.values((*PLAIN, "warm", *(["out"] if "out" in names else [])))
        groups = ["sampler", *(["dataset"] if any(name.partition(".")[0] == "dataset" for name in names) else [])]
    else:
        options = call.values((*PLAIN, "out", "save", "validation"))
        groups = ["space", "score", "sampler", "dataset", "trainer"]
    found = search(**options | {group: call.chosen(group) for group in groups})
    if found.signal is not None:
        return stopped(call, found.study, found.signal)
    if isinstance(found, WarmSearchResult):
        assert found.summary is not None, "it has not been stopped"
        return Answer(found.summary.as_text(), found.summary.to_json())
    assert found.page is not None, "the command line asks for one"
    return answer(found.page.text, found.page.summary)


def stopped(call: Call, study: str, signal: int) -> int:
    """Say how to go on with what a signal has stopped, and return the exit code."""
    words = [word for word in sys.argv[1:] if not word.startswith("on_conflict=")]
    is_sweep = HydraConfig.get().mode == RunMode.MULTIRUN  # its jobs have a study each
    named = is_sweep or any(word.startswith("study=") for word in words)
    command = shlex.join([*sys.argv[0].split(), *words, *([] if named else [f"study={study}"])])
    call.console.say(f"stopped; everything so far is stored. Go on with: {command}")
    return 128 + signal


def _check_given(names: Sequence[str], is_warm: bool) -> None:
    """Refuse options of a search from a checkpoint without one, and with one those that it does not read."""
    for name in names:
        group = name.partition(".")[0]
        if not is_warm and group == "warm":
            raise InputError(f"`{name}` must come with search.warm_start, the checkpoint to search from, got none")
        if is_warm and (group not in TAKEN or name in NOT_TAKEN):
            rule = "for the architectures searched are those around the checkpoint, at its weights"
            raise InputError(f"`{name}` must be left out with search.warm_start, {rule}, got it on the command line")
