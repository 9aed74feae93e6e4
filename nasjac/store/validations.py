"""Validations: brief trainings, and which architectures a study chose for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from nasjac.store.architectures import flattened
from nasjac.store.rows import PickRow, Role, ValidationRow
from nasjac.store.studies import Studies
from nasjac.store.tables import AMONG, listed, now


class Validations(Studies):
    """The part of the Store about brief trainings."""

    def record_validations(self, validations: Sequence[ValidationRow]) -> None:
        """Store brief trainings, all on known data; the same training again replaces the old row."""
        assert all(row.dataset_digest is not None for row in validations)
        created = now()
        with self._transaction():
            dated = [row if row.created else replace(row, created=created, **self._origin) for row in validations]
            named = [replace(row, architecture_key=self.stored_key(row.architecture_key)) for row in dated]
            self._insert(named, how="INSERT OR REPLACE")

    def validations(
        self, keys: Collection[str] | None = None, dataset_digest: str | None = None, trainer_id: str | None = None
    ) -> list[ValidationRow]:
        """Return the brief trainings in the order stored, restricted to these architectures, data and trainer unless None.

        Trainings on unknown data are returned only where `dataset_digest` is None. A row has the key that was asked for,
        even where it is stored under a former key; each training is returned once.
        """
        names_of = self._names_of(keys)
        asked = {name: key for key, names in (names_of or {}).items() for name in names}
        asked |= {key: key for key in names_of or {}}  # its own, where both are asked for
        condition = (
            f"{AMONG.format('architecture_key')} AND (:dataset_digest IS NULL OR dataset_digest = :dataset_digest)"
            " AND trainer_id = coalesce(:trainer_id, trainer_id) ORDER BY rowid"
        )
        values = {"keys": listed(flattened(names_of)), "dataset_digest": dataset_digest, "trainer_id": trainer_id}
        rows = self._read(ValidationRow, condition, **values)
        named = [replace(row, architecture_key=asked.get(row.architecture_key, row.architecture_key)) for row in rows]
        own = {_training(row) for row in rows}
        return [new for old, new in zip(rows, named, strict=True) if new == old or _training(new) not in own]

    def record_picks(self, study: str, picks: Iterable[tuple[str, Role]], dataset_digest: str | None = None) -> None:
        """Store which architectures the study's validation chose (key, role), in place of an earlier choice.

        `dataset_digest` is that of the data they are to be trained on: the study's own unless others were asked for.
        """
        with self._transaction():
            self._connection.execute("DELETE FROM validation_pick WHERE study = ?", (study,))
            picked = [PickRow(study, self.stored_key(key), role, dataset_digest) for key, role in picks]
            self._insert(picked, then="ON CONFLICT DO NOTHING")

    def picks(self, study: str) -> list[tuple[str, Role]]:
        """Return (key, role) of what the study's validation chose, in the order stored."""
        rows = self._read(PickRow, "study = :study ORDER BY rowid", study=self.study(study).name)
        return [(row.architecture_key, row.role) for row in rows]

    def validated_on(self, study: str) -> str | None:
        """Return the digest of the data that the study's picks were to be trained on, by default its own, or None."""
        own = self.study(study).dataset_digest
        picked = self._read(PickRow, "study = :study AND dataset_digest IS NOT NULL LIMIT 1", study=study)
        return picked[0].dataset_digest if picked else own


def _training(row: ValidationRow) -> tuple[object, ...]:
    """What tells a training from all others."""
    return (row.architecture_key, row.dataset, row.dataset_digest, row.trainer_id, row.seed, row.learning_rate)
