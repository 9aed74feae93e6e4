"""Is the default search worth its time? README.md beside this file tells.

    python experiments/016_search_value/run.py [name=value ...]

Gives several ways of choosing one residual MLP for digits the same CPU time, trains what each chose for longer and wider,
and writes table.csv (what was chosen), arms.csv (means over seeds, paired differences to the default search) and figure.png
into `out`. The last line is one JSON object.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import optuna
import torch
from matplotlib.axes import Axes
from scipy.stats import t as student
from torch.nn import functional as F

from nasjac import Spec, Store, build
from nasjac.cli.experiment import experiment
from nasjac.datasets import Data, Digits
from nasjac.foundation.console import Console
from nasjac.foundation.interrupts import Interrupted
from nasjac.foundation.text_tables import write_csv
from nasjac.kinds.facts import facts
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.reporting.canvas import DARK, GREY, LINES, save, sheet, style
from nasjac.samplers.nsga2 import NSGAII
from nasjac.samplers.random_specs import random_specs
from nasjac.scores import Score
from nasjac.scores.apjn import Apjn
from nasjac.scores.merit import Merit
from nasjac.searching.loop import run as search
from nasjac.searching.objectives import Budget
from nasjac.searching.search import Search
from nasjac.searching.study import Study
from nasjac.trainers import AdamW, Run


@dataclass
class Options:
    """Every arm has `seconds` of CPU time to choose an architecture of at most `depth` blocks and one of `widths`.

    `brief` steps train a candidate of the arm `training`; `halving` begins with `first` steps, for the share `opening` of
    its time, then keeps a third and triples the steps, until there were `rungs` rungs. What is chosen is trained for
    `brief` and `long` steps, and for `wide` steps at `factor` times its width: at every one of `rates` from every one of
    `final_seeds`. `largest` is the largest of `among` draws; of `seeds` each has `picks` random architectures. By the share
    `select` of the training split the arms that train choose, and the final rates are chosen.
    """

    out: str = "reports/016_search_value"
    seconds: float = 20.0
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5])
    depth: int = 32
    widths: list[int] = field(default_factory=lambda: [16, 32])
    rates: list[float] = field(default_factory=lambda: [1e-3, 3e-3, 1e-2])
    train_seeds: list[int] = field(default_factory=lambda: [0, 1])
    final_seeds: list[int] = field(default_factory=lambda: [2, 3])
    brief: int = 60
    first: int = 20
    rungs: int = 3
    opening: float = 0.5
    long: int = 600
    wide: int = 200
    factor: int = 4
    among: int = 256
    picks: int = 3
    select: float = 0.2


#: mean accuracy and minus mean loss: the larger, the better
Standing = tuple[float, float]
#: of a network that guesses among ten classes, which is what one counts as that breaks off
GUESS = (0.1, -math.log(10))


class Splits(NamedTuple):
    """Training samples and, as validation, those to select by and those to report."""

    select: Data
    report: Data


def splits(options: Options) -> Splits:
    """The digits' validation split is reported; a random share of their training split is what arms and rates select by."""
    data = Digits().load()
    order = torch.randperm(len(data.train_labels), generator=torch.Generator().manual_seed(0))
    cut = round(options.select * len(order))
    inputs, labels = data.train_inputs[order], data.train_labels[order]
    report = replace(data, train_inputs=inputs[cut:], train_labels=labels[cut:])
    return Splits(replace(report, valid_inputs=inputs[:cut], valid_labels=labels[:cut]), report)


class Spent(Interrupted):
    """Whether so many seconds of CPU time have passed."""

    def __init__(self, seconds: float) -> None:
        self.until = time.process_time() + seconds

    def __call__(self) -> bool:
        return time.process_time() >= self.until


@dataclass(frozen=True)
class Task:
    options: Options
    space: ResidualMlpSpace
    data: Splits
    seed: int

    def drawn(self) -> Iterator[Spec]:
        """Random architectures under the constraints that a search has."""
        study = Study(self.space, optuna.samplers.RandomSampler, Budget(), ["maximize"], self.seed)
        for batch in count():
            yield from (proposal.spec for proposal in study.ask(batch, 16) if proposal.feasible)

    def standing(self, spec: Spec, steps: int) -> Standing:
        """After a training, at the best rate."""
        trainer = AdamW(steps=steps, learning_rates=tuple(self.options.rates), seeds=tuple(self.options.train_seeds))
        return max(by_rate(trainer.train(spec, self.data.select)).values())


def by_rate(runs: Sequence[Run]) -> dict[float, Standing]:
    """Of each rate the mean over seeds."""
    found = {}
    for rate in {run.learning_rate for run in runs}:
        own = [run for run in runs if run.learning_rate == rate]
        figures = [GUESS if run.accuracy is None or run.loss is None else (run.accuracy, -run.loss) for run in own]
        accuracy, loss = np.mean(figures, axis=0)
        found[rate] = (float(accuracy), float(loss))
    return found


#: what was chosen, and from how many
Choice = tuple[Spec, int]


def by_search(task: Task, merit: bool) -> Choice:
    """What `nasjac search` recommends, by merit or by the former two objectives; all else is its default."""
    spent = Spent(task.options.seconds)
    score: Score = Merit().bind(random_specs(task.space, Merit().reference)) if merit else Apjn()
    names = {"space": {"name": "residual_mlp"}, "dataset": {"name": "digits"}, "sampler": {"name": "nsga2"}}
    sampler, budget = partial(NSGAII, population_size=50), Budget(trials=10**6)
    names["score"] = {"name": score.name}
    job = Search(task.space, score, sampler, task.data.select, names, budget, seed=task.seed)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "search.db") as store:
        name = store.open_study("search", job.identity, "error", job.score_id)
        trials = search(store, name, job, lambda done, text: None, spent).trials
        key = store.study(name).recommended_key
        if key is None:
            raise ValueError(f"`seconds` must suffice for a batch of a search, got {task.options.seconds!r}")
        return Spec.from_json(json.dumps(store.architectures([key])[key].spec)), trials


def by_training(task: Task) -> Choice:
    """Of random architectures, each trained briefly, the best."""
    pool, spent, trained = task.drawn(), Spent(task.options.seconds), []
    while not trained or not spent():
        spec = next(pool)
        trained.append((task.standing(spec, task.options.brief), spec))
    return best(trained)[0][1], len(trained)


def by_halving(task: Task) -> Choice:
    """Successive halving (Jamieson and Talwalkar, 2016), by thirds; each rung trains from scratch."""
    pool, options = task.drawn(), task.options
    spent, first, field = Spent(options.seconds), Spent(options.seconds * options.opening), []
    while not field or not first():
        spec = next(pool)
        field.append((task.standing(spec, options.first), spec))
    drawn = len(field)
    for rung in range(1, options.rungs):
        rivals, field = best(field)[: max(1, len(field) // 3)], []
        for _, spec in rivals:
            if not field or not spent():
                field.append((task.standing(spec, options.first * 3**rung), spec))
    return best(field)[0][1], drawn


def best(trained: Sequence[tuple[Standing, Spec]]) -> list[tuple[Standing, Spec]]:
    """Best first."""
    return sorted(trained, key=lambda pair: pair[0], reverse=True)


def by_size(task: Task) -> Choice:
    """Of random architectures the one with the most parameters."""
    drawn = list(islice(task.drawn(), task.options.among))
    known = facts(drawn)
    return drawn[max(range(len(drawn)), key=lambda place: known[place].params)], len(drawn)


ARMS: dict[str, Callable[[Task], Choice]] = {
    "merit": partial(by_search, merit=True),
    "jacobian": partial(by_search, merit=False),
    "training": by_training,
    "halving": by_halving,
    "largest": by_size,
}
COLOURS = {"merit": LINES[0], "jacobian": LINES[1], "training": LINES[6], "halving": LINES[5], "largest": LINES[2]}
SETTINGS = ("brief", "long", "wide")
FIGURES = [f"{setting}_{figure}" for setting in SETTINGS for figure in ("accuracy", "loss")]


def chosen(task: Task) -> Iterator[dict[str, Any]]:
    """Of each arm what it chose, and from how many in what time; of the random arm several."""
    for arm, choose in ARMS.items():
        cpu, wall = time.process_time(), time.perf_counter()
        spec, looked_at = choose(task)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        yield {
            "arm": arm,
            "spec": spec,
            "looked_at": looked_at,
            "cpu_seconds": round(cpu, 2),
            "wall_seconds": round(wall, 2),
        }
    for spec in islice(replace(task, seed=task.seed + 2**16).drawn(), task.options.picks):
        yield {"arm": "random", "spec": spec, "looked_at": 1, "cpu_seconds": 0.0, "wall_seconds": 0.0}


def evaluated(task: Task, spec: Spec) -> dict[str, Any]:
    """Facts of what was chosen, and its accuracy and loss on what is reported after each final training."""
    [fact], options = facts([spec]), task.options
    row = {"width": spec.width, "depth": fact.depth, "params": fact.params, "placement": spec.placement}
    row |= {"activation": spec.activation, "branch": spec.branch, "weight_gain": round(spec.weight_gain, 3)}
    row |= {"skip_density": fact.skip_density, "nonlinear_effective_depth": round(fact.nonlinear_effective_depth, 2)}
    wider = replace(spec, width=options.factor * spec.width)
    finals = {"brief": (spec, options.brief), "long": (spec, options.long), "wide": (wider, options.wide)}
    for setting, (network, steps) in finals.items():
        accuracy, loss = final(task, network, steps)
        row |= {f"{setting}_accuracy": round(accuracy, 4), f"{setting}_loss": round(loss, 4)}
    return row


def final(task: Task, spec: Spec, steps: int) -> Standing:
    """Mean accuracy and loss over seeds on the samples reported, at the rate that is best on those to select by."""
    options, report = task.options, task.data.report
    trainer = AdamW(steps=steps, learning_rates=tuple(options.rates), seeds=tuple(options.final_seeds))
    runs = trainer.train(spec, task.data.select)
    rates = by_rate(runs)
    rate = max(rates, key=lambda rate: rates[rate])
    figures = []
    for run in (run for run in runs if run.learning_rate == rate):
        if run.status != "ok":
            figures.append((GUESS[0], -GUESS[1]))
            continue
        network = build(spec, report.inputs, report.outputs)
        network.load_state_dict(dict(run.state))
        with torch.no_grad():
            outputs = network(report.valid_inputs)
        hits = (outputs.argmax(dim=-1) == report.valid_labels).double().mean()
        figures.append((float(hits), float(F.cross_entropy(outputs, report.valid_labels))))
    accuracy, loss = np.mean(figures, axis=0)
    return float(accuracy), float(loss)


def arm_rows(options: Options, rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of each arm and figure: mean and standard deviation over seeds, and the mean difference to merit, paired by seed."""
    for arm in (*ARMS, "random"):
        for figure in FIGURES:
            own, default = (of_seeds(options, rows, name, figure) for name in (arm, "merit"))
            row = {
                "arm": arm,
                "figure": figure,
                "mean": round(float(own.mean()), 4),
                "sd": round(float(own.std(ddof=1)), 4),
            }
            less = own - default
            half = float(student.ppf(0.975, len(less) - 1) * less.std(ddof=1) / math.sqrt(len(less)))
            better = less > 0 if figure.endswith("accuracy") else less < 0
            row |= {"less_merit": round(float(less.mean()), 4), "half_interval": round(half, 4)}
            yield row | {"better": int(better.sum()), "equal": int((less == 0).sum()), "seeds": len(less)}


def of_seeds(options: Options, rows: Sequence[dict[str, Any]], arm: str, figure: str) -> np.ndarray[Any, Any]:
    """[seeds]; of several picks of a seed the median."""
    found = [[row[figure] for row in rows if row["arm"] == arm and row["seed"] == seed] for seed in options.seeds]
    return np.array([median(values) for values in found], dtype=float)


def draw(axes: Axes, options: Options, rows: Sequence[dict[str, Any]], figure: str, title: str) -> None:
    names = [*ARMS, "random"]
    for place, arm in enumerate(names):
        colour, values = COLOURS.get(arm, GREY), of_seeds(options, rows, arm, figure)
        beside = place + np.linspace(-0.22, 0.22, len(values))
        axes.plot(beside, values, ls="", marker="o", ms=5, mew=0, alpha=0.8, color=colour)
        axes.plot([place - 0.32, place + 0.32], [values.mean()] * 2, color=DARK, lw=1.4)
    axes.axhline(of_seeds(options, rows, "merit", figure).mean(), color=COLOURS["merit"], lw=0.8, ls="--")
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set_title(title, fontsize=10, loc="left")
    if figure.endswith("loss"):
        axes.set_yscale("log")


def picture(path: Path, options: Options, rows: Sequence[dict[str, Any]]) -> None:
    figure = sheet(14, 7.6)
    places = figure.subplots(2, len(SETTINGS))
    steps = {"brief": options.brief, "long": options.long, "wide": options.wide}
    for column, setting in enumerate(SETTINGS):
        wide = f" at {options.factor} × width" if setting == "wide" else ""
        for axes, kind in zip(places[:, column], ("accuracy", "loss"), strict=True):
            draw(style(axes), options, rows, f"{setting}_{kind}", f"{setting}: {steps[setting]} steps{wide}")
            axes.set_ylabel(f"{kind} on samples that none selected by" if not column else None)
    save(figure, path, columns=1)


@experiment(Options, __doc__)
def main(options: Options, out: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    began, data, rows = time.process_time(), splits(options), []
    space = ResidualMlpSpace(depth_max=options.depth, depth_min=min(4, options.depth), widths=tuple(options.widths))
    with Console().bar("choose and train", len(options.seeds)) as advance:
        for done, seed in enumerate(options.seeds):
            task = Task(options, space, data, seed)
            for choice in chosen(task):
                spec = choice.pop("spec")
                rows.append({"seed": seed, **choice, "key": spec.key, **evaluated(task, spec)})
            write_csv(out / "table.csv", rows)
            advance(done + 1, f"seed {seed}")
    table = list(arm_rows(options, rows))
    write_csv(out / "arms.csv", table)
    picture(out / "figure.png", options, rows)
    used = {arm: [row for row in rows if row["arm"] == arm] for arm in ARMS}
    return {
        "samples": {"train": len(data.report.train_labels), "select": len(data.select.valid_labels)}
        | {"report": len(data.report.valid_labels)},
        "cpu_seconds": round(time.process_time() - began, 1),
        "used": {
            arm: {name: round(float(np.mean([row[name] for row in own])), 2) for name in ("cpu_seconds", "looked_at")}
            for arm, own in used.items()
        },
        "median_chosen": {
            arm: {name: median(row[name] for row in own) for name in ("width", "depth", "params")}
            for arm, own in used.items()
        },
        "arms": table,
    }


if __name__ == "__main__":
    main()
