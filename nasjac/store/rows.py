"""A dataclass for the rows of each table: its fields are the columns, and their types are what a column may hold.

What is written (`nasjac.store.columns`) and what is accepted when it is read (`nasjac.store.typed`) follow from these
declarations. What a column means stands beside it in the SQL of `nasjac/store/migrations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Json

from nasjac.architecture.measurement import OF_THE_MACHINE, Status
from nasjac.store.columns import Count, Flag, Numbers, Object, Row, SpecObject

State = Literal["complete", "duplicate", "infeasible", "failed"]
Role = Literal["front", "random", "matched"]


@dataclass(frozen=True)
class RunRow(Row, table="run", keys=("run_id",)):
    """One command that wrote to the database. `started` None: when it is recorded."""

    verb: str
    study: str | None = None
    config: Object = field(default_factory=dict)
    versions: Object = field(default_factory=dict)
    device: str | None = None
    command: str | None = None
    git_commit: str | None = None
    git_dirty: Flag | None = None
    started: str | None = None
    finished: str | None = None
    status: str = "running"
    timings: Numbers = field(default_factory=dict)
    notes: Object = field(default_factory=dict)
    run_id: Count | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class StudyRow(Row, table="study", keys=("name",)):
    """One search: what makes it that search (`identity`), and what it recommends."""

    name: str
    identity: Object
    score_id: str
    dataset: str | None
    created: str
    recommended_key: str | None = None
    recommended_reason: str | None = None
    dataset_digest: str | None = None


@dataclass(frozen=True)
class ArchitectureRow(Row, table="architecture", keys=("key",)):
    """One architecture: `spec` is the canonical JSON of its Spec, the rest its choices and sizes."""

    key: str
    spec: SpecObject
    kind: str
    depth: Count
    width: Count
    placement: str
    norm: str
    activation: str
    branch: str
    skip_density: float | None = None
    skip_count: Count | None = None
    weight_gain: float | None = None
    branch_scale: float | None = None
    params: Count | None = None
    flops: Count | None = None
    log2_paths: float | None = None
    effective_depth: float | None = None
    nonlinear_effective_depth: float | None = None
    block: str = "explicit"
    step: float = 1.0
    leak: float = 0.0


@dataclass(frozen=True)
class TrialRow(Row, table="trial", keys=("study", "number")):
    """One trial of a study. `score_id` None: that of the batch, which `Store.record_batch` writes.

    `status` is that of the measurement which settled it, None where none was looked at.
    """

    study: str
    number: Count
    batch: Count
    state: State
    asked: Count
    architecture_key: str | None = None
    kept_key: str | None = None
    objectives: Numbers = field(default_factory=dict)
    constraints: Numbers = field(default_factory=dict)
    choices: Object = field(default_factory=dict)
    distributions: Json[Mapping[str, str]] = field(default_factory=dict)
    system_attrs: Object = field(default_factory=dict)
    reason: str | None = None
    score_id: str | None = None
    status: Status | None = None

    @property
    def is_lasting(self) -> bool:
        """Return whether it settles its network for the study: it is scored, and if it failed, not by the machine.

        One that keeps every constraint and is infeasible has been measured, and breaks a rule that measuring alone shows.
        """
        if self.state == "infeasible":
            return bool(self.constraints) and max(self.constraints.values()) <= 0
        return self.state in ("complete", "failed") and self.status not in OF_THE_MACHINE


@dataclass(frozen=True)
class BatchRow(Row, table="batch", keys=("study", "batch")):
    """One stored batch of a study, and what the sampler noted on the study since the batch before."""

    study: str
    batch: Count
    notes: Object


@dataclass(frozen=True)
class ValidationRow(Row, table="validation", keys=("architecture_key", "dataset", "trainer_id", "seed", "learning_rate")):
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
    steps: Count | None = None
    seconds: float | None = None
    created: str | None = None
    run_id: Count | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class PickRow(Row, table="validation_pick", keys=("study", "architecture_key", "role")):
    """One architecture that a study's validation chose, why, and the data that it was to be trained on."""

    study: str
    architecture_key: str
    role: Role
    dataset_digest: str | None = None


@dataclass(frozen=True)
class MeasurementRow(Row, table="measurement", keys=("architecture_key", "score_id")):
    """What the row of a `Measurement` has that is not a field of it, or has in another type; its terms come on top."""

    architecture_key: str
    score: str
    score_id: str
    created: str
    draws: Count
    raced: Flag
    precision_reached: Flag | None
    run_id: Count | None
    fingerprint: str | None


#: by table
ROWS: Mapping[str, type[Row]] = {
    row.table: row
    for row in (RunRow, StudyRow, ArchitectureRow, TrialRow, BatchRow, MeasurementRow, ValidationRow, PickRow)
}
