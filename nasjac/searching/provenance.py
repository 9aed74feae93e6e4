"""Which processors and versions made the values of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from nasjac.store import Store

UNKNOWN = "unknown"

_MEASUREMENTS = """SELECT fingerprint FROM measurement
    WHERE (architecture_key, score_id) IN (SELECT architecture_key, score_id FROM trial WHERE study = :study)
    ORDER BY rowid"""


def counted(fingerprints: Iterable[str | None]) -> Counter[str]:
    """{fingerprint: how many}; "unknown" are those of before fingerprints were kept."""
    return Counter(UNKNOWN if fingerprint is None else fingerprint for fingerprint in fingerprints)


def measured_by(store: Store, study: str) -> Counter[str]:
    """{fingerprint: how many} of the measurements of the study's trials, the oldest first."""
    return counted(row["fingerprint"] for row in store.rows("measurement", _MEASUREMENTS, {"study": study}))
