"""Trials: a batch of trials is stored completely or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from nasjac.architecture.measurement import Measurement
from nasjac.foundation.errors import InputError
from nasjac.store.rows import ArchitectureRow, BatchRow, TrialRow
from nasjac.store.studies import Studies


class Trials(Studies):
    """The part of the Store about trials."""

    def trials(self, study: str) -> list[TrialRow]:
        """Return the study's trials in number order."""
        return self._read(TrialRow, "study = :study ORDER BY number", study=self.study(study).name)

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
        """Store one batch of trials with its architectures and measurements, completely or not at all.

        Trials without a digest, and `measurements`, are stored under `score_id`. `apart` are further measurements, each
        under a digest of its own: networks with weights, which the key of their architecture does not distinguish.

        Batches count from 0; `notes` is what the sampler noted on the study since the batch before. A batch that has been
        stored with fewer trials, because the budget ended inside it, is replaced. A measurement that is stored already is
        not written again; the newest one replaces one that is not reusable.

        Raises:
            InputError: This is neither the study's next batch nor an extension of its last one, or a key is stored with
                another Spec.
        """
        assert trials and all(trial.study == study and trial.batch == batch for trial in trials)
        with self._transaction():
            self._replace_partial(study, batch, len(trials))
            self._insert([BatchRow(study, batch, notes)])
            self.record_scored(architectures, measurements, score, score_id)
            for digest, measurement in apart.items():
                self.record_scored([], [measurement], score, digest)
            digested = [replace(trial, score_id=trial.score_id or score_id) for trial in trials]
            self._insert([self._under_stored_keys(trial) for trial in digested])

    def notes(self, study: str, before: int) -> Mapping[str, Any]:
        """Return what the sampler had noted on the study when batch `before` began."""
        rows = self._read(BatchRow, "study = :study AND batch < :before ORDER BY batch", study=study, before=before)
        return {name: value for row in rows for name, value in row.notes.items()}

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

    def _under_stored_keys(self, row: TrialRow) -> TrialRow:
        asked, kept = (key and self.stored_key(key) for key in (row.architecture_key, row.kept_key))
        return replace(row, architecture_key=asked, kept_key=kept)
