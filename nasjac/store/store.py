"""The results database: one file that several processes may write, a batch of trials at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from nasjac.architecture.measurement import TERMS, Measurement
from nasjac.foundation.errors import InputError
from nasjac.store.boundary import bounded
from nasjac.store.columns import R, measurement_columns, of_row, read_measurement, to_json
from nasjac.store.database import Table, begin, check_known, connect, path_of
from nasjac.store.former import MAY_DIFFER, former_keys
from nasjac.store.rows import ArchitectureRow, Role, RunRow, StudyRow, TrialRow, ValidationRow
from nasjac.store.schema import column_names
from nasjac.store.select import select
from nasjac.store.typed import checked

if TYPE_CHECKING:
    import pandas as pd

Conflict = Literal["resume", "new", "error"]

#: SQL: the value is one of the list in JSON :keys, or there is no such list; a list of any length is one parameter
_AMONG = "(:keys IS NULL OR {} IN (SELECT value FROM json_each(:keys)))"
#: SQL: an architecture that is there keeps its row, but for effective depths that are not known
_DEPTHS_AGAIN = """
ON CONFLICT (key) DO UPDATE SET effective_depth = coalesce(effective_depth, excluded.effective_depth),
    nonlinear_effective_depth = coalesce(nonlinear_effective_depth, excluded.nonlinear_effective_depth)
"""


@bounded
class Store:
    """A results database, opened: `with Store("nasjac.db") as store: store.frame("leaderboard")`.

    `url` is a path or sqlite:///path; the file is made unless `read_only`; `mounts` is the table of mounts. Writers
    wait up to 30 s for one another; each writing method is one transaction, so a killed process leaves whole batches.
    A network that an earlier version stored under another key than it has today keeps that key (`stored_key`): what is
    recorded under today's goes there, and both are found.
    Measurements and validations recorded between `begin_run` and `finish_run` are marked as made by that run.
    `trust` takes a database whose tables, views or triggers are not those that nasjac makes.
    ValueError: see `nasjac.store.database.connect`; any method: what SQLite refuses, and rows that hold in a column what is
    not of its type.
    """

    def __init__(
        self,
        url: str | Path = "nasjac.db",
        read_only: bool = False,
        mounts: str | Path = "/proc/mounts",
        trust: bool = False,
    ):
        self.path, self.trust = path_of(url), trust
        self._connection = connect(self.path, read_only, mounts, trust)
        self._origin: dict[str, Any] = {"run_id": None, "fingerprint": None}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. The last to close it folds the write-ahead log in, so that it is one file."""
        self._connection.close()

    # Reading in general

    def select(
        self, sql: str, values: Mapping[str, Any] | None = None, name: str = "sql", text: str | None = None
    ) -> Table:
        """Column names and rows of one SELECT. See `nasjac.store.select.select`, also for the errors."""
        return select(self._connection, sql, values or {}, name, text)

    def rows(self, relation: str, sql: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """What a SELECT of nasjac's own gives of the columns of one table or view, JSON as what it says.

        Columns go by their names there. InputError: a value that is not of its column's type.
        """
        found = self._connection.execute(sql, values or {})
        names = [entry[0] for entry in found.description]
        return [dict(zip(names, row, strict=True)) for row in checked(self.path, relation, names, found.fetchall())]

    def query(self, sql: str, /, **values: Any) -> pd.DataFrame:
        """What one SELECT gives; :x in it takes the value x. ValueError: malformed, or anything but reading."""
        import pandas as pd  # late: half a second that `nasjac query` need not wait

        if not isinstance(sql, str):
            raise InputError(f"`sql` must be the text of one SELECT, got {sql!r}")
        table = self.select(sql, values)
        return pd.DataFrame.from_records(table.rows, columns=list(table.columns), coerce_float=True)

    def frame(self, name: str, study: str | None = None) -> pd.DataFrame:
        """A whole table or view, or one study's share of it. `nasjac query --schema` lists them."""
        there = column_names()
        check_known("name", name, there)
        if study is None:
            return self.query(f"SELECT * FROM {name}")
        check_known("name", name, [relation for relation, names in there.items() if "study" in names])
        return self.query(f"SELECT * FROM {name} WHERE study = :study", study=self.study(study).name)

    # Studies and their trials

    def open_study(
        self,
        name: str,
        identity: Mapping[str, Any],
        on_conflict: Conflict,
        score_id: str,
        dataset_digest: str | None = None,
    ) -> str:
        """Make the study `name`, or find it; returns the name used.

        on_conflict, if it exists: resume (ValueError if its identity or its data are different ones), new (name-2,
        name-3, ...), or error. The `dataset` in the identity is a name or a mapping with one; what the leaderboard shows
        was trained on the data of `dataset_digest` (`nasjac.datasets.Data.digest`).
        """
        check_known("on_conflict", on_conflict, ("resume", "new", "error"))
        with self._transaction():
            taken = self.studies()
            if name in taken and on_conflict == "error":
                raise InputError(f"`study` must be a new name under on_conflict=error, got {name!r}, which exists")
            if name in taken and on_conflict == "resume":
                _check_same(name, self.study(name).identity, json.loads(to_json(identity)))
                if dataset_digest is not None:
                    self._claim_data(name, dataset_digest)
                return name
            if name in taken:
                name = next(f"{name}-{count}" for count in range(2, len(taken) + 3) if f"{name}-{count}" not in taken)
            dataset = identity.get("dataset")
            dataset = dataset.get("name") if isinstance(dataset, Mapping) else dataset
            self._insert(
                "study", [of_row(StudyRow(name, identity, score_id, dataset, now(), dataset_digest=dataset_digest))]
            )
        return name

    def claim_data(self, study: str, dataset_digest: str) -> None:
        """Say which data the study is on, where that is not known. ValueError: it is on others."""
        with self._transaction():
            self._claim_data(study, dataset_digest)

    def studies(self) -> list[str]:
        """Names of the studies, oldest first."""
        return [name for (name,) in self._checked("study", ["name"], "true ORDER BY rowid")]

    def study(self, name: str) -> StudyRow:
        """The study of that name. ValueError lists those there are."""
        check_known("study", name, self.studies())
        return self._read(StudyRow, "study", "name = :name", name=name)[0]

    def recommend(self, study: str, key: str, reason: str) -> None:
        """Store which architecture the study recommends, and why."""
        with self._transaction():
            self._connection.execute(
                "UPDATE study SET recommended_key = ?, recommended_reason = ? WHERE name = ?",
                (self.stored_key(key), reason, self.study(study).name),
            )

    def trials(self, study: str) -> list[TrialRow]:
        """The study's trials in number order."""
        return self._read(TrialRow, "trial", "study = :study ORDER BY number", study=self.study(study).name)

    def record_batch(
        self,
        study: str,
        batch: int,
        trials: Sequence[TrialRow],
        architectures: Sequence[ArchitectureRow],
        measurements: Sequence[Measurement],
        score: str,
        score_id: str,
        notes: Mapping[str, Any],
        apart: Mapping[str, Measurement] = MappingProxyType({}),
    ) -> None:
        """Store one batch of trials, the architectures it met and what was measured: all of it or nothing.

        Trials that say nothing of a digest, and `measurements`, go by `score_id`; `apart` are further measurements, each by
        a digest of its own, as those of networks with weights are, which the key of their architecture does not tell apart.

        Batches count from 0; `notes` is what the sampler noted on the study meanwhile. A batch that has been stored with
        fewer trials, because the budget ended inside it, is replaced. What has been measured is not written again; the
        newest measurement replaces one that is not reusable.
        ValueError: this is neither the study's next batch nor an extension of its last; a key stored with another spec.
        """
        assert trials and all(trial.study == study and trial.batch == batch for trial in trials)
        with self._transaction():
            self._replace_partial(study, batch, len(trials))
            self._insert("batch", [{"study": study, "batch": batch, "notes": to_json(notes)}])
            self._record_scored(architectures, measurements, score, score_id)
            for digest, measurement in apart.items():
                self._record_scored([], [measurement], score, digest)
            named = [replace(trial, score_id=trial.score_id or score_id) for trial in trials]
            self._insert("trial", [of_row(self._tried(trial)) for trial in named])

    def notes(self, study: str, before: int) -> dict[str, Any]:
        """What the sampler had noted on the study when batch `before` began."""
        condition = "study = :study AND batch < :before ORDER BY batch"
        found = self._checked("batch", ["study", "batch", "notes"], condition, study=study, before=before)
        return {name: value for *_, notes in found for name, value in notes.items()}

    # Architectures and what was measured of them

    def record_scored(
        self, architectures: Sequence[ArchitectureRow], measurements: Sequence[Measurement], score: str, score_id: str
    ) -> None:
        """Store architectures that no trial asked for, and their measurements. Errors as `record_batch`."""
        with self._transaction():
            self._record_scored(architectures, measurements, score, score_id)

    def architectures(self, keys: Collection[str] | None = None) -> dict[str, ArchitectureRow]:
        """The architectures of those keys that are there, all by default. A row has the key that it is stored under."""
        stored = None if keys is None else {key: self.stored_key(key) for key in keys}
        listed = None if stored is None else _listed(list(stored.values()))
        found = {row.key: row for row in self._read(ArchitectureRow, "architecture", _AMONG.format("key"), keys=listed)}
        return found if stored is None else {key: found[name] for key, name in stored.items() if name in found}

    def measurements(self, keys: Collection[str] | None, score_id: str, profile: bool = True) -> dict[str, Measurement]:
        """The measurements under that score of those architectures (None: all) that have one, by the keys asked for.

        Every term is there, NULL as None. `profile` False leaves the profiles empty, which is ten times as fast.
        """
        names = ["architecture_key", "status", "reason", "kept_key", "model_error", "precision_reached", "raced"]
        names += ["pattern_of", "draws", "seconds"]
        names += [name for term in TERMS for name in (term, f"{term}_se")]
        names += ["profile"] if profile else []
        names_of = self._names_of(keys)
        condition = f"score_id = :score_id AND {_AMONG.format('architecture_key')}"
        values = {"score_id": score_id, "keys": _listed(_flattened(names_of))}
        rows = self._checked("measurement", names, condition, **values)
        found = {row[0]: read_measurement(*(row if profile else (*row, {}))) for row in rows}
        if names_of is None:
            return found
        there = {key: found[name] for key, names in names_of.items() for name in reversed(names) if name in found}
        return {key: replace(item, key=key) for key, item in there.items()}

    def today(self, key: str) -> str:
        """The key that the network stored under `key` has today: another one if an earlier version stored it."""
        return self._today.get(key, key)

    def stored_key(self, key: str) -> str:
        """The key that the network of today's `key` is stored under: an earlier version's if it is under that alone."""
        former = self._former.get(key)
        if not former or self._connection.execute("SELECT 1 FROM architecture WHERE key = ?", (key,)).fetchone():
            return key
        return former[0]

    def reusable(self, keys: Collection[str], score_id: str) -> dict[str, Measurement]:
        """The measurements under that score which need not be made again (`Measurement.is_reusable`), without profiles.

        The others are history: they stay until another one of the architecture replaces them (`Measurement.replaces`).
        """
        found = self.measurements(keys, score_id, profile=False)
        return {key: item for key, item in found.items() if item.is_reusable}

    def resolve_key(self, prefix: str) -> str:
        """The one stored key that starts with `prefix`, or is that of a network whose key of today does.

        ValueError: none, or several, which it lists.
        """
        if not isinstance(prefix, str):
            raise InputError(f"`key` must be the start of an architecture's key, got {prefix!r}")
        condition = "substr(key, 1, length(:prefix)) = :prefix ORDER BY key"
        stored = [key for (key,) in self._checked("architecture", ["key"], condition, prefix=prefix.lower())]
        stored += [self.stored_key(key) for key in self._former if key.startswith(prefix.lower())]
        found: list[str] = sorted(set(stored))
        if len(found) != 1:
            listed = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
            several = f"{len(found)} keys start with it: {listed}" if found else "no key starts with it"
            raise InputError(f"`key` must be the start of one architecture's key, got {prefix!r}: {several}")
        return found[0]

    # Validations

    def record_validations(self, validations: Sequence[ValidationRow]) -> None:
        """Store brief trainings, all on known data; the same training again replaces the old row."""
        assert all(row.dataset_digest is not None for row in validations)
        created = now()
        with self._transaction():
            dated = [row if row.created else replace(row, created=created, **self._origin) for row in validations]
            named = [replace(row, architecture_key=self.stored_key(row.architecture_key)) for row in dated]
            self._insert("validation", [of_row(row) for row in named], how="INSERT OR REPLACE")

    def validations(
        self, keys: Collection[str] | None = None, dataset_digest: str | None = None, trainer_id: str | None = None
    ) -> list[ValidationRow]:
        """The brief trainings, of these architectures, data and trainer alone where given; in the order stored.

        Those on unknown data are among them only where no data are given. A row has the key that was asked for, which
        may be that of today where it is stored under a former one; each is there once.
        """
        names_of = self._names_of(keys)
        asked = {name: key for key, names in (names_of or {}).items() for name in names}
        asked |= {key: key for key in names_of or {}}  # its own, where both are asked for
        condition = (
            f"{_AMONG.format('architecture_key')} AND (:dataset_digest IS NULL OR dataset_digest = :dataset_digest)"
            " AND trainer_id = coalesce(:trainer_id, trainer_id) ORDER BY rowid"
        )
        values = {"keys": _listed(_flattened(names_of)), "dataset_digest": dataset_digest, "trainer_id": trainer_id}
        rows = self._read(ValidationRow, "validation", condition, **values)
        named = [replace(row, architecture_key=asked.get(row.architecture_key, row.architecture_key)) for row in rows]
        own = {_training(row) for row in rows}
        return [new for old, new in zip(rows, named, strict=True) if new == old or _training(new) not in own]

    def record_picks(self, study: str, picks: Iterable[tuple[str, Role]], dataset_digest: str | None = None) -> None:
        """Store which architectures the study's validation chose (key, role), in place of an earlier choice.

        `dataset_digest` is that of the data they are to be trained on: the study's own unless others were asked for.
        """
        with self._transaction():
            self._connection.execute("DELETE FROM validation_pick WHERE study = ?", (study,))
            shared = {"study": study, "dataset_digest": dataset_digest}
            picked = [{**shared, "architecture_key": self.stored_key(key), "role": role} for key, role in picks]
            self._insert("validation_pick", picked, then="ON CONFLICT DO NOTHING")

    def picks(self, study: str) -> list[tuple[str, Role]]:
        """(key, role) of what the study's validation chose, in the order stored."""
        condition, name = "study = :study ORDER BY rowid", self.study(study).name
        return [
            (key, role)
            for key, role in self._checked("validation_pick", ["architecture_key", "role"], condition, study=name)
        ]

    def validated_on(self, study: str) -> str | None:
        """Digest of the data that the study's picks were to be trained on, else of its own; None: unknown."""
        condition = "study = :study AND dataset_digest IS NOT NULL LIMIT 1"
        row = self.study(study)
        found: list[tuple[str | None]] = self._checked("validation_pick", ["dataset_digest"], condition, study=study)
        return found[0][0] if found else row.dataset_digest

    # Runs

    def last_config(self, study: str, verb: str) -> Mapping[str, Any] | None:
        """The whole configuration of the last run of that verb on the study; None: there is none."""
        condition = "study = :study AND verb = :verb ORDER BY run_id DESC LIMIT 1"
        found = self._checked("run", ["run_id", "config"], condition, study=study, verb=verb)
        return found[0][1] if found else None

    def begin_run(self, run: RunRow) -> int:
        """Store that a command begins; returns its number. What is recorded from now on is this run's."""
        with self._transaction():
            self._insert("run", [of_row(replace(run, started=run.started or now()))])
            number = int(self._connection.execute("SELECT last_insert_rowid()").fetchone()[0])
        self._origin = {"run_id": number, "fingerprint": run.fingerprint}
        return number

    def finish_run(self, run_id: int, status: str, timings: Mapping[str, float], notes: Mapping[str, Any]) -> None:
        """Store how it ended, where its time went (seconds by part), and notes."""
        with self._transaction():
            self._connection.execute(
                "UPDATE run SET finished = ?, status = ?, timings = ?, notes = ? WHERE run_id = ?",
                (now(), status, to_json(timings), to_json(notes), run_id),
            )
        self._origin = {"run_id": None, "fingerprint": None}

    # The same for all

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Everything inside is stored, or nothing."""
        try:
            begin(self._connection)
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _insert(self, table: str, content: Sequence[dict[str, Any]], how: str = "INSERT", then: str = "") -> None:
        if content:
            names, marks = ", ".join(content[0]), ", ".join("?" * len(content[0]))
            sql = f"{how} INTO {table} ({names}) VALUES ({marks}) {then}"
            self._connection.executemany(sql, [tuple(row.values()) for row in content])

    def _replace_partial(self, study: str, batch: int, trials: int) -> None:
        sql = "SELECT batch, count(*) FROM trial WHERE study = ? GROUP BY batch ORDER BY batch DESC LIMIT 1"
        last, count = self._connection.execute(sql, (study,)).fetchone() or (-1, 0)
        if batch == last and count < trials:
            for table in ("trial", "batch"):
                self._connection.execute(f"DELETE FROM {table} WHERE study = ? AND batch = ?", (study, batch))
        elif batch != last + 1:
            raise InputError(
                f"`study` must be written by one process at a time, got {study!r}, whose batch {batch} another one has "
                "stored meanwhile; wait for it and repeat the command, or name another study"
            )

    def _claim_data(self, study: str, dataset_digest: str) -> None:
        known = self.study(study).dataset_digest
        if known is None:
            self._connection.execute("UPDATE study SET dataset_digest = ? WHERE name = ?", (dataset_digest, study))
        elif known != dataset_digest:
            raise InputError(
                f"`dataset` must hold the data of study {study!r}, labels and validation split too (digest {known}), "
                f"got other data (digest {dataset_digest}); on_conflict=new of nasjac search starts another study"
            )

    def _record_scored(
        self, architectures: Sequence[ArchitectureRow], measurements: Sequence[Measurement], score: str, score_id: str
    ) -> None:
        asked = [of_row(row) for row in architectures if self.stored_key(row.key) == row.key]
        self._insert("architecture", asked, then=_DEPTHS_AGAIN)
        sql = f"SELECT key, spec FROM architecture WHERE {_AMONG.format('key')}"
        stored = dict(self._connection.execute(sql, {"keys": _listed([row["key"] for row in asked])}))
        for row in asked:
            key, spec = row["key"], row["spec"]
            if stored[key] != spec:
                raise InputError(f"`spec` must be the one stored under its key {key}, {stored[key]}, got {spec}")
        measurements = [self._measured(item) for item in measurements]
        there = self.measurements([item.key for item in measurements], score_id, profile=False)
        fresh: dict[str, Measurement] = {}
        for item in measurements:
            earlier = fresh.get(item.key, there.get(item.key))
            if earlier is None or item.replaces(earlier):
                fresh[item.key] = item
        created = now()
        content = [measurement_columns(item, score, score_id, created) | self._origin for item in fresh.values()]
        self._insert("measurement", content, how="INSERT OR REPLACE")

    @cached_property
    def _former(self) -> Mapping[str, list[str]]:
        return former_keys(self._checked("architecture", ["key", "spec"], f"({MAY_DIFFER}) ORDER BY rowid"))

    @cached_property
    def _today(self) -> Mapping[str, str]:
        return {former: key for key, names in self._former.items() for former in names}

    def _names_of(self, keys: Collection[str] | None) -> dict[str, list[str]] | None:
        """Each key with all that the network may be stored under, itself first; None for None, which stands for all."""
        return None if keys is None else {key: [key, *self._former.get(key, [])] for key in keys}

    def _tried(self, row: TrialRow) -> TrialRow:
        """With the keys that its architectures are stored under."""
        asked, kept = row.architecture_key, row.kept_key
        asked, kept = asked and self.stored_key(asked), kept and self.stored_key(kept)
        return replace(row, architecture_key=asked, kept_key=kept)

    def _measured(self, item: Measurement) -> Measurement:
        kept, of = (name and self.stored_key(name) for name in (item.kept_key, item.pattern_of))
        return replace(item, key=self.stored_key(item.key), kept_key=kept, pattern_of=of)

    def _read(self, kind: type[R], table: str, condition: str, **values: Any) -> list[R]:
        return [kind(*row) for row in self._checked(table, [item.name for item in fields(kind)], condition, **values)]

    def _checked(self, table: str, names: Sequence[str], condition: str, **values: Any) -> list[tuple[Any, ...]]:
        """Those columns of the rows that meet the condition, each value of its column's type."""
        found = self._connection.execute(f"SELECT {', '.join(names)} FROM {table} WHERE {condition}", values)
        return checked(self.path, table, names, found.fetchall())


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _listed(keys: Collection[str] | None) -> str | None:
    return None if keys is None else json.dumps(list(keys))


def _training(row: ValidationRow) -> tuple[object, ...]:
    """What tells a training from all others."""
    return (row.architecture_key, row.dataset, row.dataset_digest, row.trainer_id, row.seed, row.learning_rate)


def _flattened(names_of: Mapping[str, Sequence[str]] | None) -> list[str] | None:
    return None if names_of is None else [name for names in names_of.values() for name in names]


#: what it means that one of these is another one
MEANINGS = {
    "dataset.inputs": "that is the digest of the training inputs: the dataset's file or options have changed",
    "score.formulas": "another version of nasjac measured it",
}


def _check_same(name: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    old, new = dict(_flat(stored)), dict(_flat(asked))
    missing = "nothing"
    differing = [
        f"{field} is {old.get(field, missing)!r}, asked for {new.get(field, missing)!r}"
        for field in {**old, **new}
        if old.get(field, missing) != new.get(field, missing)
    ]
    if differing:
        hints = [text for field, text in MEANINGS.items() if old.get(field, missing) != new.get(field, missing)]
        raise InputError(
            f"`study` must have the same identity to be resumed, got {name!r}, where {'; '.join(differing)} "
            f"({'; '.join([*hints, 'on_conflict=new starts another'])})"
        )


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
