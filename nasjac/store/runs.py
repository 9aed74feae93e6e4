"""Runs: the commands that wrote to the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nasjac.store.boundary import bounded
from nasjac.store.columns import to_json
from nasjac.store.rows import RunRow
from nasjac.store.tables import NO_RUN, Tables, now


@bounded
class Runs(Tables):
    """The part of the Store about the commands that write to it."""

    def begin_run(self, run: RunRow) -> int:
        """Store that a command begins, and return its number. What is recorded from now on is this run's."""
        with self._transaction():
            self._insert([replace(run, started=run.started or now())])
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
        self._origin = NO_RUN
