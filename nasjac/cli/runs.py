"""The row that a command leaves in the database: what ran, with which versions, and where its time went."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from nasjac.cli.checkout import commit_of
from nasjac.cli.options import Choices
from nasjac.foundation.fingerprint import fingerprint
from nasjac.store import Store
from nasjac.store.rows import RunRow


class Run:
    """What a run row gets at its end."""

    def __init__(self) -> None:
        self.status, self.seconds, self.notes = "failed", dict[str, float](), dict[str, Any]()


@contextmanager
def recorded(
    store: Store, verb: str, study: str | None, config: DictConfig, choices: Choices, device: torch.device
) -> Iterator[Run]:
    """A row in `run` for the time of the block: what ran, with which versions, and where its time went."""
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    commit, dirty = commit_of()
    row = RunRow(
        verb=verb,
        study=study,
        config={**content, "choices": dict(choices)},  # type: ignore[dict-item]
        versions={name: version(name) for name in ("nasjac", "torch", "optuna", "numpy", "hydra-core")}
        | {"python": platform.python_version()},
        device=f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device),
        command=" ".join(["nasjac", verb, *sys.argv[1:]]),
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
