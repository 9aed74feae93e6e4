"""`nasjac report`: what a study has found, as a page, figures, JSON and CSV."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nasjac.foundation.atomic_files import replace_folder
from nasjac.foundation.errors import InputError
from nasjac.foundation.text_tables import csv_of
from nasjac.reporting.page import page
from nasjac.reporting.wording import COST, extremes, sentences, short, trials
from nasjac.searching import figures
from nasjac.searching.findings import Evidence, findings, front_rows
from nasjac.searching.validated import Pick, by_protocol
from nasjac.store import Store
from nasjac.store.database import check_known
from nasjac.store.known import counted, measured_by
from nasjac.store.leaderboard import Leaderboard
from nasjac.store.schema import column_names

FIGURES = ("pareto", "cost_vs_accuracy", "profiles")
OBJECTIVES: Mapping[str, str] = {COST: "minimize", "nonlinear_effective_depth": "maximize"}


#: bytes of the name of a study's folder: file systems have 255, and while a report is written its name is longer
LONGEST_STUDY = 200


@dataclass(frozen=True)
class Report:
    """A study's report: the `folder` it is in, its files by name, its figures as numbers, and its chief sentences."""

    folder: Path
    files: Mapping[str, Path]
    summary: Mapping[str, Any]
    text: str

    def __repr__(self) -> str:
        return self.text


def report(
    store: Store,
    study: str,
    out: str | Path = "reports",
    objectives: Mapping[str, str] = OBJECTIVES,
    top: int = 20,
    resamples: int = 1000,
) -> Report:
    """Write the report of `study` to the folder `out`/`study`: report.html, summary.json, leaderboard.csv, *.png.

    `objectives` {column of the leaderboard: "minimize" or "maximize"}, the first one the predictor that is held against
    training; `top` rows of the leaderboard on the page, `resamples` of the bootstrap. A figure for which there is no data
    is not drawn, and an earlier one is removed. All of it appears at once; what else is in the folder stays. InputError: a
    study that is not there, an objective that is no column, a folder that cannot be written.
    """
    evidence = gather(store, study, objectives)
    found = findings(evidence, resamples)
    folder = Path(out) / folder_name(study)
    drawn = _draw(evidence, found, _profiles(store, evidence))
    shown = {name: drawn[f"{name}.png"] for name in FIGURES if f"{name}.png" in drawn}
    files = {
        "report.html": page(found, _shown(evidence, top), evidence.runs, shown).encode(),
        "summary.json": json.dumps(found, indent=2, allow_nan=False, ensure_ascii=False).encode(),
        "leaderboard.csv": csv_of(evidence.rows),
        **drawn,
    }
    replace_folder(folder, files, earlier=[f"{name}.png" for name in FIGURES])
    text = "\n".join([*sentences(found), f"Report: {folder / 'report.html'}"])
    return Report(folder, {name: folder / name for name in files}, found, text)


def gather(store: Store, study: str, objectives: Mapping[str, str] = OBJECTIVES) -> Evidence:
    """What the store knows of the study, for `nasjac.searching.findings`."""
    row = store.study(study)
    for name in objectives:
        check_known("objectives", name, column_names()["leaderboard"])
    predictor, direction = next(iter(objectives.items()))
    sql, values = Leaderboard(study=study, sort=predictor, descending=direction == "maximize").select()
    board = store.select(sql, values).dicts()
    roles: dict[str, list[str]] = defaultdict(list)
    for key, role in store.picks(study):
        roles[key].append(role)
    chosen = row.recommended_key
    keys = [*roles, *([chosen] if chosen and chosen not in roles else [])]
    trainings, digest = store.validations(keys), store.validated_on(study)
    protocol, found = by_protocol([row for row in trainings if row.dataset_digest == digest])
    of_trainer = [row for row in trainings if protocol and row.trainer_id == protocol.trainer_id]
    used = [row.fingerprint for row in of_trainer if row.dataset_digest == digest]
    facts = _facts(store, row.score_id, board, keys)
    picks = {key: Pick(key, tuple(roles[key]), facts[key], found.get(key)) for key in keys}
    return Evidence(
        study=row,
        objectives=objectives,
        outcomes=_outcomes(store, study),
        rows=board,
        runs=[
            {**run, **{name: json.loads(run[name]) for name in ("timings", "versions")}}
            for run in store.select("SELECT * FROM run WHERE study = :study ORDER BY run_id", {"study": study}).dicts()
        ],
        picks=[pick for pick in picks.values() if pick.roles],
        recommended=picks[chosen] if chosen else None,
        protocol=protocol,
        unknown=sum(
            old.dataset_digest is None and old.dataset == row.dataset and old.architecture_key not in found
            for old in trainings
        ),
        fingerprints={"measurements": measured_by(store, study), "trainings": counted(used)},
    )


def _facts(store: Store, score_id: str, board: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    """What is known of each key without training.

    The leaderboard goes first: it knows the pattern kept of an ensemble by the ensemble's measurement.
    """
    facts: dict[str, dict[str, Any]] = {
        row["key"]: {
            k: v for k, v in row.items() if k not in ("study", "number", "score_id") and not k.startswith("validation")
        }
        for row in board
        if row["key"] in keys
    }
    architectures, measurements = store.architectures(keys), store.measurements(keys, score_id)
    for key in keys:
        if key not in facts:
            terms = measurements[key].terms if key in measurements else {}
            facts[key] = {
                **{name: value for name, value in asdict(architectures[key]).items() if name != "spec"},
                **{name: estimate.value for name, estimate in terms.items()},
                **{f"{name}_se": estimate.standard_error for name, estimate in terms.items()},
            }
    return facts


def _outcomes(store: Store, study: str, most: int = 3) -> list[dict[str, Any]]:
    """Trials by state and reason, the `most` frequent reasons of a state by themselves and the others together."""
    counts = store.select(
        "SELECT state, reason, count(*) AS trials FROM trial WHERE study = :study "
        "GROUP BY state, reason ORDER BY state, trials DESC",
        {"study": study},
    ).dicts()
    outcomes: list[dict[str, Any]] = []
    for state in dict.fromkeys(row["state"] for row in counts):
        group = [row for row in counts if row["state"] == state]
        outcomes += group[:most]
        if rest := group[most:]:
            outcomes.append({"state": state, "reason": "other reasons", "trials": sum(row["trials"] for row in rest)})
    return outcomes


def _profiles(store: Store, evidence: Evidence, few: int = 3) -> dict[str, list[figures.Profile]]:
    """Labelled profiles: of the recommended architecture, of the `few` best by the predictor, of the `few` worst."""
    chosen, predictor = evidence.study.recommended_key, evidence.predictor
    best, worst = extremes(predictor, evidence.objectives[predictor])
    ranked = [row for row in evidence.rows if row[predictor] is not None]
    others = [row for row in ranked if row["key"] != chosen]
    groups = {
        "recommended": [row for row in ranked if row["key"] == chosen],
        best: others[:few],
        worst: others[few:][-few:],
    }
    by_id: dict[str, list[str]] = defaultdict(list)  # a study that races has an id of its own
    for row in (row for group in groups.values() for row in group):
        by_id[row["score_id"]].append(row["key"])
    found = {key: item for score_id, keys in by_id.items() for key, item in store.measurements(keys, score_id).items()}
    return {
        name: [(_label(name, predictor, row), found[row["key"]].profile) for row in group if row["key"] in found]
        for name, group in groups.items()
    }


def _label(group: str, predictor: str, row: Mapping[str, Any]) -> str:
    choices = f"{row['placement']}, {row['activation']}, {row['depth']} blocks, width {row['width']}"
    return f"{group}: {row['key']}, {short(predictor)} {row[predictor]:.3g} ({choices})"


def _draw(
    evidence: Evidence, found: Mapping[str, Any], profiles: Mapping[str, Sequence[figures.Profile]]
) -> dict[str, bytes]:
    """Draw what there is data for, as files by name."""
    drawn: dict[str, bytes] = {}
    chosen = evidence.study.recommended_key or ""
    front = front_rows(evidence.rows, evidence.objectives)
    if front:
        drawn |= figures.pareto(evidence.rows, front, evidence.objectives, chosen, trials(found))
    if any(pick.accuracy is not None and pick.facts.get(evidence.predictor) is not None for pick in evidence.picks):
        table = {name: item["kendall"] for name, item in {evidence.predictor: found, **found["baselines"]}.items()}
        ceiling = found["noise_ceiling"]["kendall"]
        drawn |= figures.score_vs_accuracy(evidence.picks, chosen, evidence.objectives, table, ceiling)
    recommended = next(iter(profiles["recommended"]), None)
    groups = {name: group for name, group in profiles.items() if name != "recommended" and group}
    if groups or recommended:
        drawn |= figures.profiles(groups or {"recommended": []}, recommended)
    return drawn


def _shown(evidence: Evidence, top: int) -> list[Mapping[str, Any]]:
    """The first rows of the leaderboard, and the recommended architecture's wherever it stands, with their ranks."""
    ranked = [{"rank": rank, **row} for rank, row in enumerate(evidence.rows, start=1)]
    return [row for row in ranked if row["rank"] <= top or row["key"] == evidence.study.recommended_key]


def folder_name(study: str) -> str:
    """The study's name as the name of one folder: what no file name may hold is percent-encoded.

    Raises:
        InputError: No folder can have such a name, or one that is too long.
    """
    name = quote(study, safe=" =,+@")
    if not name.strip(".") or not name.strip():
        raise InputError(f"`study` must be a name that a folder can have, got {study!r}")
    if (length := len(name)) > LONGEST_STUDY:
        rule = f"a name of at most {LONGEST_STUDY} bytes as a folder's, where other signs than letters take several"
        raise InputError(f"`study` must be {rule}, got {length}: {study[:40]!r} ...")
    return name
