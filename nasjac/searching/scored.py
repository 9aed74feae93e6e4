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


def scored_rows(
    specs: Sequence[Spec], known: Sequence[Facts], measured: Sequence[Measurement] = ()
) -> tuple[list[ArchitectureRow], list[Measurement]]:
    """What the store takes of architectures, with their facts, and of what was measured of them.

    Both come with the patterns that stood for ensembles: their rows behind the others, and their measurements behind the
    ensemble's own, marked as such.
    """
    patterns = [Spec.from_json(text) for item in measured for text, _ in item.patterns]
    pairs = zip((*specs, *patterns), (*known, *facts(patterns)), strict=True)
    inner = [[replace(one, pattern_of=item.key) for _, one in item.patterns] for item in measured]
    everything = [one for item, others in zip(measured, inner, strict=True) for one in (item, *others)]
    return [_row(spec.canonical, fact) for spec, fact in pairs], everything


def _row(spec: Spec, fact: Facts) -> ArchitectureRow:
    whole = not spec.is_ensemble
    columns = {**vars(fact), "skip_count": round(fact.skip_count) if whole else None}
    choices = {name: vars(spec).get(name, absent) for name, absent in CHOICES.items()}
    return ArchitectureRow(key=spec.key, spec=spec.content, kind=spec.kind, width=spec.width, **choices, **columns)


def standings(store: Store, study: str, objectives: Sequence[str]) -> tuple[list[str], list[list[float]]]:
    """Keys of the architectures that a study kept, in order of trial, and their own values of the objectives.

    Where ensembles were scored these are the kept patterns' values, not the ensembles'.
    """
    names = ", ".join(("key", *objectives))
    sql = f"SELECT {names} FROM leaderboard WHERE study = :study ORDER BY number"
    rows = [row for row in store.select(sql, {"study": study}).rows if None not in row]
    return [row[0] for row in rows], [list(row[1:]) for row in rows]
