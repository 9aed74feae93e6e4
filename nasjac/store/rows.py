"""The rows of the results database as nouns: fields are named as the columns, JSON columns are plain dicts.

What a column means stands beside it in `nasjac.store.schema`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nasjac.architecture.measurement import OF_THE_MACHINE, Status

Json = Mapping[str, Any]
State = Literal["complete", "duplicate", "infeasible", "failed"]
Role = Literal["front", "random", "matched"]


@dataclass(frozen=True)
class RunRow:
    """One command that wrote to the database. `started` None: when it is recorded."""

    verb: str
    study: str | None = None
    config: Json = field(default_factory=dict)
    versions: Json = field(default_factory=dict)
    device: str | None = None
    command: str | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None
    started: str | None = None
    finished: str | None = None
    status: str = "running"
    timings: Json = field(default_factory=dict)
    notes: Json = field(default_factory=dict)
    run_id: int | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class StudyRow:
    """One search: what makes it that search (`identity`), and what it recommends."""

    name: str
    identity: Json
    score_id: str
    dataset: str | None
    created: str
    recommended_key: str | None = None
    recommended_reason: str | None = None
    dataset_digest: str | None = None


@dataclass(frozen=True)
class ArchitectureRow:
    """One architecture: `spec` is the canonical JSON of its Spec, the rest its choices and sizes."""

    key: str
    spec: Json
    kind: str
    depth: int
    width: int
    placement: str
    norm: str
    activation: str
    branch: str
    skip_density: float | None = None
    skip_count: int | None = None
    weight_gain: float | None = None
    branch_scale: float | None = None
    params: int | None = None
    flops: int | None = None
    log2_paths: float | None = None
    effective_depth: float | None = None
    nonlinear_effective_depth: float | None = None
    block: str = "explicit"
    step: float = 1.0
    leak: float = 0.0


@dataclass(frozen=True)
class TrialRow:
    """One trial of a study. `score_id` None: that of the batch, which `Store.record_batch` writes.

    `status` is that of the measurement which settled it, None where none was looked at.
    """

    study: str
    number: int
    batch: int
    state: State
    asked: int
    architecture_key: str | None = None
    kept_key: str | None = None
    objectives: Json = field(default_factory=dict)
    constraints: Json = field(default_factory=dict)
    choices: Json = field(default_factory=dict)
    distributions: Json = field(default_factory=dict)
    system_attrs: Json = field(default_factory=dict)
    reason: str | None = None
    score_id: str | None = None
    status: Status | None = None

    @property
    def is_lasting(self) -> bool:
        """Whether it settles its network for the study: it is scored, and if it failed, not by the machine.

        One that keeps every constraint and is infeasible has been measured, and breaks a rule that measuring alone shows.
        """
        if self.state == "infeasible":
            return bool(self.constraints) and max(self.constraints.values()) <= 0
        return self.state in ("complete", "failed") and self.status not in OF_THE_MACHINE


@dataclass(frozen=True)
class ValidationRow:
    """One brief training of one architecture. `created` None: when it is recorded, and by the run that records it.

    `dataset_digest` is None only in rows from before it was kept: on which data they were trained is unknown.
    """

    architecture_key: str
    dataset: str
    dataset_digest: str | None
    trainer: str
    trainer_id: str
    seed: int
    learning_rate: float
    status: Literal["ok", "diverged"]
    reason: str | None = None
    accuracy: float | None = None
    loss: float | None = None
    train_loss: float | None = None
    steps: int | None = None
    seconds: float | None = None
    created: str | None = None
    run_id: int | None = None
    fingerprint: str | None = None
