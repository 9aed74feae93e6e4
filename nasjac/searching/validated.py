"""Architectures that have been trained: what the validation rows of a database say of each."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nasjac.store.rows import ValidationRow

#: why an architecture is picked
ROLES = ("front", "random", "matched")


@dataclass(frozen=True)
class Trained:
    """What training made of one architecture.

    `accuracy`        mean over the finished seeds, at the learning rate where that is best; None if all diverged
    `standard_error`  of that mean, over seeds; None with fewer than two
    `by_seed`         best accuracy over the learning rates, each seed for itself; -inf where all diverged
    `diverged`        diverged trainings among the `trainings`
    """

    key: str
    accuracy: float | None
    standard_error: float | None
    learning_rate: float | None
    by_seed: Mapping[int, float]
    trainings: int
    diverged: int


@dataclass(frozen=True)
class Protocol:
    """How architectures were trained; `others` counts the further protocols under which some of them were."""

    dataset: str
    dataset_digest: str
    trainer: str
    trainer_id: str
    learning_rates: tuple[float, ...]
    seeds: tuple[int, ...]
    others: int


@dataclass(frozen=True)
class Pick:
    """An architecture picked for validation.

    `roles`     why: front, random (drawn fresh from the space), matched (random, parameters as the recommended one's)
    `facts`     what is known without training, named as the leaderboard's columns: the score's terms, sizes, choices
    `training`  None if it has not been trained under the protocol
    """

    key: str
    roles: tuple[str, ...]
    facts: Mapping[str, Any]
    training: Trained | None

    @property
    def accuracy(self) -> float | None:
        """None where it has not been trained, and where every training diverged."""
        return self.training.accuracy if self.training else None

    @property
    def standard_error(self) -> float | None:
        """Of the accuracy, over seeds."""
        return self.training.standard_error if self.training else None


def by_protocol(rows: Sequence[ValidationRow]) -> tuple[Protocol | None, dict[str, Trained]]:
    """The protocol under which most of the architectures were trained, the latest of several, and what it made of each.

    Accuracies on different data or by different trainers are never mixed, and those on unknown data count for nothing.
    """
    groups: dict[tuple[str, str], list[ValidationRow]] = defaultdict(list)
    for row in rows:
        if row.dataset_digest is not None:
            groups[row.dataset_digest, row.trainer_id].append(row)
    if not groups:
        return None, {}
    chosen = max(groups.values(), key=lambda group: (len(_by_key(group)), group[-1].created or ""))
    protocol = Protocol(
        dataset=chosen[0].dataset,
        dataset_digest=str(chosen[0].dataset_digest),
        trainer=chosen[0].trainer,
        trainer_id=chosen[0].trainer_id,
        learning_rates=tuple(sorted({row.learning_rate for row in chosen})),
        seeds=tuple(sorted({row.seed for row in chosen})),
        others=len(groups) - 1,
    )
    return protocol, {key: trained(key, group) for key, group in _by_key(chosen).items()}


def trained(key: str, rows: Sequence[ValidationRow]) -> Trained:
    """What the trainings of one architecture come to. Ties between learning rates go to the lower one."""
    by_seed = {row.seed: -math.inf for row in rows}
    by_rate: dict[float, list[float]] = defaultdict(list)
    for row in rows:
        if row.accuracy is not None:
            by_seed[row.seed] = max(by_seed[row.seed], row.accuracy)
            by_rate[row.learning_rate].append(row.accuracy)
    diverged = sum(row.accuracy is None for row in rows)
    if not by_rate:
        return Trained(key, None, None, None, by_seed, len(rows), diverged)
    # the rate at which most seeds finished, then the most accurate: one lucky seed of two does not win
    rate = max(sorted(by_rate), key=lambda rate: (len(by_rate[rate]), float(np.mean(by_rate[rate]))))
    found = by_rate[rate]
    error = float(np.std(found, ddof=1) / math.sqrt(len(found))) if len(found) > 1 else None
    return Trained(key, float(np.mean(found)), error, rate, by_seed, len(rows), diverged)


def _by_key(rows: Sequence[ValidationRow]) -> dict[str, list[ValidationRow]]:
    groups: dict[str, list[ValidationRow]] = defaultdict(list)
    for row in rows:
        groups[row.architecture_key].append(row)
    return groups
