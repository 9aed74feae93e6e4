"""All that a database knows of one architecture, and which processors and versions measured it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nasjac.architecture.measurement import TERMS
from nasjac.reporting.wording import mixed
from nasjac.store.store import Store

#: a row by its columns, JSON as what it says; NULL is None
Content = Mapping[str, Any]

_TRIALS = """SELECT study, number, batch, state, architecture_key, kept_key, objectives, constraints, choices, reason
    FROM trial WHERE architecture_key = :key OR kept_key = :key ORDER BY study, number"""
_VALIDATIONS = """SELECT dataset, dataset_digest, trainer, trainer_id, learning_rate, seed, status, accuracy, loss,
    train_loss, steps, seconds, reason, created, run_id, fingerprint
    FROM validation WHERE architecture_key = :key ORDER BY dataset, dataset_digest, trainer_id, learning_rate, seed"""
_MEASUREMENTS = "SELECT * FROM measurement WHERE architecture_key = :key ORDER BY created, score_id"
_RECOMMENDED = "SELECT name, recommended_reason FROM study WHERE recommended_key = :key ORDER BY rowid"
_PICKS = "SELECT study, role FROM validation_pick WHERE architecture_key = :key ORDER BY study, role"
_OF_STUDY = """SELECT fingerprint FROM measurement
    WHERE (architecture_key, score_id) IN (SELECT architecture_key, score_id FROM trial WHERE study = :study)
    ORDER BY rowid"""

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Known:
    """What is known of an architecture; its fields are those of `nasjac show KEY format=json`.

    `columns`      of the table architecture, but for key and spec
    `recommended`  by which studies (`study`) and `why`
    `picks`        for whose validations it was chosen, in which `role`
    `measurements` by their columns, with `terms` as value and standard_error, and the whole profile
    `mixed`        a sentence each on values of unlike processors, here and in the studies that met it
    """

    key: str
    spec: Content
    columns: Content
    recommended: list[Content]
    picks: list[Content]
    trials: list[Content]
    measurements: list[Content]
    validations: list[Content]
    mixed: list[str]


def known_of(store: Store, key: str) -> Known:
    """Return all that the database knows of the architecture stored under `key`."""

    def ask(relation: str, sql: str) -> list[Content]:
        return [*store.rows(relation, sql, {"key": key})]

    [columns] = ask("architecture", "SELECT * FROM architecture WHERE key = :key")
    measurements, trials = ask("measurement", _MEASUREMENTS), ask("trial", _TRIALS)
    validations = ask("validation", _VALIDATIONS)
    studies = dict.fromkeys(row["study"] for row in trials)
    groups = {
        "The measurements of this architecture": counted(row["fingerprint"] for row in measurements),
        "The trainings of this architecture": counted(row["fingerprint"] for row in validations),
        **{f"The measurements of study {study}": measured_by(store, study) for study in studies},
    }
    return Known(
        key=columns["key"],
        spec=columns["spec"],
        columns={name: value for name, value in columns.items() if name not in ("key", "spec")},
        recommended=[{"study": row["name"], "why": row["recommended_reason"]} for row in ask("study", _RECOMMENDED)],
        picks=ask("validation_pick", _PICKS),
        trials=trials,
        measurements=[_with_terms(row) for row in measurements],
        validations=validations,
        mixed=[sentence for what, counts in groups.items() if (sentence := mixed(what, counts))],
    )


def _with_terms(row: Content) -> Content:
    """Gather the columns of terms under `terms`."""
    terms = {term: {"value": row[term], "standard_error": row[f"{term}_se"]} for term in TERMS}
    rest = {name: value for name, value in row.items() if name.removesuffix("_se") not in TERMS}
    return {**rest, "terms": terms, "profile": row["profile"]}


def counted(fingerprints: Iterable[str | None]) -> Counter[str]:
    """Return {fingerprint: how many}; "unknown" are those of before fingerprints were kept."""
    return Counter(UNKNOWN if fingerprint is None else fingerprint for fingerprint in fingerprints)


def measured_by(store: Store, study: str) -> Counter[str]:
    """Return {fingerprint: how many} of the measurements of the study's trials, the oldest first."""
    return counted(row["fingerprint"] for row in store.rows("measurement", _OF_STUDY, {"study": study}))
