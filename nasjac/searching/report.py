"""`nasjac report`: what a study has found, as a page, figures, JSON and CSV."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nasjac.foundation.atomic_files import replace_folder
from nasjac.foundation.errors import InputError
from nasjac.foundation.text_tables import csv_of
from nasjac.searching import figures
from nasjac.searching.findings import Findings, Row
from nasjac.searching.gather import gather
from nasjac.searching.objectives import COST, Direction
from nasjac.searching.page import page
from nasjac.searching.sentences import extremes, sentences, short
from nasjac.store import Store

FIGURES = ("pareto", "cost_vs_accuracy", "profiles")
OBJECTIVES: Mapping[str, Direction] = {COST: "minimize", "nonlinear_effective_depth": "maximize"}


#: bytes of the name of a study's folder: file systems have 255, and while a report is written its name is longer
LONGEST_STUDY = 200


@dataclass(frozen=True)
class Report:
    """A study's report: the `folder` it is in, its files by name, the content of summary.json, and its chief sentences."""

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
    objectives: Mapping[str, Direction] = OBJECTIVES,
    top: int = 20,
    resamples: int = 1000,
) -> Report:
    """Write the report of `study` to the folder `out`/`study`: report.html, summary.json, leaderboard.csv, *.png.

    `objectives` {column of the leaderboard: "minimize" or "maximize"}, the first one the predictor that is held against
    training; `top` rows of the leaderboard on the page, `resamples` of the bootstrap. A figure for which there is no data
    is not drawn, and an earlier one is removed. All of it appears at once; what else is in the folder stays. InputError: a
    study that is not there, an objective that is no column, a folder that cannot be written.
    """
    found = gather(store, study, objectives, resamples)
    folder = Path(out) / folder_name(study)
    drawn = {**figures.pareto(found), **figures.score_vs_accuracy(found), **_profiles(store, found)}
    summary = found.to_json()
    files = {
        "report.html": page(
            found, top, {name: drawn[f"{name}.png"] for name in FIGURES if f"{name}.png" in drawn}
        ).encode(),
        "summary.json": summary.encode(),
        "leaderboard.csv": csv_of(found.rows),
        **drawn,
    }
    replace_folder(folder, files, earlier=[f"{name}.png" for name in FIGURES])
    text = "\n".join([*sentences(found), f"Report: {folder / 'report.html'}"])
    return Report(folder, {name: folder / name for name in files}, json.loads(summary), text)


def _profiles(store: Store, found: Findings, few: int = 3) -> dict[str, bytes]:
    """Profiles of the recommended architecture, of the `few` best by the predictor, and of the `few` worst."""
    chosen, predictor = found.study.recommended_key, found.predictor
    best, worst = extremes(found)
    ranked = [row for row in found.rows if row[predictor] is not None]
    others = [row for row in ranked if row["key"] != chosen]
    rows = {
        "recommended": [row for row in ranked if row["key"] == chosen],
        best: others[:few],
        worst: others[few:][-few:],
    }
    by_id: dict[str, list[str]] = defaultdict(list)  # a study that races has an id of its own
    for row in (row for group in rows.values() for row in group):
        by_id[row["score_id"]].append(row["key"])
    known = {key: item for score_id, keys in by_id.items() for key, item in store.measurements(keys, score_id).items()}
    groups = {
        name: [(_label(name, predictor, row), known[row["key"]].profile) for row in group if row["key"] in known]
        for name, group in rows.items()
    }
    recommended = next(iter(groups.pop("recommended")), None)
    groups = {name: group for name, group in groups.items() if group}
    return figures.profiles(groups or {"recommended": []}, recommended) if groups or recommended else {}


def _label(group: str, predictor: str, row: Row) -> str:
    choices = f"{row['placement']}, {row['activation']}, {row['depth']} blocks, width {row['width']}"
    return f"{group}: {row['key']}, {short(predictor)} {row[predictor]:.3g} ({choices})"


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
