"""The results database: one file that several processes may write, a batch of trials at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nasjac.store.boundary import bounded
from nasjac.store.columns import to_json
from nasjac.store.rows import RunRow
from nasjac.store.tables import NO_RUN, now
from nasjac.store.trials import Trials
from nasjac.store.validations import Validations


@bounded
class Store(Trials, Validations):
    """A results database, opened: `with Store("nasjac.db") as store: store.frame("leaderboard")`.

    Writers wait up to 30 s for one another. Each writing method is one transaction, so a killed process leaves whole
    batches. A network that an earlier version stored under another key than it has today keeps that key (`stored_key`):
    what is recorded under today's key goes there, and both are found. Measurements and validations recorded between
    `begin_run` and `finish_run` are marked as made by that run.

    Args:
        url: The path of a file, or sqlite:///path. The file is made if it is not there, unless `read_only`.
        read_only: Whether nothing is to be written, neither into the file nor beside it.
        trust: Whether to take a database whose tables, views or triggers are not those that nasjac makes.

    Returns:
        Of `with`: the Store itself, which is closed at the end of the block.

    Raises:
        InputError: The file cannot be opened, is another program's, or has a newer or a foreign schema
            (`nasjac.store.database.connect`). Every method raises it for what SQLite refuses, and for rows that hold in a
            column what is not of its type.
    """

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
