"""Studies: making them, going on with them, and what they recommend."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from nasjac.foundation.errors import InputError
from nasjac.store.architectures import Architectures
from nasjac.store.columns import to_json
from nasjac.store.database import check_known
from nasjac.store.rows import StudyRow
from nasjac.store.schema import column_names
from nasjac.store.tables import now

if TYPE_CHECKING:
    import pandas as pd

Conflict = Literal["resume", "new", "error"]

#: what it means that one of these is another one
MEANINGS = {
    "dataset.inputs": "that is the digest of the training inputs: the dataset's file or options have changed",
    "score.formulas": "another version of nasjac measured it",
}


class Studies(Architectures):
    """The part of the Store about studies."""

    def frame(self, name: str, study: str | None = None) -> pd.DataFrame:
        """Return a whole table or view, or one study's share of it. `nasjac query --schema` lists them."""
        known = column_names()
        check_known("name", name, known)
        if study is None:
            return self.query(f"SELECT * FROM {name}")
        check_known("name", name, [relation for relation, names in known.items() if "study" in names])
        return self.query(f"SELECT * FROM {name} WHERE study = :study", study=self.study(study).name)

    def open_study(
        self,
        name: str,
        identity: Mapping[str, Any],
        on_conflict: Conflict,
        score_id: str,
        dataset_digest: str | None = None,
    ) -> str:
        """Make the study `name`, or find it, and return the name used.

        on_conflict, if it exists: resume (InputError if its identity or its data are different ones), new (name-2,
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
                    self.claim_data(name, dataset_digest)
                return name
            if name in taken:
                name = next(f"{name}-{count}" for count in range(2, len(taken) + 3) if f"{name}-{count}" not in taken)
            dataset = identity.get("dataset")
            dataset = dataset.get("name") if isinstance(dataset, Mapping) else dataset
            self._insert([StudyRow(name, identity, score_id, dataset, now(), dataset_digest=dataset_digest)])
        return name

    def claim_data(self, study: str, dataset_digest: str) -> None:
        """Say which data the study is on, where that is not known. InputError: it is on others."""
        with self._transaction():
            known = self.study(study).dataset_digest
            if known is None:
                self._connection.execute("UPDATE study SET dataset_digest = ? WHERE name = ?", (dataset_digest, study))
            elif known != dataset_digest:
                raise InputError(
                    f"`dataset` must hold the data of study {study!r}, labels and validation split too (digest {known}), "
                    f"got other data (digest {dataset_digest}); on_conflict=new of nasjac search starts another study"
                )

    def studies(self) -> list[str]:
        """Return the names of the studies, oldest first."""
        return [name for (name,) in self._checked("study", ["name"], "true ORDER BY rowid")]

    def study(self, name: str) -> StudyRow:
        """Return the study of that name. InputError lists those there are."""
        check_known("study", name, self.studies())
        return self._read(StudyRow, "name = :name", name=name)[0]

    def recommend(self, study: str, key: str, reason: str) -> None:
        """Store which architecture the study recommends, and why."""
        with self._transaction():
            self._connection.execute(
                "UPDATE study SET recommended_key = ?, recommended_reason = ? WHERE name = ?",
                (self.stored_key(key), reason, self.study(study).name),
            )


def _check_same(name: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    old, new = dict(_flat(stored)), dict(_flat(asked))
    missing = "nothing"
    differing = [field for field in {**old, **new} if old.get(field, missing) != new.get(field, missing)]
    if differing:
        said = [f"{field} is {old.get(field, missing)!r}, asked for {new.get(field, missing)!r}" for field in differing]
        hints = [text for field, text in MEANINGS.items() if field in differing]
        raise InputError(
            f"`study` must have the same identity to be resumed, got {name!r}, where {'; '.join(said)} "
            f"({'; '.join([*hints, 'on_conflict=new starts another'])})"
        )


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
