"""Is the recommended architecture better than random ones of equal parameters? README.md beside this file tells.

    python experiments/001_recommended_against_random/run.py [out=DIR] [dataset=a,b] [seed=1,2] [name=value ...]

Searches each dataset from each seed, trains the recommended architecture and eight random ones of equal parameters, and
writes table.csv and figure.png into DIR. Further words go to every `nasjac search`. Run again, it goes on where it was.
The last line is one JSON object.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from nasjac import Store
from nasjac.cli import main
from nasjac.searching.validated import by_protocol

HERE = {"out": "reports/001_recommended_against_random", "dataset": "digits,fashion_mnist", "seed": "1,2,3,4,5"}
#: by trainability cost and nonlinear effective depth, whose knee is recommended
OPTIONS = (
    "score=apjn",
    "budget.trials=500",
    "validation.top=1",
    "validation.random=0",
    "validation.matched=8",
    "quiet=true",
)


def search(out: Path, dataset: str, seed: int, words: list[str]) -> dict[str, object]:
    """One search with its validation, and what came of it."""
    study, database = f"{dataset}-{seed}", f"database={out / 'results.db'}"
    names = [f"study={study}", f"dataset={dataset}", f"seed={seed}", f"validation.seed={seed}", f"out={out}", database]
    code = main(["search", *OPTIONS, *names, *words])
    if code:
        sys.exit(code)
    with Store(out / "results.db", read_only=True) as store:
        row = store.study(study)
        picks = dict(store.picks(study))
        _, trained = by_protocol(store.validations(list(picks), row.dataset_digest))
    accuracy = {key: trained[key].accuracy or 0.0 for key in picks}
    recommended = accuracy.pop(str(row.recommended_key))
    return {
        "dataset": dataset,
        "seed": seed,
        "recommended": round(recommended, 4),
        "best_random": round(max(accuracy.values()), 4),
        "median_random": round(median(accuracy.values()), 4),
        "beaten": sum(recommended > other for other in accuracy.values()),
        "random": len(accuracy),
    }


def draw(out: Path, rows: list[dict[str, object]]) -> None:
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    labels = [f"{row['dataset']} {row['seed']}" for row in rows]
    axes.plot(labels, [row["recommended"] for row in rows], "*", markersize=11, label="recommended")
    axes.plot(labels, [row["best_random"] for row in rows], "o", markersize=9, mfc="none", label="best of the random")
    axes.plot(labels, [row["median_random"] for row in rows], "_", markersize=12, label="median of the random")
    axes.set_ylabel("validation accuracy")
    axes.tick_params(axis="x", rotation=60)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(out / "figure.png", dpi=150)


def summary(rows: list[dict[str, object]]) -> Iterator[tuple[str, object]]:
    """Over all searches: how often the recommended one wins, and the share of random ones it beats."""
    yield "searches", len(rows)
    yield "better_than_the_best_random", sum(row["recommended"] > row["best_random"] for row in rows)  # type: ignore[operator]
    yield "random_beaten", sum(int(str(row["beaten"])) for row in rows)
    yield "random", sum(int(str(row["random"])) for row in rows)


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    here = {name: given.pop(name, value) for name, value in HERE.items()}
    folder, more = Path(here["out"]), [f"{name}={value}" for name, value in given.items()]
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [(dataset, int(seed)) for dataset in here["dataset"].split(",") for seed in here["seed"].split(",")]
    table = [search(folder, dataset, seed, more) for dataset, seed in pairs]
    with open(folder / "table.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    draw(folder, table)
    print(json.dumps(dict(summary(table))))
