"""Which score ranks trained architectures best, on five tables? README.md beside this file tells.

    python experiments/which_score/run.py [half=choose] [nasbench201=FILE] [nasbench_macro=FILE] [cifar10=FILE]

The tables of ours are in experiments/groundtruth; the published ones, and CIFAR-10 for their networks' inputs, are
asked for by path and left out without one. half=choose is what the score was chosen by, half=report what is reported.
Writes scores.csv (all scores; merit without each of its parts, with more and less of each, and of both sides put
together otherwise), table.csv (merit beside the best baseline), seconds.csv (merit's time beside synflow's on the
published tables) and figure.png into the folder out=; the last line is one JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from nasjac.cli.experiment import experiment
from nasjac.datasets.cifar10 import Cifar10
from nasjac.datasets.data import Data
from nasjac.datasets.digits import Digits
from nasjac.datasets.text import Text
from nasjac.foundation import text_tables as tables
from nasjac.mathematics.trainability import EXPRESSIVITY, HARMS, PARTS
from nasjac.mathematics.trainability import merit_of_parts as total
from nasjac.tables.correlate import correlate
from nasjac.tables.nasbench201.space import NasBench201
from nasjac.tables.nasbench_macro.space import NasBenchMacro
from nasjac.tables.scores.az_nas import AzNas
from nasjac.tables.scores.base import Done, Scored, TableScore
from nasjac.tables.scores.jacob_cov import JacobCov
from nasjac.tables.scores.merit import TableMerit
from nasjac.tables.scores.naswot import Naswot
from nasjac.tables.scores.synflow import Synflow
from nasjac.tables.scores.term import Term
from nasjac.tables.space import Material
from nasjac.tables.spec_table import SpecTable

HERE = Path(__file__).parent
#: the parts of merit by name, each [n]
Parts = Mapping[str, NDArray[np.float64]]


def weighted(parts: Parts, part: str, factor: float) -> NDArray[np.float64]:
    """Merit with more or less of one part."""
    return total({**parts, part: factor * parts[part]})


def joined(parts: Parts, how: np.ufunc) -> NDArray[np.float64]:
    """Expressivity and minus the penalty, put together otherwise than merit does."""
    expressivity, trainability = (np.sum([parts[name] for name in names], axis=0) for names in (EXPRESSIVITY, HARMS))
    found = how(expressivity, trainability)
    return np.where(np.isnan(found), -np.inf, found)


def linear(parts: Parts) -> NDArray[np.float64]:
    """Merit with ½ |log(r/N)| and 2 |log(1 − c)| for their squares."""
    return total(
        {
            **parts,
            "effective_rank": -np.sqrt(-2 * parts["effective_rank"]),
            "output_decorrelation": -2 * np.sqrt(-parts["output_decorrelation"]),
        }
    )


#: merit and its relatives
VARIANTS: dict[str, Callable[[Parts], NDArray[np.float64]]] = {
    "merit": total,
    **{f"merit without {part}": partial(total, without=(part,)) for part in PARTS},
    "expressivity": partial(total, without=HARMS),
    "penalty": partial(total, without=EXPRESSIVITY),
    **{f"{part} alone": partial(total, without=[name for name in PARTS if name != part]) for part in PARTS},
    **{f"merit, {factor:g} {part}": partial(weighted, part=part, factor=factor) for part in PARTS for factor in (0.5, 2)},
    "linear": linear,
    "sum": partial(joined, how=np.add),
    "minimum": partial(joined, how=np.minimum),
}
#: scores of the field, each on a pass of its own
FIELD = (Synflow(), JacobCov(), Naswot(), AzNas(images=16))
TERMS = ("trainability_cost", "flatness", "token_differential")
Row = dict[str, Any]


@dataclass
class Options:
    out: str = "reports/which_score"
    half: str = "report"
    n: int = 1000
    field_n: int = 100
    timed: list[int] = field(default_factory=lambda: [100, 1000])
    resamples: int = 1000
    seed: int = 0
    groundtruth: str = str(HERE.parent / "groundtruth" / "groundtruth.csv.gz")
    kinds: list[str] = field(default_factory=lambda: ["residual_mlp", "resnet", "transformer_lm"])
    nasbench201: str | None = None
    nasbench_macro: str | None = None
    cifar10: str | None = None


class Case(NamedTuple):
    """A table: its space, the data of its networks' inputs, the targets it is judged by, and whether it is published."""

    name: str
    space: Any
    path: str
    data: Callable[[], Data]
    targets: tuple[str, ...]
    published: bool


@dataclass(frozen=True)
class Variant(TableScore):
    """One of `VARIANTS`, of parts that are computed once for each table."""

    label: str

    needs: ClassVar[Material] = Material.NETWORKS | Material.SPECS
    known: ClassVar[dict[str, Parts]] = {}

    @property
    def name(self) -> str:
        return self.label

    def measure(
        self, space: Any, architectures: Sequence[Any], inputs: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        if space.name not in self.known:
            self.known[space.name] = TableMerit().parts(space, architectures, inputs, device, done)
        return [Scored(float(value)) for value in VARIANTS[self.label](self.known[space.name])]


def cases(options: Options) -> Iterator[Case]:
    digits, text = Digits().load, Text(context=16, limit=100_000).load
    ours = {"residual_mlp": (digits, "accuracy"), "resnet": (digits, "accuracy"), "transformer_lm": (text, "loss")}
    for kind in options.kinds:
        data, target = ours[kind]
        yield Case(kind, SpecTable(kind), options.groundtruth, data, (target,), False)
    if options.cifar10 is not None:
        images = Cifar10(root=options.cifar10).load
        if options.nasbench201 is not None:
            targets = ("cifar10_test", "cifar100_test")
            yield Case("nasbench201", NasBench201(), options.nasbench201, images, targets, True)
        if options.nasbench_macro is not None:
            yield Case("nasbench_macro", NasBenchMacro(), options.nasbench_macro, images, ("acc_mean",), True)


def judged(case: Case, target: str, score: TableScore, options: Options, data: Data, n: int, resamples: int) -> Row:
    """What `nasjac correlate` says."""
    asked = {"target": target, "n": n, "half": options.half, "seed": options.seed, "resamples": resamples}
    found: Row = json.loads(correlate(case.path, case.space, score, dataset=data, **asked).to_json())
    return found


def timings(case: Case, options: Options) -> Iterator[Row]:
    """Seconds an architecture of merit and of synflow, each as `nasjac correlate` runs it, on `timed` architectures.

    Merit's hold its reference population, 256 architectures however many are scored.
    """
    data, target = case.data(), case.targets[0]
    for n in options.timed:
        for score in (TableMerit(), Synflow()):
            found = judged(case, target, score, options, data, n, 0)
            seconds = _rounded(found["seconds_per_architecture"])
            yield {"case": case.name, "score": score.name, "n": found["n"], "seconds": seconds}


def study(case: Case, options: Options) -> Iterator[Row]:
    """All scores on one table: merit with intervals, the others by their values alone."""
    data = case.data()
    others: list[tuple[TableScore, int]] = [(Variant(label), options.n) for label in VARIANTS]
    if case.published and options.field_n:
        others += [(score, options.field_n) for score in FIELD]
    if not case.published:
        others += [(Term(name), options.n) for name in TERMS[: 3 if case.name == "transformer_lm" else 2]]
    for target in case.targets:
        for score, n in others:
            if score in FIELD and target != case.targets[0]:
                continue  # slow
            first = score.name == "merit"
            found = judged(case, target, score, options, data, n, options.resamples if first else 0)
            yield {**found, "case": case.name, "target": target, "score": score.name}


def line(found: Row) -> Row:
    """A score in a table, in scores.csv."""
    names = ("case", "target", "score", "n", "kendall_tau", "spearman", "missing")
    return {name: _rounded(found[name]) for name in names}


def headline(found: Row) -> Row:
    """Merit in a table, in table.csv: beside the best baseline in either direction, and what two seeds agree to."""
    low, high = found["spearman_interval"] or (None, None)
    below, above = found["spearman_difference_interval"] or (None, None)
    tau_low, tau_high = found["interval"] or (None, None)
    baseline = found["best_baseline_spearman"]
    strata = {f"tau_{name}": row["kendall_tau"] for name, row in found["strata"].items()}
    rival = {f"tau_{name}_difference": row["difference"] for name, row in found["strata"].items()}
    row = {
        "table": found["case"], "target": found["target"], "n": found["n"], "spearman": found["spearman"],
        "spearman_low": low, "spearman_high": high, "kendall_tau": found["kendall_tau"], "tau_low": tau_low,
        "tau_high": tau_high, "best_baseline": baseline, "difference": found["spearman_difference"],
        "difference_low": below, "difference_high": above, "noise_ceiling": _value(found["noise_ceiling"]),
        "regret": found["top"]["regret"], "ndcg": found["ndcg"], **strata, **rival,
    }  # fmt: skip
    return {name: _rounded(value) for name, value in row.items()}


def _value(ceiling: Any) -> float | None:
    return getattr(ceiling, "value", ceiling.get("value") if isinstance(ceiling, Mapping) else ceiling)


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def draw(path: Path, merits: Sequence[Row], rows: Sequence[Row]) -> None:
    """Merit with its interval, the best baseline, and what merit is without each of its parts."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
    labels = [f"{row['table']}\n{row['target']}" for row in merits]
    places = range(len(merits))
    for place, row in enumerate(merits):
        error = [[row["spearman"] - (row["spearman_low"] or 0)], [(row["spearman_high"] or 1) - row["spearman"]]]
        left.errorbar(row["spearman"], place, xerr=error, fmt="o", color="C0", label=None if place else "merit")
        rival = row["spearman"] - (row["difference"] or 0)
        left.plot(rival, place, "s", mfc="none", color="C3", label=None if place else "best baseline")
        left.annotate(
            str(row["best_baseline"]), (rival, place), (0, -12), textcoords="offset points", ha="center", fontsize=7
        )
        if row["noise_ceiling"] is not None:
            left.plot(row["noise_ceiling"], place, "|", color="0.4", markersize=16, label=None if place else "two seeds")
    left.set(yticks=list(places), yticklabels=labels, xlabel="Spearman's rho", ylim=(len(merits) - 0.5, -0.6))
    left.grid(alpha=0.3)
    left.margins(x=0.14)
    left.legend(frameon=False, fontsize=8, loc="lower left")
    for part, colour in zip(PARTS, ("C0", "C1", "C2", "C4", "C5", "C6"), strict=True):
        drops = []
        for row in merits:
            own = [r for r in rows if (r["case"], r["target"]) == (row["table"], row["target"])]
            found = {r["score"]: r["spearman"] for r in own}
            drops.append(found[f"merit without {part}"] - found["merit"])
        right.plot(drops, places, "o-", color=colour, label=part, linewidth=0.8)
    right.axvline(0, color="0.4", linewidth=0.8)
    right.set(yticks=list(places), yticklabels=[], xlabel="change of rho without the part", ylim=(len(merits) - 0.5, -0.6))
    right.grid(alpha=0.3)
    right.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=150)


@experiment(Options, __doc__)
def main(options: Options, out: Path) -> Mapping[str, Any]:
    rows, merits, seconds = [], [], []
    for case in cases(options):
        seconds += list(timings(case, options)) if case.published else []
        for found in study(case, options):
            rows.append(line(found))
            if found["score"] == "merit":
                merits.append(headline(found))
                print(json.dumps(merits[-1]), flush=True)
    tables.write_csv(out / "scores.csv", rows)
    tables.write_csv(out / "table.csv", merits)
    tables.write_csv(out / "seconds.csv", seconds)
    draw(out / "figure.png", merits, rows)
    return {"half": options.half, "tables": merits, "seconds": seconds}


if __name__ == "__main__":
    main()
