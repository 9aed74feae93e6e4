"""The row that a command leaves in the database: what ran, with which versions, and where its time went."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
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


@dataclass
class Run:
    """What a run row gets at its end: where the time went, and notes."""

    seconds: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


@contextmanager
def recorded(
    store: Store,
    verb: str,
    study: str | None,
    chosen: Mapping[str, Chosen | None],
    options: Mapping[str, Any],
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Run]:
    """Keep a row in `run` for the time of the block: what ran, with which versions, and where its time went.

    Args:
        store: Where it is kept.
        verb: search, validate or train.
        study: That it works on, if any.
        chosen: The option chosen of each group, None where none is.
        options: All other options: JSON values and dataclasses of them.
        device: Where it runs.
        stop: Says whether the block has ended early.
    """
    groups = {group: None if one is None or one.made is None else dict(one.options) for group, one in chosen.items()}
    plain = {name: asdict(value) if is_dataclass(value) else value for name, value in options.items()}  # type: ignore[arg-type]
    choices = {group: None if one is None else one.name for group, one in chosen.items()}
    commit, dirty = commit_of()
    row = RunRow(
        verb=verb,
        study=study,
        config={**groups, **plain, "choices": choices},
        versions={name: version(name) for name in ("nasjac", "torch", "optuna", "numpy", "hydra-core")}
        | {"python": platform.python_version()},
        device=f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device),
        command=" ".join(sys.argv),
        git_commit=commit,
        git_dirty=dirty,
        fingerprint=fingerprint(device),
    )
    number, run, began, status = store.begin_run(row), Run(), time.perf_counter(), "failed"
    try:
        yield run
        status = "interrupted" if stop() else "finished"
    finally:
        run.seconds["total"] = time.perf_counter() - began
        store.finish_run(number, status, run.seconds, run.notes)


def run_study(store: Store, name: str, job: Job, console: Console, run: Run, stop: Interrupted) -> Outcome:
    """Run or resume a study, with a bar of progress and the notes of its run."""
    done = len(store.trials(name))
    with console.bar(f"search {name}", job.budget.trials, done) as advance:
        outcome = loop.run(store, name, job, advance, stop)
    run.seconds |= outcome.seconds
    run.notes |= {"trials": outcome.trials, "started_at": done, "mean_group_size": outcome.group_size}
    parts = ", ".join(f"{part} {value:.1f} s" for part, value in outcome.seconds.items())
    if outcome.fresh:
        overhead = 1e3 * (outcome.seconds["sampler"] + outcome.seconds["store"]) / outcome.fresh
        console.say(f"{outcome.fresh} trials: {parts}; sampler and store {overhead:.2f} ms a trial")
    else:
        console.say(f"nothing left to search ({parts})")
    if outcome.ended:
        console.say(f"the sampler has ended the search after {outcome.trials} trials: it has nothing left to propose")
    return outcome
