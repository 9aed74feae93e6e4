"""Does the phase diagram of the closed forms say which networks train? README.md beside this file tells.

    python experiments/014_phase_diagram/run.py [name=value ...]

Trains residual MLPs of every depth, skip density and placement on digits, lays the closed forms over their accuracy, and
writes table.csv (a row for each cell of the diagram), wirings.csv (for each network) and figure.png into `out`. The last
line is one JSON object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from nasjac import Block, Spec
from nasjac.architecture.ensemble import members
from nasjac.cli.experiment import experiment
from nasjac.datasets import Data, Digits
from nasjac.foundation.console import Console
from nasjac.foundation.text_tables import write_csv
from nasjac.kinds.facts import columns
from nasjac.mathematics.meanfield import block_energies, expected_norms, fluctuations
from nasjac.mathematics.meanfield.correlation import output_decorrelation
from nasjac.mathematics.meanfield.critical import annealed_density, quenched_density
from nasjac.mathematics.rank_correlation import bootstrap_interval, spearman
from nasjac.mathematics.trainability import trainability_cost
from nasjac.reporting.canvas import DARK, LINES, save, sheet, style
from nasjac.trainers import AdamW, Run

Array = NDArray[np.float64]
BLUE, GREEN, ORANGE, RED = LINES[0], LINES[2], LINES[6], "#C0392B"


@dataclass
class Options:
    """relu chains of `width` units and `gain`, of `depths` blocks whose skips are there with probability `densities`.

    Of each, `wirings` random patterns are trained for `steps` updates, at every one of `rates` from every one of `seeds`.
    What is fixed before anything is trained: a network of |E log 𝒥| above `nats` or of 1 − c below `apart` should fail, and
    an accuracy of at least `success` is success.
    """

    out: str = "reports/014_phase_diagram"
    width: int = 32
    gain: float = 1.0
    depths: list[int] = field(default_factory=lambda: [2, 4, 8, 16, 32, 64])
    densities: list[float] = field(default_factory=lambda: [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0])
    placements: list[str] = field(default_factory=lambda: ["none", "pre", "post"])
    wirings: int = 2
    steps: int = 60
    rates: list[float] = field(default_factory=lambda: [1e-3, 3e-3, 1e-2])
    seeds: list[int] = field(default_factory=lambda: [0, 1])
    nats: float = 5.0
    apart: float = 0.1
    success: float = 0.8
    fine: int = 33


def chain(options: Options, placement: str, depth: int, density: float) -> Spec:
    return Spec(options.width, (Block(skip=density),) * depth, placement=placement, weight_gain=options.gain)


@dataclass(frozen=True)
class Closed:
    """Closed forms over densities and depths [S, L + 1], from h_0 of second moment 1 and two inputs at a right angle.

    `annealed`, `typical`  log E 𝒥 over patterns and weights, and E over patterns of log E 𝒥 over weights
    `mean_log`             E log 𝒥 over both, at the width that is trained: `typical` less half of the variance of log 𝒥
    `sd_log`               of the weights
    `apart`                1 − c
    """

    annealed: Array
    typical: Array
    mean_log: Array
    sd_log: Array
    apart: Array


def closed(options: Options, placement: str, densities: Array) -> Closed:
    chains = columns([chain(options, placement, max(options.depths), float(s)) for s in densities])
    norms, spread = expected_norms(chains), fluctuations(chains, options.width).forward
    mean_log = norms.forward_typical - spread / 2
    return Closed(norms.forward, norms.forward_typical, mean_log, np.sqrt(spread), output_decorrelation(chains, 0.0))


def train(options: Options, data: Data) -> Iterator[dict[str, Any]]:
    """Every network, at the rate with the best mean over seeds; a run that broke off has accuracy 0."""
    trainer = AdamW(steps=options.steps, learning_rates=tuple(options.rates), seeds=tuple(options.seeds))
    cells = [(p, depth, s) for p in options.placements for depth in options.depths for s in options.densities]
    with Console().bar("train", len(cells)) as advance:
        for done, (placement, depth, s) in enumerate(cells):
            drawn = members(chain(options, placement, depth, s), options.wirings, seed=done)
            for spec in {spec.key: spec for spec in drawn}.values():
                skips = sum(block.skip for block in spec.blocks)
                row = {"placement": placement, "depth": depth, "s": s, "key": spec.key, "skips": int(skips)}
                yield row | at_the_best_rate(trainer.train(spec, data))
            advance(done + 1, f"{placement}, {depth} blocks")


def at_the_best_rate(runs: list[Run]) -> dict[str, Any]:
    rates = {run.learning_rate for run in runs}
    accuracy = {rate: [run.accuracy or 0.0 for run in runs if run.learning_rate == rate] for rate in rates}
    rate = max(accuracy, key=lambda rate: sum(accuracy[rate]))
    diverged = sum(run.status == "diverged" for run in runs)
    return {
        "rate": rate,
        "accuracy": float(np.mean(accuracy[rate])),
        "least": min(accuracy[rate]),
        "diverged": diverged,
        "runs": len(runs),
        "seconds": round(sum(run.seconds for run in runs), 3),
    }


def cell_rows(options: Options, networks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Mean over wirings, beside the closed forms."""
    for placement in options.placements:
        at = closed(options, placement, np.array(options.densities))
        for depth in options.depths:
            for number, s in enumerate(options.densities):
                same = (placement, depth, s)
                own = [row for row in networks if (row["placement"], row["depth"], row["s"]) == same]
                row = {"placement": placement, "depth": depth, "s": s, "wirings": len(own)}
                row["accuracy"] = float(np.mean([each["accuracy"] for each in own]))
                row["least"], row["most"] = (f(each["accuracy"] for each in own) for f in (min, max))
                row["diverged"], row["runs"] = (sum(each[name] for each in own) for name in ("diverged", "runs"))
                there = (number, depth)
                rank = float(fluctuations(columns([chain(options, *same)]), options.width).log_effective_rank[0])
                terms = (at.mean_log[there], at.sd_log[there], np.array(rank), np.log(at.apart[there]))
                yield row | {
                    "annealed": at.annealed[there],
                    "typical": at.typical[there],
                    "mean_log": at.mean_log[there],
                    "sd_log": at.sd_log[there],
                    "log_rank": rank,
                    "log_decorrelation": float(np.log(at.apart[there])),
                    "trainability_cost": float(trainability_cost(*terms)),
                }


#: what ranks the cells, the larger the worse
PREDICTORS: dict[str, Callable[[dict[str, Any]], float]] = {
    "abs_mean_log": lambda row: abs(row["mean_log"]),
    "log_decorrelation": lambda row: -row["log_decorrelation"],
    "trainability_cost": lambda row: row["trainability_cost"],
    "depth": lambda row: row["depth"],
    "s": lambda row: -row["s"],
    "cut_blocks": lambda row: row["depth"] * (1 - row["s"]),
}


def rank_correlations(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Spearman of each predictor with failure, 1 − accuracy, with its 95% bootstrap interval over cells."""
    failure, found = [1 - row["accuracy"] for row in rows], {}
    for name, predictor in PREDICTORS.items():
        values = [predictor(row) for row in rows]
        rho = spearman(values, failure)
        interval = bootstrap_interval(spearman, values, failure, np.random.default_rng(0))
        found[name] = {
            "rho": _rounded(rho),
            "low": _rounded(interval and interval[0]),
            "high": _rounded(interval and interval[1]),
        }
    return found


def at_one_depth(options: Options, rows: list[dict[str, Any]]) -> dict[str, dict[int, float | None]]:
    """Spearman of each predictor with failure over the cells of one depth, all densities and placements."""
    names = [name for name in PREDICTORS if name not in ("depth", "cut_blocks")]
    own = {depth: [row for row in rows if row["depth"] == depth] for depth in options.depths}
    failure = {depth: [1 - row["accuracy"] for row in cells] for depth, cells in own.items()}
    return {
        name: {d: _rounded(spearman([PREDICTORS[name](row) for row in cells], failure[d])) for d, cells in own.items()}
        for name in names
    }


def verdicts(options: Options, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How well rules tell cells that train from cells that fail: mean of the shares of either that they have right.

    The thresholds of `norm` and `correlation` are stated beforehand; those in hindsight are the best there are.
    """
    trains = np.array([row["accuracy"] >= options.success for row in rows])
    norm = np.array([abs(row["mean_log"]) <= options.nats for row in rows])
    apart = np.exp([row["log_decorrelation"] for row in rows])
    correlation = apart >= options.apart
    depth, s = (np.array([row[name] for row in rows]) for name in ("depth", "s"))
    return {
        "cells": len(rows),
        "trained": int(trains.sum()),
        "norm": balanced(norm, trains),
        "correlation": balanced(correlation, trains),
        "both": balanced(norm & correlation, trains),
        "depth_in_hindsight": _best(balanced(depth <= d, trains) for d in options.depths),
        "correlation_in_hindsight": _best(balanced(apart >= x, trains) for x in apart),
        "apart_in_hindsight": _rounded(max(apart.tolist(), key=lambda x: balanced(apart >= x, trains) or 0.0)),
        "s_in_hindsight": _best(balanced(s >= x, trains) for x in options.densities),
    }


def balanced(says: NDArray[np.bool_], trains: NDArray[np.bool_]) -> float | None:
    """None where all cells train or all fail."""
    if trains.all() or not trains.any():
        return None
    return _rounded(float((says[trains].mean() + (~says[~trains]).mean()) / 2))


def _best(values: Iterator[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 3)


def draw_map(axes: Axes, options: Options, placement: str, rows: list[dict[str, Any]]) -> Any:
    """Accuracy as colours, and the closed forms as lines over the same depths and densities."""
    accuracy = np.reshape([row["accuracy"] for row in rows], (len(options.depths), len(options.densities))).T
    edges = (2 ** _edges(np.log2(options.depths)), _edges(np.array(options.densities)))
    colours = axes.pcolormesh(*edges, accuracy, cmap="cividis", vmin=0.1, vmax=1)
    densities = np.linspace(0, 1, options.fine)
    at, depth = closed(options, placement, densities), np.arange(1, max(options.depths) + 1)
    lines: tuple[tuple[Array, float, str, str], ...] = (
        (at.mean_log, -options.nats, DARK, "-"),
        (at.mean_log, options.nats, DARK, "-"),
        (at.apart, options.apart, RED, "-"),
        (at.annealed, 0.0, DARK, ":"),
        (at.typical, 0.0, DARK, "--"),
    )
    for values, level, colour, line in lines:
        shown = values[:, 1:]
        if np.nanmin(shown) < level < np.nanmax(shown):
            drawn = axes.contour(depth, densities, shown, [level], colors=colour, linewidths=1.8, linestyles=line)
            drawn.set(path_effects=[withStroke(linewidth=4, foreground="white", alpha=0.8)])
    axes.set_xscale("log", base=2)
    axes.set(xlim=(edges[0][0], edges[0][-1]), ylim=(edges[1][0], edges[1][-1]), xlabel="depth L (blocks)")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_title(f"{placement}: trained on digits", fontsize=10, loc="left")
    return colours


def _edges(centres: Array) -> Array:
    """Of cells around the centres, halfway between them."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


MARKS = {"none": ("o", BLUE), "pre": ("s", ORANGE), "post": ("^", GREEN)}


def draw_against(axes: Axes, rows: list[dict[str, Any]], name: str, bounds: tuple[float, ...], text: str) -> None:
    for placement, (marker, colour) in MARKS.items():
        own = [row for row in rows if row["placement"] == placement]
        if own:
            values = [[row[column] for row in own] for column in (name, "accuracy")]
            axes.plot(*values, marker=marker, ls="", ms=4.5, mew=0, alpha=0.7, color=colour, label=placement)
    for bound in bounds:
        axes.axvline(bound, color=DARK, lw=0.9, ls="--")
    axes.set(xlabel=text, ylabel="validation accuracy", ylim=(0, 1))
    axes.legend(fontsize=8, frameon=False, loc="upper left")


def draw_ranks(axes: Axes, ranks: Mapping[str, Mapping[str, Any]]) -> None:
    for number, (group, found) in enumerate(ranks.items()):
        colour = MARKS[group][1] if group in MARKS else DARK
        there = [(place, each) for place, each in enumerate(found.values()) if each["low"] is not None]
        at = [place + (number - (len(ranks) - 1) / 2) * 0.19 for place, _ in there]
        value, low, high = (np.array([each[name] for _, each in there], dtype=float) for name in ("rho", "low", "high"))
        axes.errorbar(at, value, [value - low, high - value], ls="", marker="o", ms=4, color=colour, label=group)
    axes.axhline(0, color=DARK, lw=0.8)
    texts = [r"$|\mathrm{E}\log\mathcal{J}|$", "− log (1 − c)", "cost S*", "depth", "− s", "L (1 − s)"]
    axes.set_xticks(range(len(texts)), texts, fontsize=8)
    axes.set(ylabel="Spearman with failure, 95%", ylim=(-0.3, 1.05))
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower center")


def legend(axes: Axes, options: Options) -> None:
    """What the lines over the maps are, for the figure's legend."""
    texts = (
        (DARK, "-", rf"closed form: $|\mathrm{{E}}\log\mathcal{{J}}|$ = {options.nats:g} nats"),
        (RED, "-", f"closed form: 1 − c = {options.apart:g}"),
        (DARK, ":", r"annealed critical density $s^*$ ($\log\mathrm{E}\,\mathcal{J}=0$)"),
        (DARK, "--", r"quenched critical density $s_q$ ($\mathrm{E}\log\mathrm{E}_W\mathcal{J}=0$)"),
    )
    for colour, line, text in texts:
        axes.plot([], [], color=colour, ls=line, lw=1.8, label=text)


def draw(path: Path, options: Options, rows: list[dict[str, Any]], ranks: Mapping[str, Any]) -> None:
    figure = sheet(4.6 * max(3, len(options.placements)), 8.6)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.1, 1))  # type: ignore[misc]
    maps = top.subplots(1, len(options.placements), squeeze=False, sharey=True)[0]
    for axes, placement in zip(maps, options.placements, strict=True):
        colours = draw_map(axes, options, placement, [row for row in rows if row["placement"] == placement])
    maps[0].set_ylabel("skip density s")
    top.colorbar(colours, ax=maps, label="accuracy at the best rate")
    places = [style(axes) for axes in bottom.subplots(1, 3)]
    draw_against(
        places[0], rows, "mean_log", (-options.nats, options.nats), r"closed-form $\mathrm{E}\log\mathcal{J}$ (nats)"
    )
    bound = float(np.log(options.apart))
    draw_against(places[1], rows, "log_decorrelation", (bound,), "closed-form log (1 − c) (nats)")
    draw_ranks(places[2], ranks)
    for axes in places:
        for handle in axes.get_legend_handles_labels()[0]:
            handle.set_label("_")
    legend(maps[0], options)
    save(figure, path, columns=2)


@experiment(Options, __doc__)
def main(options: Options, out: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    networks = list(train(options, Digits().load()))
    rows = list(cell_rows(options, networks))
    write_csv(out / "wirings.csv", networks)
    write_csv(out / "table.csv", rows)
    groups = {name: [row for row in rows if row["placement"] == name] for name in options.placements} | {"all": rows}
    ranks = {name: rank_correlations(own) for name, own in groups.items()}
    draw(out / "figure.png", options, rows, ranks)
    chi = float(block_energies(columns([chain(options, "none", 1, 1.0)])).branch[0, 0])
    spread = [row["most"] - row["least"] for row in rows if row["wirings"] > 1]
    return {
        "chi_none": chi,
        "s_star": annealed_density(chi),
        "s_q": quenched_density(chi),
        "networks": len(networks),
        "diverged": sum(row["diverged"] for row in networks),
        "seconds": round(sum(row["seconds"] for row in networks)),
        "between_wirings": {"mean": _rounded(float(np.mean(spread))), "most": _rounded(max(spread))} if spread else None,
        "spearman": ranks,
        "spearman_at_one_depth": at_one_depth(options, rows),
        "verdicts": {name: verdicts(options, own) for name, own in groups.items()},
    }


if __name__ == "__main__":
    main()
