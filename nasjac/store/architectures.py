"""Architectures and what was measured of them, by their keys of today and of the time when they were stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from nasjac.architecture.measurement import Measurement
from nasjac.foundation.errors import InputError
from nasjac.store.columns import MEASUREMENT, column, measurement_columns, read_measurement
from nasjac.store.former import MAY_DIFFER, former_keys, stored_spec
from nasjac.store.rows import ArchitectureRow
from nasjac.store.tables import AMONG, Tables, listed, now

if TYPE_CHECKING:
    from nasjac.architecture.spec import Spec

#: SQL: an architecture that is there keeps its row, but for effective depths that are not known
_DEPTHS_AGAIN = """
ON CONFLICT (key) DO UPDATE SET effective_depth = coalesce(effective_depth, excluded.effective_depth),
    nonlinear_effective_depth = coalesce(nonlinear_effective_depth, excluded.nonlinear_effective_depth)
"""


class Architectures(Tables):
    """The part of the Store about architectures and their measurements."""

    def record_scored(
        self, architectures: Sequence[ArchitectureRow], measurements: Sequence[Measurement], score: str, score_id: str
    ) -> None:
        """Store architectures that no trial asked for, and their measurements. Errors as of `Store.record_batch`."""
        with self._transaction():
            self._insert_architectures(architectures)
            measurements = [self._under_stored_key(item) for item in measurements]
            known = self.measurements([item.key for item in measurements], score_id, profile=False)
            fresh: dict[str, Measurement] = {}
            for item in measurements:
                earlier = fresh.get(item.key, known.get(item.key))
                if earlier is None or item.replaces(earlier):
                    fresh[item.key] = item
            created = now()
            content = [measurement_columns(item, score, score_id, created) | self._origin for item in fresh.values()]
            self._insert_into("measurement", content, how="INSERT OR REPLACE")

    def architectures(self, keys: Collection[str] | None = None) -> dict[str, ArchitectureRow]:
        """Return the stored architectures of those keys, all by default. A row has the key that it is stored under."""
        stored = None if keys is None else {key: self.stored_key(key) for key in keys}
        among = None if stored is None else listed(stored.values())
        found = {row.key: row for row in self._read(ArchitectureRow, AMONG.format("key"), keys=among)}
        return found if stored is None else {key: found[name] for key, name in stored.items() if name in found}

    def measurements(self, keys: Collection[str] | None, score_id: str, profile: bool = True) -> dict[str, Measurement]:
        """Return the measurements under that score of those architectures (None: all) that have one, by the keys asked for.

        Every term is there, NULL as None. `profile` False leaves the profiles empty, which is ten times as fast.
        """
        names = MEASUREMENT if profile else MEASUREMENT[:-1]
        names_of = self._names_of(keys)
        condition = f"score_id = :score_id AND {AMONG.format('architecture_key')}"
        rows = self._checked("measurement", names, condition, score_id=score_id, keys=listed(flattened(names_of)))
        found = {row[0]: read_measurement(row) for row in rows}
        if names_of is None:
            return found
        stored = {key: found[name] for key, names in names_of.items() for name in reversed(names) if name in found}
        return {key: replace(item, key=key) for key, item in stored.items()}

    def today(self, key: str) -> str:
        """Return the key that the network stored under `key` has today: another one if an earlier version stored it."""
        return self._today.get(key, key)

    def stored_key(self, key: str) -> str:
        """Return the key that the network of today's `key` is stored under: a former one if it is under that alone."""
        former = self._former.get(key)
        if not former or self._connection.execute("SELECT 1 FROM architecture WHERE key = ?", (key,)).fetchone():
            return key
        return former[0]

    def reusable(self, keys: Collection[str], score_id: str) -> dict[str, Measurement]:
        """Return the measurements under that score that need not be made again (`Measurement.is_reusable`); no profiles.

        The others are history: they stay until another one of the architecture replaces them (`Measurement.replaces`).
        """
        found = self.measurements(keys, score_id, profile=False)
        return {key: item for key, item in found.items() if item.is_reusable}

    def resolve_key(self, prefix: str) -> str:
        """Return the one stored key that starts with `prefix`, or is that of a network whose key of today does.

        InputError: none, or several, which it lists.
        """
        if not isinstance(prefix, str):
            raise InputError(f"`key` must be the start of an architecture's key, got {prefix!r}")
        condition = "substr(key, 1, length(:prefix)) = :prefix ORDER BY key"
        stored = [key for (key,) in self._checked("architecture", ["key"], condition, prefix=prefix.lower())]
        stored += [self.stored_key(key) for key in self._former if key.startswith(prefix.lower())]
        found: list[str] = sorted(set(stored))
        if len(found) != 1:
            shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
            several = f"{len(found)} keys start with it: {shown}" if found else "no key starts with it"
            raise InputError(f"`key` must be the start of one architecture's key, got {prefix!r}: {several}")
        return found[0]

    def spec(self, prefix: str) -> Spec:
        """Return the Spec of the one architecture whose key starts with `prefix`. InputError: see `resolve_key`."""
        key = self.resolve_key(prefix)
        return stored_spec(self.architectures([key])[key])

    def _insert_architectures(self, architectures: Sequence[ArchitectureRow]) -> None:
        asked = [row for row in architectures if self.stored_key(row.key) == row.key]
        self._insert(asked, then=_DEPTHS_AGAIN)
        sql = f"SELECT key, spec FROM architecture WHERE {AMONG.format('key')}"
        stored = dict(self._connection.execute(sql, {"keys": listed([row.key for row in asked])}))
        for row in asked:
            if stored[row.key] != (spec := column("spec", row.spec)):
                raise InputError(f"`spec` must be the one stored under its key {row.key}, {stored[row.key]}, got {spec}")

    @cached_property
    def _former(self) -> Mapping[str, list[str]]:
        return former_keys(self._checked("architecture", ["key", "spec"], f"({MAY_DIFFER}) ORDER BY rowid"))

    @cached_property
    def _today(self) -> Mapping[str, str]:
        return {former: key for key, names in self._former.items() for former in names}

    def _names_of(self, keys: Collection[str] | None) -> dict[str, list[str]] | None:
        """Each key with all that the network may be stored under, itself first; None for None, which stands for all."""
        return None if keys is None else {key: [key, *self._former.get(key, [])] for key in keys}

    def _under_stored_key(self, item: Measurement) -> Measurement:
        kept, of = (name and self.stored_key(name) for name in (item.kept_key, item.pattern_of))
        return replace(item, key=self.stored_key(item.key), kept_key=kept, pattern_of=of)


def flattened(names_of: Mapping[str, Sequence[str]] | None) -> list[str] | None:
    """Return all names of `Architectures._names_of`."""
    return None if names_of is None else [name for names in names_of.values() for name in names]
