"""Optuna studies in memory, made without a word on the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import optuna


@contextmanager
def quiet() -> Iterator[None]:
    """Within this block Optuna logs warnings and errors alone; what it was told before holds again afterwards."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def random_study(seed: int) -> optuna.Study:
    """Make a study that asks at random."""
    with quiet():
        return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
