"""Architectures and measurements on their way into the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nasjac.architecture.facts import Facts
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.kinds.facts import facts
from nasjac.store import Store
from nasjac.store.rows import ArchitectureRow

#: the fields of a Spec that are columns of its architecture's row beside kind and width, and what stands where it has none
CHOICES: dict[str, str | float] = {
    "placement": "none",
    "norm": "none",
    "activation": "none",
    "branch": "two_matrix",
    "weight_gain": 1.0,
    "block": "explicit",
    "step": 1.0,
    "leak": 0.0,
}


def architecture_rows(specs: Sequence[Spec], known: Sequence[Facts]) -> list[ArchitectureRow]:
    """The rows of `specs`, in their canonical form."""
    rows = []
    for spec, fact in zip((spec.canonical for spec in specs), known, strict=True):
        whole = not spec.is_ensemble
        columns = {**vars(fact), "skip_count": round(fact.skip_count) if whole else None}
        choices = {name: vars(spec).get(name, absent) for name, absent in CHOICES.items()}
        rows.append(
            ArchitectureRow(key=spec.key, spec=spec.content, kind=spec.kind, width=spec.width, **choices, **columns)
        )
    return rows


def standings(store: Store, study: str, objectives: Sequence[str]) -> tuple[list[str], list[list[float]]]:
    """Keys of the architectures that a study kept, in order of trial, and their own values of the objectives.

    Where ensembles were scored these are the kept patterns' values, not the ensembles'.
    """
    names = ", ".join(("key", *objectives))
    sql = f"SELECT {names} FROM leaderboard WHERE study = :study ORDER BY number"
    rows = [row for row in store.select(sql, {"study": study}).rows if None not in row]
    return [row[0] for row in rows], [list(row[1:]) for row in rows]


def with_patterns(measured: Sequence[Measurement]) -> list[Measurement]:
    """The measurements, each followed by those of the patterns that stood for it if it is an ensemble, marked as such."""
    return [
        item
        for whole in measured
        for item in (whole, *(replace(inner, pattern_of=whole.key) for _, inner in whole.patterns))
    ]


def pattern_rows(measured: Sequence[Measurement]) -> list[ArchitectureRow]:
    """Architectures of the patterns that stood for ensembles."""
    specs = [Spec.from_json(text) for measurement in measured for text, _ in measurement.patterns]
    return architecture_rows(specs, facts(specs))
