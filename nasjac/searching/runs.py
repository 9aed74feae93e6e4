"""The row that a command leaves in the database: what ran, with which versions, and where its time went."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from importlib.metadata import version
from typing import Any

import torch

from nasjac.foundation.console import Console
from nasjac.foundation.fingerprint import fingerprint
from nasjac.foundation.interrupts import Interrupted
from nasjac.searching import loop
from nasjac.searching.checkout import commit_of
from nasjac.searching.job import Job
from nasjac.searching.loop import Outcome
from nasjac.searching.options import Chosen
from nasjac.store import Store
from nasjac.store.rows import RunRow


class Run:
    """What a run row gets at its end."""

    def __init__(self) -> None:
        self.status, self.seconds, self.notes = "failed", dict[str, float](), dict[str, Any]()


@contextmanager
def recorded(store: Store, verb: str, study: str | None, config: Mapping[str, Any], device: torch.device) -> Iterator[Run]:
    """Keep a row in `run` for the time of the block: what ran, with which versions, and where its time went.

    Args:
        store: Where it is kept.
        verb: search, validate or train.
        study: That it works on, if any.
        config: All options, ready for JSON (`configuration`).
        device: Where it runs.
    """
    commit, dirty = commit_of()
    row = RunRow(
        verb=verb,
        study=study,
        config=config,
        versions={name: version(name) for name in ("nasjac", "torch", "optuna", "numpy", "hydra-core")}
        | {"python": platform.python_version()},
        device=f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device),
        command=" ".join(sys.argv),
        git_commit=commit,
        git_dirty=dirty,
        fingerprint=fingerprint(device),
    )
    number, run, began = store.begin_run(row), Run(), time.perf_counter()
    try:
        yield run
    finally:
        run.seconds["total"] = time.perf_counter() - began
        store.finish_run(number, run.status, run.seconds, run.notes)


def run_study(store: Store, name: str, job: Job, console: Console, run: Run, stop: Interrupted) -> Outcome:
    """Run or resume a study, with a bar of progress and the notes of its run."""
    done = len(store.trials(name))
    with console.bar(f"search {name}", job.budget.trials, done) as advance:
        outcome = loop.run(store, name, job, advance, stop)
    run.seconds |= outcome.seconds
    run.notes |= {"trials": outcome.trials, "started_at": done, "mean_group_size": outcome.group_size}
    console.say(where_time_went(outcome))
    if outcome.ended:
        console.say(f"the sampler has ended the search after {outcome.trials} trials: it has nothing left to propose")
    return outcome


def where_time_went(outcome: Outcome) -> str:
    """One line on the seconds of a search, by part."""
    parts = ", ".join(f"{part} {value:.1f} s" for part, value in outcome.seconds.items())
    if not outcome.fresh:
        return f"nothing left to search ({parts})"
    overhead = 1e3 * (outcome.seconds["sampler"] + outcome.seconds["store"]) / outcome.fresh
    return f"{outcome.fresh} trials: {parts}; sampler and store {overhead:.2f} ms a trial"


def configuration(chosen: Mapping[str, Chosen | None], **options: Any) -> dict[str, Any]:
    """All options of a command, ready for JSON; `choices` says which option of each group was chosen."""
    groups = {group: None if one is None or one.made is None else dict(one.options) for group, one in chosen.items()}
    choices = {group: None if one is None else one.name for group, one in chosen.items()}
    return {**groups, **{name: _plain(value) for name, value in options.items()}, "choices": choices}


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
