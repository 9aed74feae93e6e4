"""How long must a network be trained to be ranked, and the table of 3,600 that were. README.md beside this file tells.

    python experiments/groundtruth/run.py [out=DIR] [kinds=residual_mlp,resnet,transformer_lm] [stages=pilot,table] [...]

`pilot` trains a few architectures of each kind for several numbers of steps and prints how well two seeds agree; `table`
runs `nasjac search experiment=groundtruth_KIND` for each kind, three times: two samples to choose scores by, a third to
report on. It writes groundtruth.csv.gz and provenance.json into DIR.
Further words (name=value) go to every search. Run again, it goes on where it was. The last line is one JSON object.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from nasjac import Spec, Store
from nasjac.cli import main

HERE = {"out": "reports/groundtruth", "kinds": "residual_mlp,resnet,transformer_lm", "stages": "pilot,table"}
#: how many architectures the pilot trains, and for how many steps
PILOT = {"residual_mlp": (40, (60, 100, 150)), "resnet": (24, (30, 60)), "transformer_lm": (24, (60, 120, 240))}
#: the samples of the table: what their studies' names end with, the seed (1 is the pilot's), and what they are for
SAMPLES = (("", 0, "choose"), ("_2", 2, "choose"), ("_3", 3, "report"))
SQL = (Path(__file__).parent / "table.sql").read_text()
FIGURES = ("accuracy", "loss")
#: options that say where files are
PLACES = ("database", "out")
Row = dict[str, Any]


def search(words: Sequence[str]) -> None:
    """One `nasjac search`; what is there already is not done again."""
    if code := main(["search", "quiet=true", *words]):
        sys.exit(code)


def trained(database: Path, kind: str, study: str) -> list[Row]:
    """The rows of the table of one study: what `nasjac query` gives for table.sql."""
    with Store(database, read_only=True) as store:
        columns, rows = store.select(SQL, {"kind": kind, "study": study})
    return [dict(zip(columns, row, strict=True)) for row in rows]


def ceilings(rows: Sequence[Row]) -> dict[str, float]:
    """Spearman's rho of two seeds, each at its own best learning rate; a diverged architecture is below all others."""
    found = {}
    for figure, worst in zip(FIGURES, (-1.0, 1e9), strict=True):
        seeds = [[worst if row[f"{figure}_{seed}"] is None else row[f"{figure}_{seed}"] for row in rows] for seed in (0, 1)]
        found[figure] = round(float(spearmanr(*seeds).statistic), 3)
    return found


def pilot(out: Path, kinds: Sequence[str], more: Sequence[str]) -> Iterator[Row]:
    """How well two seeds agree after so many steps; other architectures than those of the table."""
    for kind in kinds:
        count, steps = PILOT[kind]
        for number in steps:
            study = f"pilot_{kind}_{number}"
            words = [f"experiment=groundtruth_{kind}", f"study={study}", f"database={out / 'pilot.db'}", f"out={out}"]
            options = [f"validation.random={count}", "validation.seed=1", f"trainer.steps={number}"]
            search([*words, *options, *more])
            rows = trained(out / "pilot.db", kind, study)
            yield {"kind": kind, "steps": number, "architectures": len(rows), **ceilings(rows)}


def table(out: Path, kinds: Sequence[str], more: Sequence[str]) -> Iterator[Row]:
    """Train what the table holds, kind by kind; its rows, each with its half (`half=` of `nasjac correlate`)."""
    for kind in kinds:
        for end, seed, half in SAMPLES:
            study = f"groundtruth_{kind}{end}"
            words = [f"experiment=groundtruth_{kind}", f"study={study}", f"validation.seed={seed}"]
            search([*words, f"database={out / 'groundtruth.db'}", f"out={out}", *more])
            for row in trained(out / "groundtruth.db", kind, study):
                text = Spec.from_json(row.pop("spec")).to_json()
                yield {**row, "half": half, "spec": text}


def write(path: Path, rows: Sequence[Row]) -> None:
    """CSV, compressed if its name says so; the same bytes for the same rows."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def provenance(database: Path) -> list[Row]:
    """What made the table: command, configuration, versions, commit; not where the files were."""
    with Store(database, read_only=True) as store:
        found = store.select("SELECT study, command, config, versions, git_commit, device FROM run ORDER BY run_id")
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    for row in rows:
        config = json.loads(row["config"])
        row["config"] = {name: value for name, value in config.items() if name not in PLACES}
        row["versions"] = json.loads(row["versions"])
        row["command"] = " ".join(word for word in row["command"].split() if word.partition("=")[0] not in PLACES)
    return rows


def run(out: Path, kinds: Sequence[str], stages: Sequence[str], more: Sequence[str]) -> Mapping[str, Any]:
    summary: dict[str, Any] = {}
    if "pilot" in stages:
        rows = list(pilot(out, kinds, more))
        write(out / "pilot.csv", rows)
        summary["pilot"] = rows
    if "table" in stages:
        rows = list(table(out, kinds, more))
        write(out / "groundtruth.csv.gz", rows)
        (out / "provenance.json").write_text(json.dumps(provenance(out / "groundtruth.db"), indent=1) + "\n")
        summary["bytes"] = (out / "groundtruth.csv.gz").stat().st_size
        for kind in kinds:
            own = [row for row in rows if row["kind"] == kind]
            diverged = sum(row["status"] != "ok" for row in own)
            agreed = {half: ceilings([row for row in own if row["half"] == half]) for half in ("choose", "report")}
            summary[kind] = {"architectures": len(own), "diverged": diverged, "noise_ceiling": agreed}
    return summary


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    here = {name: given.pop(name, value) for name, value in HERE.items()}
    folder = Path(here["out"])
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"{name}={value}" for name, value in given.items()]
    print(json.dumps(run(folder, here["kinds"].split(","), here["stages"].split(","), words)))
