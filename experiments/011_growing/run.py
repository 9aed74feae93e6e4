"""Does a trained network go on learning when it is made twice as deep, and how many blocks fit? README.md tells.

    python experiments/011_growing/run.py [name=value ...]

Trains shallow residual MLPs on digits, doubles their depth by every beginning of `nasjac grow` and by random blocks at full
size, and goes on training. Then it puts more and more random blocks of one size into the trained networks, and compares
where their singular values and their loss break with the rules for the number of safe blocks. Writes table.csv, curves.csv,
bounds.csv and figure.png into `out`. The last line is one JSON object.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor, nn
from torch.nn import functional as F

from nasjac import Block, Spec, build
from nasjac.cli.experiment import experiment
from nasjac.datasets import Data, Digits
from nasjac.foundation.text_tables import write_csv
from nasjac.mathematics.lanczos import spectral_norms
from nasjac.mathematics.meanfield.growth import rules
from nasjac.reporting.canvas import DARK, GREY, LINES, save, sheet, style
from nasjac.sampling.linearized import Linearized
from nasjac.surgery.branches.ours import blocks_of, links_of, measurable, stream
from nasjac.surgery.growth import grow
from nasjac.surgery.insertion import Beginning, spread
from nasjac.surgery.paths import branch_norms

#: how the new blocks begin: name -> (beginning of `nasjac.surgery.insertion`, gain)
ARMS = {
    "zero_last": ("zero_last", 1.0),
    "rezero": ("rezero", 1.0),
    "small_gain": ("small_gain", 0.1),
    "copy": ("copy", 0.1),
    "naive": ("small_gain", 1.0),
}
#: not grown at all, and twice as deep from the start
SHALLOW, DEEP = "shallow", "from_scratch"
RULES = ("worst_case", "edge", "rms")
POINTS = 8


@dataclass
class Options:
    """relu MLPs of `depth` blocks of `width` units without norms, trained for `steps`, grown to twice the depth, and
    trained for as many again. `gains` are the sizes of random blocks of which up to `most` are put in; `tau` is the budget.
    """

    out: str = "reports/011_growing"
    width: int = 32
    depth: int = 6
    steps: int = 200
    batch: int = 64
    learning_rate: float = 3e-3
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])
    gains: list[float] = field(default_factory=lambda: [0.035, 0.06, 0.1, 0.18, 0.3, 0.55, 1.0])
    most: int = 1024
    tau: float = 2.0
    loss_factor: float = 2.0
    smooth: int = 20


class Network(NamedTuple):
    """An architecture with its module."""

    spec: Spec
    module: nn.Module


def trained(network: Network, data: Data, options: Options, seed: int) -> list[float]:
    """Train with AdamW, the rate constant after 20 steps; the loss of each batch before its update."""
    generator, losses = torch.Generator().manual_seed(1000 + seed), []
    module = network.module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=options.learning_rate, weight_decay=0.01)
    for step in range(options.steps):
        chosen = torch.randint(len(data.train_labels), (options.batch,), generator=generator)
        loss = F.cross_entropy(module(data.train_inputs[chosen]), data.train_labels[chosen])
        optimizer.param_groups[0]["lr"] = options.learning_rate * min(1.0, (step + 1) / 20)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    module.eval()
    return losses


@torch.no_grad()
def worth(outputs: Tensor, data: Data) -> tuple[float, float]:
    """Validation accuracy and loss."""
    hits = (outputs.argmax(-1) == data.valid_labels).float().mean()
    return float(hits), float(F.cross_entropy(outputs, data.valid_labels))


def fresh(options: Options, depth: int, seed: int) -> Network:
    spec = Spec.of(width=options.width, blocks=(Block(),) * depth)
    return Network(spec, build(spec, 64, 10, torch.Generator().manual_seed(seed)))


def grown(network: Network, places: Sequence[int], init: str, gain: float, seed: int) -> tuple[Network, tuple[int, ...]]:
    found = grow(network.spec, network.module.state_dict(), places, Beginning(init, gain, seed), 64, 10)
    return Network(found.spec, found.module(64, 10)), found.new


class Line(NamedTuple):
    """One training after growth: its row of the table and its losses."""

    row: dict[str, Any]
    losses: list[float]


def arms(data: Data, shallow: Mapping[int, Network], options: Options) -> Iterator[Line]:
    """Every arm from every seed, trained on."""
    for seed, start in shallow.items():
        before = worth(start.module(data.valid_inputs), data)
        for arm in (SHALLOW, *ARMS, DEEP):
            if arm == DEEP:
                network = fresh(options, 2 * options.depth, seed)
                trained(network, data, options, seed)
            elif arm == SHALLOW:
                network, _ = grown(start, [], "zero_last", 1.0, seed)
            else:
                network, _ = grown(start, spread(start.spec, options.depth, ARMS[arm][0]), *ARMS[arm], seed)
            after = worth(network.module(data.valid_inputs), data)
            losses = trained(network, data, options, seed + 500)
            end = worth(network.module(data.valid_inputs), data)
            row = {"arm": arm, "seed": seed, "accuracy_before": before[0], "accuracy_grown": after[0]}
            row |= {"accuracy_end": end[0], "loss_before": before[1], "loss_grown": after[1], "loss_end": end[1]}
            yield Line({**row, "train_loss_end": float(np.mean(losses[-options.smooth :]))}, losses)


@torch.no_grad()
def outputs_after(network: nn.Module, new: Sequence[int], inputs: Tensor, counts: Sequence[int]) -> Iterator[Tensor]:
    """The outputs with only the first m of the new blocks, which are in a row, for each m of `counts`."""
    layers = stream(network, inputs)
    rest = nn.Sequential(*blocks_of(network)[new[-1] + 1 :])
    for count in counts:
        hidden = rest(layers[new[0] + count])
        yield network.readout(network.final_norm(hidden))  # type: ignore[operator]


def largest(blocks: nn.Module, x: Tensor, seed: int) -> float:
    """‖J‖₂ of the blocks, the largest over the points."""
    linear, start = (
        Linearized(blocks, x),
        torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(seed)),
    )
    push, pull = (lambda v: linear.push_each(v[:, None])[:, 0]), (lambda v: linear.pull_each(v[:, None])[0][:, 0])
    return float(spectral_norms(push, pull, start, 0.01).norm.max())


def first_beyond(counts: Sequence[int], values: Sequence[float], limit: float) -> int | None:
    """The first count at which the value is above the limit, or not a number; None if it never is."""
    return next((m for m, value in zip(counts, values, strict=True) if not value <= limit), None)


def bounds(data: Data, shallow: Mapping[int, Network], options: Options) -> Iterator[dict[str, Any]]:
    """For each gain and seed: what the rules allow, and at how many blocks in a row σ and loss break."""
    for seed, start in shallow.items():
        base = worth(start.module(data.valid_inputs), data)[1]
        for gain in options.gains:
            most = min(options.most, max(16, int(8 / gain**2)))
            counts = sorted({round(2 ** (step / 4)) for step in range(4 * int(math.log2(most)) + 1)})
            network, new = grown(start, [options.depth // 2] * most, "small_gain", gain, seed)
            double = measurable(network.module)
            points = data.valid_inputs[:POINTS]
            generator = torch.Generator().manual_seed(seed)
            links = links_of(network.spec, double, points)
            norms = branch_norms(links, new[: min(8, most)], generator).values()
            spectral = max(float(one.spectral.max()) for one in norms)
            rms = math.sqrt(np.mean([one.energy for one in norms]))
            entering = stream(double, points)[new[0]]
            inside = [blocks_of(double)[n] for n in new]
            sigmas: list[float] = []
            for m in counts:  # no need to go far beyond the budget
                sigmas.append(largest(nn.Sequential(*inside[:m]), entering, seed))
                if sigmas[-1] > 2 * options.tau:
                    break
            losses = [worth(out, data)[1] for out in outputs_after(network.module, new, data.valid_inputs, counts)]
            allowed = rules(spectral, rms, options.tau)
            yield {
                "gain": gain,
                "seed": seed,
                "epsilon_spectral": spectral,
                "epsilon_rms": rms,
                **allowed._asdict(),
                "blocks_sigma_beyond_tau": first_beyond(counts[: len(sigmas)], sigmas, options.tau),
                "blocks_loss_beyond_factor": first_beyond(counts, losses, options.loss_factor * base),
                "most": most,
            }


@experiment(Options, __doc__)
def main(options: Any, folder: Path) -> Mapping[str, Any]:
    data = Digits().load()
    shallow = {seed: fresh(options, options.depth, seed) for seed in options.seeds}
    before = {seed: trained(network, data, options, seed) for seed, network in shallow.items()}
    lines = list(arms(data, shallow, options))
    rows = list(bounds(data, shallow, options))
    write_csv(folder / "table.csv", [line.row for line in lines])
    curves = [
        {
            "arm": line.row["arm"],
            "seed": line.row["seed"],
            "step": step,
            "loss": float(np.mean(line.losses[step : step + 10])),
        }
        for line in lines
        for step in range(0, len(line.losses), 10)
    ]
    write_csv(folder / "curves.csv", curves)
    write_csv(folder / "bounds.csv", rows)
    draw(folder, options, before, lines, rows)
    summary = {arm: _summary([line.row for line in lines if line.row["arm"] == arm]) for arm in (SHALLOW, *ARMS, DEEP)}
    return {"arms": summary, "bounds": [_medians(rows, gain) for gain in options.gains]}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of its 95% interval, by Student's t."""
    from scipy import stats

    if len(values) < 2:
        return float(np.mean(values)), math.nan
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values)), float(half)


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("loss_before", "loss_grown", "loss_end", "accuracy_grown", "accuracy_end", "train_loss_end")
    return {name: [round(value, 4) for value in interval([row[name] for row in rows])] for name in names}


def _medians(rows: Sequence[Mapping[str, Any]], gain: float) -> dict[str, Any]:
    own = [row for row in rows if row["gain"] == gain]
    names = ("epsilon_spectral", "epsilon_rms", *RULES, "blocks_sigma_beyond_tau", "blocks_loss_beyond_factor")
    found = {name: [row[name] for row in own] for name in names}
    return {"gain": gain} | {name: None if None in values else float(np.median(values)) for name, values in found.items()}


def draw(
    folder: Path,
    options: Options,
    before: Mapping[int, list[float]],
    lines: Sequence[Line],
    rows: Sequence[Mapping[str, Any]],
) -> None:
    figure = sheet(12.5, 5.4)
    left, right = (style(axes) for axes in figure.subplots(1, 2))
    _curves(left, options, before, lines)
    _bounds(right, options, rows)
    save(figure, folder / "figure.png", columns=6)


def _curves(axes: Axes, options: Options, before: Mapping[int, list[float]], lines: Sequence[Line]) -> None:
    kernel = np.ones(options.smooth) / options.smooth
    steps = np.arange(options.smooth - 1, options.steps)

    def band(runs: Sequence[Sequence[float]], start: int, colour: str, label: str | None, dashes: str = "-") -> None:
        smooth = np.log(np.array([np.convolve(run, kernel, "valid") for run in runs]))
        mean, error = smooth.mean(0), smooth.std(0, ddof=1) / math.sqrt(len(runs)) if len(runs) > 1 else 0 * smooth[0]
        axes.plot(start + steps, np.exp(mean), dashes, color=colour, linewidth=1.6, label=label)
        axes.fill_between(start + steps, np.exp(mean - 2 * error), np.exp(mean + 2 * error), color=colour, alpha=0.15, lw=0)

    band(list(before.values()), 0, DARK, None)
    colours = dict(zip(ARMS, (LINES[0], LINES[1], LINES[2], LINES[3], LINES[6]), strict=True))
    for arm in (SHALLOW, *ARMS, DEEP):
        runs = [line.losses for line in lines if line.row["arm"] == arm]
        dashes = {SHALLOW: ":", DEEP: "--"}.get(arm, "-")
        band(runs, options.steps, colours.get(arm, DARK if arm == SHALLOW else GREY), arm.replace("_", " "), dashes)
    axes.axvline(options.steps, color=DARK, linewidth=0.8, linestyle=":")
    axes.set(yscale="log", xlabel="step", ylabel=f"training loss, mean of {options.smooth} batches")
    axes.set_title(f"{options.depth} blocks become {2 * options.depth}", fontsize=10, loc="left")


def _bounds(axes: Axes, options: Options, rows: Sequence[Mapping[str, Any]]) -> None:
    gains = sorted({row["gain"] for row in rows})
    x = [float(np.median([row["epsilon_rms"] for row in rows if row["gain"] == gain])) for gain in gains]
    for name, colour in zip(RULES, (LINES[0], LINES[2], LINES[3]), strict=True):
        y = [float(np.median([row[name] for row in rows if row["gain"] == gain])) for gain in gains]
        shown = [(a, b) for a, b in zip(x, y, strict=True) if b >= 1]
        axes.plot(*zip(*shown, strict=True), color=colour, linewidth=1.6, label=f"rule: {name.replace('_', ' ')}")
    marks = (("blocks_sigma_beyond_tau", "o", DARK, rf"$\sigma_{{max}} > {options.tau:g}$"),
             ("blocks_loss_beyond_factor", "s", LINES[6], f"loss × {options.loss_factor:g}"))  # fmt: skip
    for name, mark, colour, label in marks:
        found = [(row["epsilon_rms"], row[name]) for row in rows if row[name] is not None]
        if found:
            axes.plot(*zip(*found, strict=True), mark, color=colour, markersize=4, alpha=0.7, label=label)
    axes.set(
        xscale="log", yscale="log", xlabel=r"$\epsilon_{rms}$ of a new block at the data", ylabel="new blocks in a row"
    )
    ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if min(x) / 1.2 < tick < 1.2 * max(x)]
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_title("What the rules allow, and where random blocks break a trained network", fontsize=10, loc="left")


if __name__ == "__main__":
    main()
