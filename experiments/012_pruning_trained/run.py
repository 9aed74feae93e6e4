"""Which branches of a trained network can go? README.md beside this file tells.

    python experiments/012_pruning_trained/run.py [name=value ...]

Trains residual MLPs on digits, takes branches out by every criterion of `nasjac prune` and in several ratios, and looks at
accuracy and effective depth, before and after a short fine-tuning. Writes table.csv and figure.png into `out`. The last
line is one JSON object.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import nn

from nasjac import Block, Spec, build
from nasjac.cli.experiment import experiment
from nasjac.datasets import Data, Digits
from nasjac.foundation.text_tables import write_csv
from nasjac.kinds.facts import branch_energies
from nasjac.mathematics.gradient_paths import energy_shares
from nasjac.reporting.canvas import GREY, LINES, save, sheet, style
from nasjac.surgery.branches.ours import links_of, measurable
from nasjac.surgery.compression import branches, prune
from nasjac.surgery.criteria import CRITERIA, VALUES, chosen, taylor_values
from nasjac.surgery.paths import branch_norms
from nasjac.surgery.trained import Trained, worth
from nasjac.trainers import AdamW, best
from nasjac.trainers.population import fit

Array = NDArray[np.float64]


@dataclass
class Options:
    """Residual MLPs of `depth` pre-norm blocks of `width` units, trained for `steps`; after pruning, `fine_tune` steps at
    `fine_tune_rate` by the ratios `fine_tuned`. `points` of the data for Jacobians.
    """

    out: str = "reports/012_pruning_trained"
    width: int = 32
    depth: int = 16
    activation: str = "gelu"
    placement: str = "pre"
    steps: int = 300
    learning_rate: float = 3e-3
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])
    ratios: list[float] = field(default_factory=lambda: [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875])
    fine_tuned: list[float] = field(default_factory=lambda: [0.0, 0.25, 0.5, 0.75])
    fine_tune: int = 40
    fine_tune_rate: float = 1e-3
    points: int = 16


def trained(data: Data, options: Options, seed: int) -> tuple[Spec, nn.Module]:
    blocks = (Block(scale=1 / math.sqrt(options.depth)),) * options.depth
    spec = Spec.of(
        width=options.width,
        blocks=blocks,
        placement=options.placement,
        activation=options.activation,
        weight_gain=math.sqrt(2),
    )
    trainer = AdamW(steps=options.steps, learning_rates=(options.learning_rate,), seeds=(seed,))
    run = best(trainer.train(spec, data))
    if run is None:
        raise ValueError("`learning_rate` must be one at which training does not diverge")
    network = build(spec, data.inputs, data.outputs)
    network.load_state_dict(dict(run.state))
    return spec, network.eval()


def energies(network: nn.Module, spec: Spec, data: Data, options: Options) -> tuple[Array, Array]:
    """Branch energies at the data, and ‖F(x)‖ / ‖x‖, of each block."""
    generator = torch.Generator().manual_seed(0)
    points = data.valid_inputs[: options.points]
    links = links_of(spec, measurable(network), points)
    found = branch_norms(links, range(len(spec.blocks)), generator, None)
    return np.array([one.energy for one in found.values()]), np.array([float(one.ratio.mean()) for one in found.values()])


def tuned(network: nn.Module, data: Data, options: Options, seed: int) -> float | None:
    trainer = AdamW(steps=options.fine_tune, learning_rates=(options.fine_tune_rate,), seeds=(seed,))
    [run] = fit(lambda generator: deepcopy(network), data, trainer)
    return run.accuracy


def rows(data: Data, options: Options, seed: int) -> Iterator[dict[str, Any]]:
    """Every criterion and ratio of one trained network; sets of branches that recur are measured once."""
    spec, network = trained(data, options, seed)
    measured, damage = energies(network, spec, data, options)
    slope = taylor_values(Trained(spec.canonical, network, {}, data))
    known = {"measured_energy": measured, "output_damage": damage, "taylor": slope}
    known["lowest_energy"] = np.asarray(branch_energies(spec))
    seen: dict[tuple[int, ...], dict[str, Any]] = {}
    for criterion in CRITERIA:
        values = known.get(criterion, measured)
        for ratio in options.ratios:
            gone = tuple(chosen(branches(spec), ratio, criterion, lambda values=values: values, seed))  # type: ignore[misc]
            if gone not in seen:
                smaller = prune(spec, network.state_dict(), gone)
                module = build(smaller.spec, data.inputs, data.outputs)
                module.load_state_dict(smaller.state)
                chi = energies(module.eval(), smaller.spec, data, options)[0]
                depth = float(energy_shares(chi).sum())
                seen[gone] = {
                    "kept": len(branches(smaller.spec)),
                    "effective_depth": depth,
                    **worth(module, data)._asdict(),
                }
                seen[gone]["module"] = module
            found = seen[gone]
            if ratio in options.fine_tuned and "fine_tuned" not in found:
                found["fine_tuned"] = tuned(found["module"], data, options, seed)
            pruned = {name: found.get(name) for name in ("kept", "effective_depth", "accuracy", "loss", "fine_tuned")}
            pruned["fine_tuned"] = pruned["fine_tuned"] if ratio in options.fine_tuned else None
            yield {"seed": seed, "criterion": criterion, "ratio": ratio, **pruned}


@experiment(Options, __doc__)
def main(options: Any, folder: Path) -> Mapping[str, Any]:
    data = Digits().load()
    table = [row for seed in options.seeds for row in rows(data, options, seed)]
    write_csv(folder / "table.csv", table)
    draw(folder, options, table)
    halves = {}
    for criterion in CRITERIA:
        own = [row for row in table if row["criterion"] == criterion]
        halves[criterion] = {
            str(ratio): _told([row for row in own if row["ratio"] == ratio]) for ratio in options.ratios if ratio
        }
    whole = [row for row in table if row["ratio"] == 0 and row["criterion"] == "first"]
    return {
        "lost": {c: {str(ratio): lost(table, c, ratio) for ratio in options.ratios if ratio} for c in CRITERIA},
        "at_equal_effective_depth": {
            c: {str(ratio): at_equal_depth(table, c, ratio) for ratio in options.ratios if ratio} for c in CRITERIA
        },
        "same_as_lowest_energy": {c: same(table, c, "lowest_energy") for c in CRITERIA},
        "whole": _told(whole),
        "criteria": halves,
        "trained_on_data": [name for name in VALUES if name != "lowest_energy"],
    }


def network_rows(table: Sequence[Mapping[str, Any]], criterion: str) -> dict[int, list[Mapping[str, Any]]]:
    """By seed the rows of a criterion, by rising ratio."""
    own = sorted((row for row in table if row["criterion"] == criterion), key=lambda row: float(row["ratio"]))
    return {seed: [row for row in own if row["seed"] == seed] for seed in dict.fromkeys(row["seed"] for row in own)}


def lost(
    table: Sequence[Mapping[str, Any]], criterion: str, ratio: float, than: str | None = None, figure: str = "accuracy"
) -> list[float] | None:
    """What pruning costs of a figure, paired by network: mean and half interval. It is the whole network's accuracy less
    the pruned one's figure, or with `than` that criterion's figure at the same ratio less this one's."""
    found = []
    for seed, own in network_rows(table, criterion).items():
        [value] = [row[figure] for row in own if row["ratio"] == ratio]
        rows = own if than is None else network_rows(table, than)[seed]
        [rival] = [row["accuracy" if than is None else figure] for row in rows if row["ratio"] == (ratio if than else 0)]
        found.append(rival - value)
    return _interval(found)


def at_equal_depth(table: Sequence[Mapping[str, Any]], criterion: str, ratio: float) -> list[float] | None:
    """By how much less accurate a criterion leaves networks than `measured_energy` at the same effective depth, mean and
    half interval over networks; between two ratios of `measured_energy` on a straight line."""
    found = []
    for seed, own in network_rows(table, criterion).items():
        line = sorted((row["effective_depth"], row["accuracy"]) for row in network_rows(table, "measured_energy")[seed])
        [row] = [row for row in own if row["ratio"] == ratio]
        found.append(float(np.interp(row["effective_depth"], *zip(*line, strict=True))) - row["accuracy"])
    return _interval(found)


def same(table: Sequence[Mapping[str, Any]], criterion: str, other: str) -> list[int]:
    """In how many pruned networks two criteria left the same branches, which the loss gives away, and of how many."""
    pairs = [
        (a["loss"], b["loss"])
        for seed, own in network_rows(table, criterion).items()
        for a, b in zip(own, network_rows(table, other)[seed], strict=True)
        if a["ratio"]
    ]
    return [sum(a == b for a, b in pairs), len(pairs)]


def _told(group: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("effective_depth", "accuracy", "fine_tuned")
    return {name: _interval([row[name] for row in group if row[name] is not None]) for name in names}


def _interval(values: Sequence[float]) -> list[float] | None:
    """Mean and half of its 95% interval, by Student's t."""
    from scipy import stats

    if not values:
        return None
    spread = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    half = stats.t.ppf(0.975, len(values) - 1) * spread if len(values) > 1 else 0.0
    return [round(float(np.mean(values)), 4), round(float(half), 4)]


def draw(folder: Path, options: Options, table: Sequence[Mapping[str, Any]]) -> None:
    figure = sheet(13.5, 4.9)
    panels = [style(axes) for axes in figure.subplots(1, 3)]
    for axes, x, y, what in (
        (panels[0], "kept", "accuracy", f"of {options.depth} branches"),
        (panels[1], "effective_depth", "accuracy", "by effective depth"),
        (panels[2], "effective_depth", "fine_tuned", f"after {options.fine_tune} steps of fine-tuning"),
    ):
        label = x.replace("_", " ") + (" branches" if x == "kept" else " (branches)")
        axes.set(xlabel=label, ylabel="validation accuracy")
        axes.set_title(what, fontsize=10, loc="left")
        _lines(axes, table, x, y, legend=axes is panels[0])
    save(figure, folder / "figure.png", columns=8)


def _lines(axes: Axes, table: Sequence[Mapping[str, Any]], x: str, y: str, legend: bool) -> None:
    colours = dict(zip(CRITERIA, (GREY, LINES[1], LINES[3], LINES[4], LINES[0], LINES[2], LINES[5], LINES[6]), strict=True))
    for criterion, colour in colours.items():
        own = [row for row in table if row["criterion"] == criterion and row[y] is not None]
        ratios = sorted({row["ratio"] for row in own})
        groups = [[row for row in own if row["ratio"] == ratio] for ratio in ratios]
        at = [float(np.mean([row[x] for row in group])) for group in groups]
        mean, half = zip(*(_interval([row[y] for row in group]) or (math.nan, 0.0) for group in groups), strict=True)
        style_of = "-" if criterion in VALUES else "--"
        label = criterion.replace("_", " ") if legend else None
        axes.errorbar(
            at, mean, half, fmt=style_of, color=colour, linewidth=1.5, marker="o", markersize=3.5, capsize=2, label=label
        )


if __name__ == "__main__":
    main()
