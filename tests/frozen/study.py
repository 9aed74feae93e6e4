"""A small study: its search, and what its trials are."""

from __future__ import annotations

import sqlite3
from contextlib import chdir, closing
from pathlib import Path
from typing import Any

from nasjac.cli import main

STUDY, TRIALS, MORE = "frozen", 48, 16
DATABASE = "nasjac.db"

#: a mixture of explicit and leaky blocks, some of them ensembles' patterns, by the default score and sampler
OPTIONS = (
    f"study={STUDY}",
    "space.depth_max=8",
    "space.widths=[16,32]",
    "space.skip_mode=ensemble",
    "space.block_types=[explicit,leaky]",
    "space.step_min=0.2",
    "score.rel_error=null",
    "score.patterns=3",
    "sampler.population_size=16",
    "search.batch=16",
    "budget.max_params=20000",
    "validation.top=2",
    "validation.random=1",
    "validation.matched=0",
    "trainer.steps=20",
    "trainer.learning_rates=[0.01]",
    "quiet=true",
)


def searched(folder: Path, trials: int) -> int:
    """Search in `folder`, or go on there; returns the exit code."""
    with chdir(folder):
        return main(["search", *OPTIONS, f"budget.trials={trials}"])


def trials(folder: Path) -> list[dict[str, Any]]:
    """All that is stored of the study's trials, in order."""
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM trial WHERE study = ? ORDER BY number", [STUDY])]
