"""Do networks train better because their Jacobians are better? README.md beside this file tells.

    python experiments/015_causality/run.py [name=value ...]

Depth, width, parameters and FLOPs stay; gain, skip density and placement are set, every value with every other. Samples
the Jacobian terms of each network, trains it under three optimizers, and writes table.csv (a row for each network),
spearman.csv (terms against loss) and figure.png into `out`. The last line is one JSON object.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from nasjac import Block, Spec, measure
from nasjac.architecture.ensemble import members
from nasjac.cli.experiment import experiment
from nasjac.datasets import Data, Digits
from nasjac.foundation.console import Console
from nasjac.foundation.text_tables import write_csv
from nasjac.kinds.facts import facts
from nasjac.mathematics.rank_correlation import bootstrap_interval, spearman
from nasjac.reporting.canvas import DARK, LINES, save, sheet, style
from nasjac.scores.apjn import Apjn
from nasjac.trainers import SGD, AdamW, Run, Trainer

Array = NDArray[np.float64]
Row = dict[str, Any]
BLUE, GREEN, ORANGE, VIOLET = LINES[0], LINES[2], LINES[6], LINES[4]


@dataclass
class Options:
    """relu chains of `depth` blocks of `width` units, one wiring each; all of `gains` x `densities` x `placements`.

    `draws` of the weights for the terms. Trained for `steps` updates from every one of `seeds` at every rate of the
    optimizer: `adamw_rates`; `sgd_rates` with momentum 0.9; `plain_rates` without momentum and without clipping. In all
    three nothing decays.
    """

    out: str = "reports/015_causality"
    width: int = 32
    depth: int = 12
    gains: list[float] = field(default_factory=lambda: [0.6, 0.8, 1.0, 1.2, 1.5])
    densities: list[float] = field(default_factory=lambda: [0.0, 0.25, 0.5, 0.75, 1.0])
    placements: list[str] = field(default_factory=lambda: ["none", "pre", "post", "res_post"])
    draws: int = 32
    steps: int = 60
    adamw_rates: list[float] = field(default_factory=lambda: [1e-3, 3e-3, 1e-2, 3e-2, 1e-1])
    sgd_rates: list[float] = field(default_factory=lambda: [0.01, 0.03, 0.1, 0.3, 1.0])
    plain_rates: list[float] = field(default_factory=lambda: [1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    seeds: list[int] = field(default_factory=lambda: [0, 1])


def trainers(options: Options) -> dict[str, Trainer]:
    steps, seeds = options.steps, tuple(options.seeds)
    return {
        "adamw": AdamW(steps, learning_rates=tuple(options.adamw_rates), seeds=seeds, weight_decay=0.0),
        "sgd": SGD(steps, learning_rates=tuple(options.sgd_rates), seeds=seeds, weight_decay=0.0),
        "plain_sgd": SGD(
            steps, learning_rates=tuple(options.plain_rates), seeds=seeds, weight_decay=0.0, clip=1e30, momentum=0.0
        ),
    }


def networks(options: Options) -> list[tuple[Row, Spec]]:
    """Levers and network; the wiring of a density is the same under all gains and placements, and nested over densities."""
    found = []
    for placement, s, gain in itertools.product(options.placements, options.densities, options.gains):
        spec = Spec.of(width=options.width, blocks=(Block(skip=s),) * options.depth, placement=placement, weight_gain=gain)
        found.append(({"placement": placement, "s": s, "gain": gain}, members(spec, 1, seed=0)[0]))
    return found


#: what ranks networks, turned so that the larger is the worse: four terms, their sum, and two levers to compare with
TERMS: dict[str, Callable[[Row], float]] = {
    "abs_mean_log": lambda row: abs(row["mean_log"]),
    "sd_log": lambda row: row["sd_log"],
    "log_rank": lambda row: -row["log_rank"],
    "log_decorrelation": lambda row: -row["log_decorrelation"],
    "trainability_cost": lambda row: row["trainability_cost"],
    "s": lambda row: -row["s"],
    "gain": lambda row: row["gain"],
}
FOUR = ("abs_mean_log", "sd_log", "log_rank", "log_decorrelation")
STILL = 0.01  # nats: a term that moves less does not move


def measured(options: Options, chosen: Sequence[tuple[Row, Spec]], data: Data) -> list[Row]:
    """Levers, facts and sampled terms. ValueError for a network without some term."""
    specs = [spec for _, spec in chosen]
    score = Apjn(draws=options.draws, rel_error=None)
    names = ["mean_log", *FOUR[1:], "trainability_cost"]
    rows = []
    for (levers, _), item, fact in zip(chosen, measure(specs, data.train_inputs, score), facts(specs), strict=True):
        if item.status != "ok":
            raise ValueError(f"every network must have all terms, got {levers}: {item.reason}")
        row = levers | {"key": item.key, "depth": fact.depth, "params": fact.params, "flops": fact.flops}
        row["mean_log_se"] = item.terms["mean_log"].standard_error
        rows.append(row | {name: item.terms[name].value for name in names})
    return rows


def tuned(runs: list[Run]) -> Row:
    """The rate with the least mean training loss over seeds, all of which must have ended well; infinite without one."""
    rates = sorted({run.learning_rate for run in runs})
    losses = {rate: [run.train_loss for run in runs if run.learning_rate == rate] for rate in rates}
    whole = {
        rate: float(np.mean([x for x in found if x is not None])) for rate, found in losses.items() if None not in found
    }
    broken = sum(run.status == "diverged" for run in runs)
    if not whole:
        return {"rate": None, "loss": math.inf, "seeds_apart": 0.0, "accuracy": 0.0, "at_edge": False, "diverged": broken}
    rate = min(whole, key=lambda rate: whole[rate])
    accuracy = float(np.mean([run.accuracy for run in runs if run.learning_rate == rate]))
    edge = rate in (rates[0], rates[-1])
    found = [x for x in losses[rate] if x is not None]
    row = {"rate": rate, "loss": whole[rate], "seeds_apart": math.log(max(found) / min(found)), "accuracy": accuracy}
    return row | {"at_edge": edge, "diverged": broken}


def train(options: Options, chosen: Sequence[tuple[Row, Spec]], rows: list[Row], data: Data) -> None:
    """Adds to each row what each optimizer made of its network."""
    every = trainers(options)
    with Console().bar("train", len(rows) * len(every)) as advance:
        pairs = itertools.product(zip(chosen, rows, strict=True), every.items())
        for done, (((_, spec), row), (name, trainer)) in enumerate(pairs):
            row |= {f"{name}_{key}": value for key, value in tuned(trainer.train(spec, data)).items()}
            advance(done + 1, name)


#: a lever, and what is held while it moves
LEVERS = {"gain": ("placement", "s"), "s": ("placement", "gain"), "placement": ("gain", "s")}


def ranks(values: Sequence[float]) -> Array:
    """Ranks less their mean, halved differences of what is below and above; equal values share one."""
    array = np.asarray(values, dtype=float)
    return np.asarray(((array[:, None] > array).sum(axis=1) - (array[:, None] < array).sum(axis=1)) / 2, dtype=float)


def within(rows: Sequence[Row], held: Sequence[str], term: Callable[[Row], float], loss: str) -> Row:
    """Spearman of a term with loss within each setting of the levers that are `held`: ranks within settings, pooled.

    Settings in which the term stays as it is are left out. The interval is a bootstrap over settings.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in held), []).append(row)
    values = [([term(row) for row in own], [row[loss] for row in own]) for own in groups.values()]
    pairs = [(ranks(x), ranks(y)) for x, y in values if max(x) - min(x) > STILL]
    if not pairs:
        return {"rho": None, "low": None, "high": None, "networks": 0}
    sums = np.array([(x @ y, x @ x, y @ y) for x, y in pairs])

    def pooled(chosen: Array) -> float:
        xy, xx, yy = chosen.sum(axis=0)
        return float(xy / np.sqrt(xx * yy)) if xx * yy > 0 else 0.0

    drawn = np.random.default_rng(0).integers(len(sums), size=(1000, len(sums)))
    low, high = np.quantile([pooled(sums[chosen]) for chosen in drawn], [0.025, 0.975])
    return {"rho": pooled(sums), "low": float(low), "high": float(high), "networks": sum(len(x) for x, _ in pairs)}


def over(rows: Sequence[Row], term: Callable[[Row], float], loss: str) -> Row:
    """Spearman of a term with loss over networks, with its bootstrap interval."""
    x, y = [term(row) for row in rows], [row[loss] for row in rows]
    interval = bootstrap_interval(spearman, x, y, np.random.default_rng(0)) or (None, None)
    return {"rho": spearman(x, y), "low": interval[0], "high": interval[1], "networks": len(rows)}


def spearman_rows(options: Options, rows: list[Row]) -> list[Row]:
    """Each term with each loss: over all networks, within placements, and while one lever alone moves or s is held."""
    found = []
    for optimizer, (name, term) in itertools.product(trainers(options), TERMS.items()):
        loss, base = f"{optimizer}_loss", {"optimizer": optimizer, "term": name}
        found.append(base | {"among": "all"} | over(rows, term, loss))
        for placement in options.placements:
            own = [row for row in rows if row["placement"] == placement]
            found.append(base | {"among": placement} | over(own, term, loss))
            found.append(base | {"among": f"gain moves, {placement}"} | within(own, ["s"], term, loss))
        for lever, held in LEVERS.items():
            found.append(base | {"among": f"{lever} moves"} | within(rows, held, term, loss))
        found.append(base | {"among": "s held"} | within(rows, ["s"], term, loss))
    return found


def effects(rows: Sequence[Row], column: str) -> Row:
    """Shares of the variance of a column's ranks that each lever explains alone; the design is balanced, so they add up."""
    values = ranks([row[column] for row in rows])
    shares = {}
    for lever in LEVERS:
        levels = np.array([str(row[lever]) for row in rows])
        means = np.array([values[levels == level].mean() for level in levels])
        shares[lever] = float(means @ means / (values @ values))
    return shares | {"together": 1 - sum(shares.values())}


def transfer(rows: Sequence[Row], loss: str, other: bool, nearest: int = 3) -> float | None:
    """Spearman of loss with that of the `nearest` networks by the four terms, of `other` placements or the same."""
    terms = np.stack([ranks([term(row) for row in rows]) for term in map(TERMS.__getitem__, FOUR)])
    values, placement = ranks([row[loss] for row in rows]), np.array([row["placement"] for row in rows])
    distance = ((terms[:, :, None] - terms[:, None, :]) ** 2).sum(axis=0)
    distance[(placement[:, None] == placement) == other] = np.inf
    np.fill_diagonal(distance, np.inf)
    return spearman(values[np.argsort(distance, axis=1)[:, :nearest]].mean(axis=1), values)


def transfer_by_levers(rows: Sequence[Row], loss: str) -> float | None:
    """Spearman of loss with the mean rank of the networks of other placements that have the same s and gain: what a
    network's levers tell of it without any Jacobian, to hold `transfer` against."""
    values = ranks([row[loss] for row in rows])
    told = []
    for row in rows:
        alike = [(o["s"], o["gain"]) == (row["s"], row["gain"]) and o["placement"] != row["placement"] for o in rows]
        told.append(float(values[np.array(alike)].mean()))
    return spearman(told, values)


def against_adamw(rows: Sequence[Row], term: Callable[[Row], float], loss: str, resamples: int = 1000) -> Row:
    """Spearman of a term with loss less that with AdamW's loss, with a 95% bootstrap interval over the same networks."""
    columns = np.array([[term(row), row[loss], row["adamw_loss"]] for row in rows])

    def difference(chosen: Array) -> float:
        x, other, adamw = chosen.T
        return (spearman(x, other) or 0.0) - (spearman(x, adamw) or 0.0)

    drawn = np.random.default_rng(0).integers(len(rows), size=(resamples, len(rows)))
    low, high = np.quantile([difference(columns[chosen]) for chosen in drawn], [0.025, 0.975])
    return {"difference": difference(columns), "low": float(low), "high": float(high)}


def gain_signs(directions: dict[str, dict[str, Row]], loss: str) -> Row:
    """Of the settings in which the gain moves the cost: in how many loss goes the same way, the other way, and no way.
    Settings of too few gains for a rank correlation are left out."""
    pairs = [(found["trainability_cost"], found[loss]) for own in directions.values() for found in own.values()]
    products = [cost * rho for cost, rho in pairs if cost is not None and rho is not None]
    signs = [0 if abs(product) < 1e-9 else math.copysign(1, product) for product in products]
    return {"same": signs.count(1), "other": signs.count(-1), "none": signs.count(0)}


def gain_ranges(options: Options, rows: Sequence[Row]) -> dict[str, Row]:
    """What the gain moves in each placement, mean over densities: the cost in nats, and the log of each loss.

    With the norm on the branch (res_post) it moves nothing of the Jacobian: what it does to the loss is not the Jacobian's.
    """
    found = {}
    for placement in options.placements:
        own = [[row for row in rows if (row["placement"], row["s"]) == (placement, s)] for s in options.densities]
        cost = [_range([row["trainability_cost"] for row in group]) for group in own]
        found[placement] = {"trainability_cost": float(np.mean(cost))}
        for name in trainers(options):
            logs = [_range(np.log([row[f"{name}_loss"] for row in group])) for group in own]
            found[placement] |= {f"{name}_log_loss": float(np.mean(logs))}
    return found


def _range(values: Any) -> float:
    return float(max(values) - min(values))


def gain_directions(options: Options, rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Spearman of the gain with cost and losses, density by density: which way it should be turned; where cost moves."""
    columns = ["trainability_cost", *(f"{name}_loss" for name in trainers(options))]
    found: dict[str, dict[str, Row]] = {}
    for placement, s in itertools.product(options.placements, options.densities):
        own = [row for row in rows if (row["placement"], row["s"]) == (placement, s)]
        gains = [row["gain"] for row in own]
        if _range([row["trainability_cost"] for row in own]) > STILL:
            found.setdefault(placement, {})[f"{s:g}"] = {
                name: spearman(gains, [row[name] for row in own]) for name in columns
            }
    return found


TITLES = {"adamw": "AdamW", "sgd": "SGD, momentum 0.9", "plain_sgd": "SGD, plain, unclipped"}
COLOURS = {"adamw": BLUE, "sgd": ORANGE, "plain_sgd": GREEN}
MARKS = {"none": ("o", BLUE), "pre": ("s", ORANGE), "post": ("^", GREEN), "res_post": ("D", VIOLET)}
TEXTS = {
    "abs_mean_log": r"$|\mathrm{E}\log\mathcal{J}|$",
    "sd_log": "sd",
    "log_rank": "− log r/N",
    "log_decorrelation": "− log(1−c)",
    "trainability_cost": "cost S*",
    "s": "− s",
}


def draw_losses(axes: Axes, rows: list[Row], optimizer: str) -> None:
    for placement, (marker, colour) in MARKS.items():
        own = [row for row in rows if row["placement"] == placement]
        points = [[row[name] for row in own] for name in ("trainability_cost", f"{optimizer}_loss")]
        axes.plot(*points, marker=marker, ls="", ms=4.5, mew=0, alpha=0.75, color=colour, label=placement if own else None)
    axes.set(xscale="log", yscale="log")
    axes.set_xticks([2, 5, 10, 20, 40], ["2", "5", "10", "20", "40"])
    axes.minorticks_off()
    axes.set(xlabel="sampled cost S* (nats)", ylabel="training loss at the tuned rate")
    axes.set_title(TITLES[optimizer], fontsize=10, loc="left")


def draw_ranks(axes: Axes, found: list[Row], keys: dict[str, str], column: str) -> None:
    """Spearman with its interval for each of `keys`, values of `column`, side by side for the optimizers."""
    for number, (optimizer, colour) in enumerate(COLOURS.items()):
        own = {row[column]: row for row in found if row["optimizer"] == optimizer}
        there = [(place, own[key]) for place, key in enumerate(keys) if own[key]["low"] is not None]
        value, low, high = (np.array([row[name] for _, row in there], dtype=float) for name in ("rho", "low", "high"))
        at = [place + (number - 1) * 0.2 for place, _ in there]
        axes.errorbar(
            at, value, [value - low, high - value], ls="", marker="o", ms=4, color=colour, label=TITLES[optimizer]
        )
    axes.axhline(0, color=DARK, lw=0.8)
    axes.set_xticks(range(len(keys)), list(keys.values()), fontsize=7.5)
    axes.set(ylabel="Spearman with loss, 95%", ylim=(-1.02, 1.02))


def draw_gain(axes: Axes, options: Options, rows: list[Row], optimizer: str) -> None:
    """Loss over gain at the highest density."""
    s = max(options.densities)
    for placement, (marker, colour) in MARKS.items():
        own = [row for row in rows if (row["placement"], row["s"]) == (placement, s)]
        values = [[row[name] for row in own] for name in ("gain", f"{optimizer}_loss")]
        axes.plot(*values, marker=marker, ms=4.5, lw=1.2, color=colour)
    axes.set(yscale="log", xlabel="weight gain", ylabel="training loss at the tuned rate")
    axes.set_title(f"{TITLES[optimizer]}, s = {s:g}", fontsize=10, loc="left")


def draw(path: Path, options: Options, rows: list[Row], found: list[Row]) -> None:
    figure = sheet(14, 8.6)
    places = [style(axes) for axes in figure.subplots(2, 3).flat]
    for axes, optimizer in zip(places[:3], COLOURS, strict=True):
        draw_losses(axes, rows, optimizer)
    draw_ranks(places[3], [row for row in found if row["among"] == "all"], TEXTS, "term")
    places[3].set_title("each term, over all networks", fontsize=10, loc="left")
    cost = [row for row in found if row["term"] == "trainability_cost"]
    levers = {f"{lever} moves": f"{lever}\nmoves" for lever in LEVERS} | {"s held": "s\nheld"}
    draw_ranks(places[4], cost, {name: name for name in options.placements} | levers, "among")
    places[4].set_title("the cost: in a placement; one lever moves; s held", fontsize=10, loc="left")
    places[3].legend(fontsize=8, frameon=False, loc="lower left")
    for axes in places[1:5]:
        for handle in axes.get_legend_handles_labels()[0]:
            handle.set_label("_")
    draw_gain(places[5], options, rows, "sgd")
    save(figure, path, columns=4)


def nested(found: list[Row]) -> dict[str, dict[str, Row]]:
    """optimizer -> term -> among -> rho and its interval."""
    result: dict[str, dict[str, Row]] = {}
    for row in found:
        term = result.setdefault(row["optimizer"], {}).setdefault(row["term"], {})
        term[row["among"]] = [row["rho"], row["low"], row["high"]]
    return result


def rounded(value: Any) -> Any:
    """Three decimals in whatever is nested."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value


@experiment(Options, __doc__)
def main(options: Options, out: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    data, chosen = Digits().load(), networks(options)
    rows = measured(options, chosen, data)
    train(options, chosen, rows, data)
    found = spearman_rows(options, rows)
    write_csv(out / "table.csv", rows)
    write_csv(out / "spearman.csv", found)
    draw(out / "figure.png", options, rows, found)
    losses = [f"{name}_loss" for name in trainers(options)]
    summary = {
        "networks": len(rows),
        **{name: sorted({row[name] for row in rows}) for name in ("depth", "params", "flops")},
        "diverged": {name: sum(row[f"{name}_diverged"] for row in rows) for name in trainers(options)},
        "no_rate_left": {name: sum(row[name] == math.inf for row in rows) for name in losses},
        "best_rate_at_edge": {name: sum(row[f"{name}_at_edge"] for row in rows) for name in trainers(options)},
        "spearman": nested(found),
        "effects": {column: effects(rows, column) for column in ["trainability_cost", *losses]},
        "transfer": {
            name: {"other_placements": transfer(rows, name, True), "same_placement": transfer(rows, name, False)}
            | {"other_placements_by_levers": transfer_by_levers(rows, name)}
            for name in losses
        },
        "less_adamw": {
            term: {name: against_adamw(rows, TERMS[term], name) for name in losses[1:]}
            for term in ("abs_mean_log", "trainability_cost", "s")
        },
        "between_optimizers": {
            f"{a} {b}": spearman([row[a] for row in rows], [row[b] for row in rows])
            for a, b in itertools.combinations(losses, 2)
        },
        "seeds_apart": {name: float(np.median([row[f"{name}_seeds_apart"] for row in rows])) for name in trainers(options)},
        "gain_ranges": gain_ranges(options, rows),
        "gain_directions": gain_directions(options, rows),
        "gain_signs": {name: gain_signs(gain_directions(options, rows), name) for name in losses},
    }
    return {name: rounded(value) for name, value in summary.items()}


if __name__ == "__main__":
    main()
