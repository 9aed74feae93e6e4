"""When does dilution stabilize a stirred tank, and what has that to do with skips? README.md beside this file tells.

    python experiments/008_reactor/run.py [name=value ...]

Follows the steady states of the Brusselator, of Gray and Scott's autocatalator and of van de Vusse's reactions over the
dilution rate; integrates on both sides of the critical ones; and puts the eigenvalues' shift by −D beside a residual
block's by +1. Writes table.csv, branches.csv and figure.png into `out`. The last line is one JSON object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from scipy.integrate import solve_ivp
from torch import Tensor

from nasjac import Block, Spec, build
from nasjac.cli.experiment import experiment
from nasjac.dynamics import (
    Branch,
    Reactor,
    branches,
    critical_dilutions,
    numerical_abscissa,
    spectral_abscissa,
    steady_states,
)
from nasjac.dynamics.reactions import brusselator, gray_scott, van_de_vusse
from nasjac.foundation.text_tables import write_csv
from nasjac.reporting.canvas import DARK, GREY, LINES, save, sheet, style

Box = tuple[list[float], list[float]]
#: each tank with the box and the range of dilutions in which its steady states are looked for
TANKS: dict[str, tuple[Reactor, Box, tuple[float, float]]] = {
    "brusselator, fed with its state": (brusselator((1.0, 3.0)), ([0.0, 0.0], [5.0, 12.0]), (0.02, 2.0)),
    "brusselator, fed with nothing": (brusselator((0.0, 0.0)), ([0.0, 0.0], [5.0, 12.0]), (0.02, 2.0)),
    "gray_scott": (gray_scott(), ([0.0, 0.0], [1.5, 1.0]), (0.004, 0.4)),
    "van_de_vusse": (van_de_vusse(), ([0.0, 0.0], [11.0, 5.0]), (1.0, 1000.0)),
}
FIXED, MOVING = tuple(TANKS)[:2]
BLUE, ORANGE, GREEN, PURPLE = LINES[0], LINES[6], LINES[2], LINES[4]


@dataclass
class Options:
    """Trajectories run for `end` (Brusselator) and `gray_scott_end`, from a state that is disturbed by `disturbance` of it,
    at `sides` times D_c and at the `gray_scott` dilutions. The block has `width` units; `dilution` shifts the closed
    Brusselator's eigenvalues; `seed` of the block's weights."""

    out: str = "reports/008_reactor"
    end: float = 100.0
    gray_scott_end: float = 3000.0
    disturbance: float = 0.02
    sides: list[float] = field(default_factory=lambda: [0.8, 1.2])
    gray_scott: list[float] = field(default_factory=lambda: [0.0145, 0.016, 0.12, 0.17])
    dilution: float = 0.6
    width: int = 200
    seed: int = 0


def event_rows(name: str, found: list[Branch]) -> Iterator[dict[str, Any]]:
    """Every fold and every change of stability."""
    for event in sorted((e for branch in found for e in branch.events), key=lambda e: e.dilution):
        x = event.state.tolist()
        row = {"tank": name, "kind": event.kind, "dilution": event.dilution, "x1": x[0], "x2": x[1]}
        row |= {"real": round(event.eigenvalue.real, 10) + 0.0, "imag": event.eigenvalue.imag}
        yield row | {"changes_stability": event.changes_stability}


def branch_rows(name: str, found: list[Branch]) -> Iterator[dict[str, Any]]:
    for number, branch in enumerate(found):
        columns = (branch.dilutions.tolist(), branch.states.tolist(), branch.abscissa.tolist())
        for dilution, (x1, x2), abscissa in zip(*columns, strict=True):
            yield {"tank": name, "branch": number, "dilution": dilution, "x1": x1, "x2": x2, "abscissa": abscissa}


@dataclass(frozen=True)
class Run:
    """A trajectory at a dilution: its name in the figure, times, states [T, S], the abscissa of the steady state that it
    starts beside, and how far scipy's Radau ends from it, in units of the largest concentration."""

    tank: str
    text: str
    dilution: float
    abscissa: float
    times: Tensor
    states: Tensor
    off_radau: float


def trajectory(name: str, text: str, dilution: float, seen: float, end: float, disturbance: float) -> Run:
    """From beside the steady state at `seen`, the dilution itself or the nearest that has a reacting one."""
    reactor, box, _ = TANKS[name]
    state = max(steady_states(reactor, seen, box), key=lambda x: float(x[1]))
    start, system = state * (1 + disturbance), reactor.system(dilution)
    found = reactor.trajectory(dilution, start, (0.0, end), rtol=1e-7, atol=1e-10)
    other = solve_ivp(t_span=(0.0, end), y0=start.numpy(), method="Radau", rtol=1e-8, atol=1e-11, **system.for_scipy())
    off = np.abs(found.states[-1].numpy() - other.y[:, -1]).max() / float(found.states.max())
    times = torch.linspace(0, end, 2000, dtype=torch.float64)
    return Run(name, text, dilution, spectral_abscissa(reactor.jacobian(seen, state)), times, found.at(times), float(off))


def trajectories(options: Options, critical: float) -> list[Run]:
    found = []
    for side in options.sides:
        dilution = side * critical
        text = f"D = {side:g} $D_c$"
        found.append(trajectory(MOVING, text, dilution, dilution, options.end, options.disturbance))
    for dilution in options.gray_scott:
        seen = min(dilution, 0.1599)  # beyond the fold there is no reacting state
        text, end = f"D = {dilution:g}", options.gray_scott_end
        found.append(trajectory("gray_scott", text, dilution, seen, end, options.disturbance))
    return found


class Spectrum(NamedTuple):
    """Eigenvalues of J_F and of I + J_F, and the root mean square of the norms of J_F's rows."""

    branch: Any
    whole: Any
    radius: float


def block_spectrum(options: Options) -> Spectrum:
    """Of a random tanh block of one matrix."""
    spec = Spec.of(width=options.width, blocks=(Block(),), activation="tanh", branch="one_matrix")
    generator = torch.Generator().manual_seed(options.seed)
    block = build(spec, options.width, options.width, generator).double().requires_grad_(False).blocks[0]  # type: ignore[index]
    x = torch.randn(options.width, generator=generator, dtype=torch.float64)
    branch = torch.func.jacrev(block.branch)(x)
    whole = torch.func.jacrev(block)(x)
    radius = float(branch.square().sum().sqrt()) / options.width**0.5
    return Spectrum(torch.linalg.eigvals(branch).numpy(), torch.linalg.eigvals(whole).numpy(), radius)


def split(branch: Branch) -> Iterator[tuple[Any, Any, Any, bool]]:
    """Dilutions, states and abscissae of the branch's stable and unstable stretches, which share their ends."""
    stable = (branch.abscissa < 0).numpy()
    cuts = [0, *(np.flatnonzero(np.diff(stable)) + 1).tolist(), len(stable)]
    for low, high in pairwise(cuts):
        own = slice(max(low - 1, 0), high)
        yield branch.dilutions[own].numpy(), branch.states[own].numpy(), branch.abscissa[own].numpy(), bool(stable[low])


def mark(axes: Axes, dilution: float, height: float, colour: str, text: str, offset: tuple[float, float]) -> None:
    axes.plot(dilution, height, "o", color=colour, ms=6, mec="white", zorder=5)
    axes.annotate(text, (dilution, height), offset, textcoords="offset points", color=colour, fontsize=8.5)


def draw_brusselator(axes: Axes, found: dict[str, list[Branch]]) -> None:
    for name, colour, offset, place in ((FIXED, BLUE, (6, 6), 0.12), (MOVING, ORANGE, (-2, 8), 0.05)):
        [branch] = found[name]
        axes.plot(branch.dilutions, branch.abscissa, color=colour)
        axes.annotate(name.partition(", ")[2], (0.03, place), xycoords="axes fraction", color=colour, fontsize=9)
        [event] = branch.events
        mark(axes, event.dilution, 0.0, colour, f"$D_c$ = {event.dilution:.4f}", offset)
    axes.axhline(0, color=DARK, lw=0.8)
    axes.set_xscale("log")
    axes.set(xlabel="dilution rate D", ylabel=r"spectral abscissa $\alpha(J)$ at $x^*(D)$", ylim=(-2.2, 1))
    axes.set_title("Brusselator: the shift holds where the state stays", fontsize=10, loc="left")


def draw_gray_scott(states: Axes, abscissa: Axes, found: list[Branch]) -> None:
    for branch in found:
        colour = PURPLE if branch.closed else GREY
        for dilution, x, alpha, stable in split(branch):
            look = "-" if stable else ":"
            states.plot(dilution, x[:, 1], look, color=colour)
            abscissa.plot(dilution, alpha, look, color=colour)
        for event in branch.events:
            text = f"{event.kind}, {event.dilution:.5g}"
            left = event.dilution < 0.0125
            offset = (-62.0, -3.0) if left else (8.0, -3.0 if event.kind == "fold" else -12.0)
            mark(states, event.dilution, float(event.state[1]), colour, text, offset)
            mark(abscissa, event.dilution, event.eigenvalue.real, colour, text, (-62.0, 2.0) if left else (7.0, 4.0))
    for axes, label, title in (
        (states, "concentration b*", "Gray–Scott: reacting states on an isola, and the washed-out one"),
        (abscissa, r"spectral abscissa $\alpha(J)$ at $x^*(D)$", "the same: stable (line) between Hopf point and fold"),
    ):
        axes.set_xscale("log")
        axes.set(xlabel="dilution rate D", ylabel=label)
        axes.set_title(title, fontsize=10, loc="left")
    abscissa.axhline(0, color=DARK, lw=0.8)
    abscissa.set_ylim(-0.25, 0.12)


def draw_runs(places: dict[str, Axes], runs: list[Run]) -> None:
    colours = {MOVING: (LINES[5], ORANGE), "gray_scott": (LINES[1], PURPLE, GREEN, DARK)}
    for tank, axes in places.items():
        lines, texts, moving = [], [], tank == MOVING
        for number, run in enumerate(run for run in runs if run.tank == tank):
            colour = colours[tank][number % len(colours[tank])]
            lines += axes.plot(run.times, run.states[:, 0 if moving else 1], color=colour, lw=1.2)
            texts.append(run.text)
        axes.set(xlabel="t", ylabel="concentration x" if moving else "concentration b")
        axes.set_ylim(top=1.3 * max(axes.get_ylim()))
        axes.legend(lines, texts, fontsize=8, frameon=False, ncols=2, loc="upper left")
    places[MOVING].set_title("Brusselator fed with nothing, both sides of $D_c$", fontsize=10, loc="left")
    places["gray_scott"].set_xscale("symlog", linthresh=10)
    places["gray_scott"].set_xlim(left=0)
    places["gray_scott"].set_title("Gray–Scott: below Hopf, between, beyond the fold", fontsize=10, loc="left")


def draw_shifts(axes: Axes, spectrum: Spectrum, dilution: float) -> None:
    """What a skip and what dilution do to a spectrum: +1 and −D."""
    x = torch.tensor([1.0, 3.0], dtype=torch.float64)
    reactor = TANKS[FIXED][0]
    closed = torch.linalg.eigvals(reactor.reactions.jacobian(x)).numpy()
    tank = torch.linalg.eigvals(reactor.jacobian(dilution, x)).numpy()
    clouds: tuple[tuple[Any, str, dict[str, Any]], ...] = (
        (spectrum.branch, "$J_F$ of a tanh branch", {"color": GREY, "marker": "o", "ms": 2.5, "mew": 0}),
        (spectrum.whole, "$I+J_F$, the block", {"color": GREEN, "marker": "o", "ms": 2.5, "mew": 0}),
        (closed, "$J_{closed}$ of the Brusselator", {"color": ORANGE, "marker": "D", "ms": 7, "mfc": "none"}),
        (tank, f"$J_{{closed}}-D\\,I$, D = {dilution:g}", {"color": ORANGE, "marker": "D", "ms": 7}),
    )
    lines = [axes.plot(values.real, values.imag, ls="", **look)[0] for values, _, look in clouds]
    axes.add_patch(Circle((1, 0), spectrum.radius, fill=False, color=GREEN, lw=0.8))
    for start, end in zip(closed, tank, strict=True):
        arrow = {"arrowstyle": "->", "color": ORANGE, "lw": 1.2, "shrinkA": 6, "shrinkB": 6}
        axes.annotate("", (end.real, end.imag), (start.real, start.imag), arrowprops=arrow)
    axes.axvline(0, color=DARK, lw=0.8)
    axes.set_aspect("equal")
    axes.set(xlabel="real part", ylabel="imaginary part", xlim=(-1.3, 2.2), ylim=(-1.1, 1.9))
    axes.set_title("a skip shifts by +1, dilution by −D (state frozen)", fontsize=10, loc="left")
    axes.legend(lines, [text for _, text, _ in clouds], fontsize=8, frameon=False, ncols=2, loc="upper center")


def draw(path: Path, found: dict[str, list[Branch]], runs: list[Run], spectrum: Spectrum, dilution: float) -> None:
    figure = sheet(15, 9)
    places = [style(axes) for axes in figure.subplots(2, 3).flat]
    draw_brusselator(places[0], found)
    draw_gray_scott(places[1], places[2], found["gray_scott"])
    draw_runs({MOVING: places[3], "gray_scott": places[4]}, runs)
    draw_shifts(places[5], spectrum, dilution)
    save(figure, path, columns=1)


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.10g}") if isinstance(value, float) else value for name, value in row.items()}


def run_row(run: Run) -> dict[str, Any]:
    """`swing` of the last fifth of the trajectory, in its first (Brusselator) or second concentration."""
    values = run.states[-len(run.states) // 5 :, 0 if run.tank == MOVING else 1]
    row = {"tank": run.tank, "dilution": round(run.dilution, 5), "abscissa": round(run.abscissa, 5)}
    row |= {
        "swing": float(f"{float(values.max() - values.min()):.3g}"),
        "end": [round(x, 5) + 0.0 for x in run.states[-1].tolist()],
    }
    return row | {"off_radau": float(f"{run.off_radau:.2g}")}


def summary(
    found: dict[str, list[Branch]], events: list[dict[str, Any]], runs: list[Run], spectrum: Spectrum
) -> dict[str, Any]:
    reactor = TANKS["gray_scott"][0]
    reacting = max(steady_states(reactor, 0.05, TANKS["gray_scott"][1]), key=lambda x: float(x[1]))
    closed = TANKS[FIXED][0].reactions.jacobian(torch.tensor([1.0, 3.0], dtype=torch.float64))
    [vessel] = found["van_de_vusse"]
    best = int(vessel.states[:, 1].argmax())
    note = "dilution shifts every eigenvalue by -D at a frozen state, and is a universal stabilizer only there; "
    return {
        "note": note + "the steady state moves with D, and dilution can destroy the reacting one (Gray-Scott)",
        "events": [rounded(row) for row in events],
        "runs": [run_row(run) for run in runs],
        "brusselator_numerical_abscissa": round(numerical_abscissa(closed), 5),
        "gray_scott_closed_abscissa_at_0.05": round(spectral_abscissa(reactor.reactions.jacobian(reacting)), 5),
        "van_de_vusse": {
            "largest_abscissa": round(float(vessel.abscissa.max()), 3),
            "best_b": round(float(vessel.states[best, 1]), 4),
            "at": round(float(vessel.dilutions[best]), 1),
        },
        "block": {
            "radius": round(spectrum.radius, 4),
            "mean_shift": round(float((spectrum.whole.mean() - spectrum.branch.mean()).real), 6),
            "branch_abscissa": round(float(spectrum.branch.real.max()), 4),
            "block_abscissa": round(float(spectrum.whole.real.max()), 4),
        },
    }


@experiment(Options, __doc__)
def main(options: Options, out: Path) -> dict[str, Any]:
    found = {name: branches(reactor, dilutions, box) for name, (reactor, box, dilutions) in TANKS.items()}
    [critical] = critical_dilutions(found[MOVING])
    runs = trajectories(options, critical.dilution)
    events = [row for name, own in found.items() for row in event_rows(name, own)]
    write_csv(out / "table.csv", map(rounded, events))
    write_csv(out / "branches.csv", (rounded(row) for name, own in found.items() for row in branch_rows(name, own)))
    spectrum = block_spectrum(options)
    draw(out / "figure.png", found, runs, spectrum, options.dilution)
    return summary(found, events, runs, spectrum)


if __name__ == "__main__":
    main()
