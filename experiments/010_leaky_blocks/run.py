"""What do a leak and an implicit step do to a residual block's Jacobian? README.md beside this file tells.

    python experiments/010_leaky_blocks/run.py [name=value ...]

Eigenvalues of one block of each type; E log of the Jacobian norm over depth and step size, with the leaky block's closed
form; short trainings on digits. Writes table.csv, norms.csv, eigenvalues.csv and figure.png into `out`. The last line is
one JSON object.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import t as student
from torch import Tensor

from nasjac import Block, Spec, build, expected_norms
from nasjac.architecture.measurement import Measurement
from nasjac.cli.experiment import experiment
from nasjac.datasets import Data, Digits
from nasjac.foundation.text_tables import write_csv
from nasjac.kinds.facts import facts
from nasjac.reporting.canvas import DARK, GREY, LINES, save, sheet, style
from nasjac.scores.apjn import Apjn
from nasjac.trainers import AdamW
from nasjac.trainers.population import fit_population

Array = NDArray[np.complex128]
BLUE, GREEN, ORANGE, PURPLE = LINES[0], LINES[2], LINES[6], LINES[4]
#: each kind of chain, whether it has the leak, its colour and its name
KINDS = {
    "explicit": (False, BLUE, "explicit, no leak"),
    "leaky": (True, GREEN, "leaky"),
    "implicit": (True, ORANGE, "implicit, with leak"),
    "implicit, no leak": (False, PURPLE, "implicit, no leak"),
}


#: without a leak most chains have blocks without a solution at this step already, and larger ones are not tried
SOLVABLE = 1.0


@dataclass
class Options:
    """Blocks have the leak D = `leak`. The spectra are those of a tanh block of `block_width` at `block_step`; norms those
    of relu chains of `width` and `depth` at `steps`, the last of which is `shown` over depth; trainings those of chains of
    `trained_width` and `trained_depth` at `trained_steps`, with each of `rates` and `seeds`."""

    out: str = "reports/010_leaky_blocks"
    leak: float = 1.0
    block_width: int = 200
    block_step: float = 0.5
    width: int = 32
    depth: int = 12
    steps: list[float] = field(default_factory=lambda: [0.05, 0.125, 0.25, 0.5, 0.75, 1.0, 2.0, 4.0, 8.0])
    shown: float = 4.0
    draws: int = 16
    trained_width: int = 32
    trained_depth: int = 4
    trained_steps: list[float] = field(default_factory=lambda: [0.25, 0.75, 4.0])
    updates: int = 60
    rates: list[float] = field(default_factory=lambda: [3e-3, 1e-2])
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3])


def chain(kind: str, step: float, width: int, depth: int, leak: float) -> Spec | None:
    """A relu chain without norms; None where a leaky skip would lose its sign, or an equation lacks solutions."""
    if (kind == "leaky" and step * leak >= 1) or (kind == "implicit, no leak" and step > SOLVABLE):
        return None
    has_leak = KINDS[kind][0]
    return Spec(width, (Block(),) * depth, block=kind.split(",")[0], step=step, leak=leak if has_leak else 0.0)


def spectra(options: Options) -> dict[str, Array]:
    """Eigenvalues of J_F, and of the Jacobian of one block of each type at the same input and weights, by autograd."""
    width, step, leak = options.block_width, options.block_step, options.leak
    x = torch.randn(1, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = {}
    for kind in KINDS:
        spec = Spec(width, (Block(),), block=kind.split(",")[0], activation="tanh", step=step)
        spec = replace(spec, leak=leak if KINDS[kind][0] else 0.0)
        block = build(spec, width, 2, torch.Generator().manual_seed(0)).double().get_submodule("blocks.0")
        found[kind] = eigenvalues(block, x)
        if kind == "explicit":
            found["branch"] = found[kind] / step - 1 / step
    return found


def eigenvalues(function: Callable[[Tensor], Tensor], x: Tensor) -> Array:
    y = function(x.requires_grad_())[0]
    rows = [torch.autograd.grad(each, x, retain_graph=True)[0][0] for each in y]
    return np.asarray(torch.linalg.eigvals(torch.stack(rows)).numpy())


def off_shift(found: dict[str, Array], shift: float) -> float:
    """The largest distance of an eigenvalue of the leaky block from the nearest one of the explicit block less `shift`."""
    gaps = np.abs(found["leaky"][:, None] - (found["explicit"][None] - shift))
    return float(gaps.min(axis=1).max())


def measured(options: Options, data: Data) -> dict[tuple[str, float], Measurement]:
    """The norms of every chain at every step."""
    score = Apjn(draws=options.draws, rel_error=None, plan="forward")
    specs = {(kind, h): chain(kind, h, options.width, options.depth, options.leak) for kind in KINDS for h in options.steps}
    there = {name: spec for name, spec in specs.items() if spec is not None}
    found = score.measure(list(there.values()), data.train_inputs, torch.device("cpu"))
    return dict(zip(there, found, strict=True))


def norm_rows(options: Options, found: dict[tuple[str, float], Measurement]) -> Iterator[dict[str, Any]]:
    for (kind, step), item in found.items():
        spec = chain(kind, step, options.width, options.depth, options.leak)
        assert spec is not None
        closed = expected_norms(spec).layers[options.depth].mean_log if kind in ("explicit", "leaky") else None
        value = item.terms["mean_log"]
        row = {"kind": kind, "step": step, "leak": spec.leak, "depth": options.depth, "status": item.status}
        yield row | {"mean_log": value.value, "standard_error": value.standard_error, "closed_form": closed}


def trained(options: Options, data: Data) -> list[dict[str, Any]]:
    """Accuracy at the better learning rate of each chain, mean over seeds with its 95% interval."""
    rates, seeds = tuple(options.rates), tuple(options.seeds)
    trainer = AdamW(steps=options.updates, learning_rates=rates, seeds=seeds)
    names = [(kind, h) for kind in KINDS for h in options.trained_steps]
    specs = {n: chain(*n, options.trained_width, options.trained_depth, options.leak) for n in names}
    there = {name: spec for name, spec in specs.items() if spec is not None}
    runs = dict(zip(there, fit_population(list(there.values()), data, trainer), strict=True))
    rows = []
    for (kind, step), spec in specs.items():
        row: dict[str, Any] = {"kind": kind, "step": step, "leak": options.leak if KINDS[kind][0] else 0.0}
        if spec is None:
            rows.append(row | {"params": None, "runs": 0, "diverged": 0, "fewest_updates": None} | summarized({}, options))
            continue
        own = runs[kind, step]
        by_rate = {rate: [run.accuracy for run in own if run.learning_rate == rate] for rate in rates}
        row |= {"params": facts([spec])[0].params, "runs": len(own)}
        row |= {"diverged": sum(run.status == "diverged" for run in own), "fewest_updates": min(run.steps for run in own)}
        rows.append(row | summarized(by_rate, options) | {"seconds": round(sum(run.seconds for run in own), 2)})
    return rows


def summarized(by_rate: dict[float, list[float | None]], options: Options) -> dict[str, Any]:
    """The rate with the best mean over seeds, all of which must have ended well."""
    whole = {rate: [x for x in values if x is not None] for rate, values in by_rate.items() if None not in values}
    if not whole:
        return {"rate": None, "accuracy": None, "half_interval": None, "seconds": None}
    rate = max(whole, key=lambda rate: sum(whole[rate]))
    values = np.array(whole[rate])
    width = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return {"rate": rate, "accuracy": round(float(values.mean()), 4), "half_interval": round(width, 4)}


def own_legend(axes: Axes, **where: Any) -> None:
    """The axes' legend, and none of the whole figure."""
    handles, texts = axes.get_legend_handles_labels()
    axes.legend(handles, texts, fontsize=8, frameon=False, **where)
    for handle in handles:
        handle.set_label("_")


def draw_spectra(axes: Axes, found: dict[str, Array], options: Options) -> None:
    texts = {
        "branch": (GREY, "$J_F$"),
        "explicit": (BLUE, "explicit, $I+hJ_F$"),
        "leaky": (GREEN, "leaky, shifted by $-hD$"),
        "implicit": (ORANGE, r"implicit, $((1+hD)I-hJ_F)^{-1}$"),
    }
    for name, (colour, text) in texts.items():
        axes.plot(found[name].real, found[name].imag, ls="", marker="o", ms=2.6, mew=0, color=colour, label=text)
    circle = np.exp(2j * np.pi * np.linspace(0, 1, 200))
    axes.plot(circle.real, circle.imag, color=DARK, lw=0.8)
    axes.set_aspect("equal")
    axes.set(xlabel="real part", ylabel="imaginary part", ylim=(-1.1, 1.9))
    axes.set_title(f"one tanh block, h = {options.block_step:g}, D = {options.leak:g}", fontsize=10, loc="left")
    own_legend(axes, loc="upper left")


def draw_depth(axes: Axes, found: dict[tuple[str, float], Measurement], options: Options) -> None:
    below = max(h for h in options.steps if h * options.leak < 1)
    for kind, (_, colour, text) in KINDS.items():
        step = below if kind == "leaky" else options.shown
        item = found.get((kind, step))
        if item is not None and item.status == "ok":
            values = np.array([layer.mean_log for layer in item.profile if layer.direction == "forward"], dtype=float)
            axes.plot(values, color=colour, lw=1.4, label=f"{text}, h = {step:g}")
    axes.axhline(0, color=DARK, lw=0.8)
    axes.set(xlabel="layer l", ylabel=r"E log $\|\partial h_l/\partial h_0\|^2/N$")
    axes.set_title(f"relu chains over depth, D = {options.leak:g}", fontsize=10, loc="left")
    own_legend(axes)


def draw_steps(axes: Axes, rows: list[dict[str, Any]], options: Options) -> None:
    for kind, (_, colour, text) in KINDS.items():
        own = [row for row in rows if row["kind"] == kind]
        good = [row for row in own if row["status"] == "ok"]
        steps, values = ([row[name] for row in good] for name in ("step", "mean_log"))
        errors = [2 * row["standard_error"] for row in good]
        axes.errorbar(steps, values, errors, color=colour, marker="o", ms=4, lw=1.0, label=text)
        if kind in ("explicit", "leaky"):
            axes.plot(steps, [row["closed_form"] for row in good], color=colour, lw=3.5, alpha=0.35, label="closed form")
    refused = np.geomspace(1 / options.leak, max(options.steps), 50)
    factor = (1 - refused * options.leak) ** 2 + refused**2 / 2
    axes.plot(refused, options.depth * np.log(factor), color=GREEN, lw=1.2, ls=":", label=r"leaky, refused: log E")
    axes.axhline(0, color=DARK, lw=0.8)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=5)
    axes.set(xlabel="step h", ylabel=r"E log $\|\partial h_L/\partial h_0\|^2/N$")
    axes.set_title(f"the whole chain, {options.depth} blocks, over the step", fontsize=10, loc="left")
    own_legend(axes)


def draw_trained(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    for number, (kind, (_, colour, text)) in enumerate(KINDS.items()):
        good = [row for row in rows if row["kind"] == kind and row["accuracy"] is not None]
        steps = [row["step"] * 1.06 ** (number - 1.5) for row in good]  # side by side
        values, errors = [row["accuracy"] for row in good], [row["half_interval"] for row in good]
        axes.errorbar(steps, values, errors, color=colour, marker="o", ms=4, lw=1.0, capsize=3, label=text)
    axes.set_xscale("log")
    axes.set(xlabel="step h", ylabel="validation accuracy, digits")
    axes.set_title("short trainings, equal parameters; 95% over seeds", fontsize=10, loc="left")
    own_legend(axes)


@experiment(Options, __doc__)
def main(options: Options, out: Path) -> dict[str, Any]:
    data = Digits().load()
    found = spectra(options)
    norms = measured(options, data)
    norm_table, trainings = list(norm_rows(options, norms)), trained(options, data)
    write_csv(out / "norms.csv", norm_table)
    write_csv(out / "table.csv", trainings)
    points = ((name, value) for name, values in found.items() for value in values)
    write_csv(out / "eigenvalues.csv", ({"matrix": n, "real": float(v.real), "imag": float(v.imag)} for n, v in points))
    figure = sheet(15, 10)
    places = [style(axes) for axes in figure.subplots(2, 2).flat]
    draw_spectra(places[0], found, options)
    draw_depth(places[1], norms, options)
    draw_steps(places[2], norm_table, options)
    draw_trained(places[3], trainings)
    save(figure, out / "figure.png", columns=1)
    closed = [row for row in norm_table if row["closed_form"] is not None]
    return {
        "leaky_off_shift": off_shift(found, options.block_step * options.leak),
        "largest_modulus": {name: round(float(np.abs(values).max()), 4) for name, values in found.items()},
        "max_z_closed_form": max(abs(row["mean_log"] - row["closed_form"]) / row["standard_error"] for row in closed),
        "norms": [
            {n: round(v, 3) if isinstance(v, float) else v for n, v in row.items() if n not in ("leak", "depth")}
            for row in norm_table
        ],
        "trained": trainings,
    }


if __name__ == "__main__":
    main()
