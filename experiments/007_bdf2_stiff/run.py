"""How exact is BDF-2 on stiff equations, and what does its Newton matrix look like? README.md beside this file tells.

    python experiments/007_bdf2_stiff/run.py [name=value ...]

Measures the order on equal and alternating steps, and the end error for some tolerances beside scipy's Radau; looks at
I − hβJ along the solutions. Writes table.csv, orders.csv, matrices.csv and figure.png into `out`. The last line is one
JSON object.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from scipy.integrate import solve_ivp
from torch import Tensor

from nasjac.cli.experiment import experiment
from nasjac.dynamics import Solution, integrate, march, newton_matrix
from nasjac.dynamics.problems import Problem, decay, hires, prothero_robinson, robertson, van_der_pol
from nasjac.foundation.text_tables import write_csv
from nasjac.reporting.canvas import DARK, GREY, LINES, save, sheet, style

PROBLEMS = {"robertson": robertson(), "van_der_pol": van_der_pol(), "hires": hires()}
TITLES = {"robertson": "Robertson", "van_der_pol": "van der Pol", "hires": "HIRES"}
COLOURS = dict(zip(PROBLEMS, (LINES[0], LINES[6], LINES[2]), strict=True))


@dataclass
class Options:
    """`steps` of the smooth problems; `tolerances` (relative) of the stiff ones; the matrices are those of the solution at
    `looked_at`, one of the tolerances, at some `matrices` of its steps."""

    out: str = "reports/007_bdf2_stiff"
    steps: list[int] = field(default_factory=lambda: [10, 20, 40, 80, 160, 320, 640])
    tolerances: list[float] = field(default_factory=lambda: [1e-3, 1e-4, 1e-5, 1e-6, 1e-7])
    looked_at: float = 1e-6
    matrices: int = 100


class Case(NamedTuple):
    """A smooth problem on a grid: steps alternate h, `alternating` h; started by backward Euler or from an exact point."""

    name: str
    problem: Problem
    exact_start: bool = True
    alternating: float = 1.0


CASES = (
    Case("y' = −y, exact start", decay()),
    Case("y' = −y, backward Euler start", decay(), exact_start=False),
    Case("y' = −y, steps h, 1.5 h", decay(), alternating=1.5),
    Case("Prothero–Robinson, λ = −1e2", prothero_robinson(-1e2)),
    Case("Prothero–Robinson, λ = −1e6", prothero_robinson(-1e6)),
)


def exact(case: Case, t: Tensor) -> Tensor:
    return torch.exp(-t) if case.name.startswith("y'") else torch.sin(t + math.pi / 4)


def order_rows(case: Case, options: Options) -> Iterator[dict[str, Any]]:
    errors: dict[int, float] = {}
    for steps in options.steps:
        lengths = torch.ones(steps, dtype=torch.float64)
        lengths[1::2] = case.alternating
        times = torch.cat((torch.zeros(1, dtype=torch.float64), lengths.cumsum(0) / lengths.sum()))
        start = exact(case, times[1:2]) if case.exact_start else None
        found = march(case.problem.system, case.problem.initial, times, start)
        errors[steps] = error = float((found.states[-1] - exact(case, times[-1:])).abs())
        yield {"case": case.name, "steps": steps, "h": 1 / steps, "error": error, "order": observed(errors)}


def observed(errors: dict[int, float]) -> float | None:
    """The order between the last two numbers of steps; none of a single one."""
    if len(errors) < 2:
        return None
    (coarse, before), (fine, after) = list(errors.items())[-2:]
    return math.log(before / after) / math.log(fine / coarse)


def end_error(problem: Problem, state: Any) -> float:
    """The largest error at the end, relative to each component."""
    reference = problem.reference.numpy()
    return float(np.abs((np.asarray(state) - reference) / reference).max())


def solved(name: str, tolerance: float) -> tuple[dict[str, Any], Solution]:
    problem, begin = PROBLEMS[name], perf_counter()
    found = integrate(problem.system, problem.initial, problem.interval, rtol=tolerance, atol=tolerance * problem.floor)
    seconds, work = perf_counter() - begin, found.work
    row = {"problem": name, "solver": "BDF-2", "tolerance": tolerance, "steps": work.steps}
    row |= {"jacobians": work.jacobians, "factorizations": work.factorizations}
    return row | {"end_error": end_error(problem, found.states[-1]), "seconds": seconds}, found


def radau(name: str, tolerance: float) -> dict[str, Any]:
    problem, begin = PROBLEMS[name], perf_counter()
    words = problem.system.for_scipy() | {"rtol": tolerance, "atol": tolerance * problem.floor}
    found = solve_ivp(t_span=problem.interval, y0=problem.initial.numpy(), method="Radau", **words)
    seconds = perf_counter() - begin
    row = {"problem": name, "solver": "Radau", "tolerance": tolerance, "steps": len(found.t) - 1}
    row |= {"jacobians": found.njev, "factorizations": found.nlu}
    return row | {"end_error": end_error(problem, found.y[:, -1]), "seconds": seconds}


def matrix_rows(name: str, found: Solution, count: int) -> Iterator[dict[str, Any]]:
    """I − hβJ at steps that lie evenly along the solution: one row an eigenvalue."""
    steps = found.times.diff()
    for n in sorted(set(np.linspace(1, len(steps) - 1, count).astype(int).tolist())):
        h, t = float(steps[n]), float(found.times[n + 1])
        matrix = newton_matrix(PROBLEMS[name].system, t, found.states[n + 1], h, h / float(steps[n - 1]))
        for value in matrix.eigenvalues.tolist():
            yield {"problem": name, "t": t, "h": h, "real": value.real, "imag": value.imag, "condition": matrix.condition}


def part(rows: list[dict[str, Any]], **chosen: Any) -> dict[str, Any]:
    """Columns of the rows with these entries."""
    own = [row for row in rows if all(row[key] == value for key, value in chosen.items())]
    return {key: np.array([row[key] for row in own], dtype=None) for key in rows[0]}


def draw_orders(axes: Axes, rows: list[dict[str, Any]]) -> None:
    lines, texts = [], []
    for case, colour, size in zip(CASES, (DARK, LINES[1], LINES[3], LINES[4], LINES[5]), (7, 4, 4, 4, 4), strict=True):
        own = part(rows, case=case.name)
        lines += axes.loglog(own["h"], own["error"], "o-", color=colour, ms=size)
        texts.append(f"{case.name}: order {own['order'][-1]:.2f}")
    h = np.array([own["h"].min(), own["h"].max()])
    lines += axes.loglog(h, 4e-4 * h**2, "--", color=GREY, lw=1.2)
    axes.set_ylim(1e-18, 1e-2)
    axes.legend(lines, [*texts, "slope 2"], fontsize=8, frameon=False, loc="lower center")
    axes.set(xlabel="step h", ylabel="error at t = 1")
    axes.set_title("error against step", fontsize=10, loc="left")


def draw_tolerances(axes: Axes, rows: list[dict[str, Any]], value: str, label: str) -> None:
    for name, colour in COLOURS.items():
        for solver, look in (("BDF-2", "o-"), ("Radau", "s--")):
            own = part(rows, problem=name, solver=solver)
            axes.loglog(own["tolerance"], own[value], look, color=colour, ms=4, mfc="none" if look[0] == "s" else None)
    axes.set(xlabel="relative tolerance", ylabel=label)
    axes.invert_xaxis()


def draw_steps(axes: Axes, name: str, found: Solution) -> None:
    axes.loglog(found.times[1:], found.times.diff(), color=COLOURS[name], lw=1.2, label=TITLES[name])
    axes.set(xlabel="t", ylabel="step h")


def draw_plane(axes: Axes, rows: list[dict[str, Any]]) -> None:
    for (name, colour), size in zip(COLOURS.items(), (8, 5, 2), strict=True):  # most lie on one line, over one another
        own = part(rows, problem=name)
        axes.plot(own["real"], own["imag"], "o", color=colour, ms=size, mew=0)
    axes.axvline(1, color=DARK, lw=0.8)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_ylim(-0.1, 0.1)
    axes.set(xlabel="real part", ylabel="imaginary part")
    axes.set_title("eigenvalues 1 − hβλ of I − hβJ; the line is λ = 0", fontsize=10, loc="left")


def draw(path: Path, options: Options, tables: dict[str, list[dict[str, Any]]], found: dict[str, Solution]) -> None:
    figure = sheet(14, 8.4)
    places = [style(axes) for axes in figure.subplots(2, 3).flat]
    draw_orders(places[0], tables["orders"])
    draw_tolerances(places[1], tables["table"], "end_error", "relative error at the end")
    tolerances = np.array(options.tolerances)
    places[1].loglog(tolerances, tolerances, ":", color=GREY)
    middle = float(np.median(tolerances))
    places[1].annotate(
        "the tolerance itself", (middle, middle), (-10, 8), textcoords="offset points", color=GREY, fontsize=8
    )
    places[1].set_title("end error: BDF-2 (points), Radau (squares)", fontsize=10, loc="left")
    draw_tolerances(places[2], tables["table"], "steps", "accepted steps")
    places[2].set_title("steps: BDF-2 (points), Radau (squares)", fontsize=10, loc="left")
    for name, solution in found.items():
        draw_steps(places[3], name, solution)
        own = part(tables["matrices"], problem=name)
        places[5].loglog(own["t"], own["condition"], color=COLOURS[name], lw=1.2)
    places[3].set_title(f"steps of its own choice, tolerance {options.looked_at:g}", fontsize=10, loc="left")
    draw_plane(places[4], tables["matrices"])
    places[5].set(xlabel="t", ylabel=r"$\kappa_2(I-h\beta J)$")
    places[5].set_title("condition number of the Newton matrix", fontsize=10, loc="left")
    save(figure, path, columns=3)


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in row.items()}


def summary(options: Options, tables: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    rows, matrices = tables["table"], tables["matrices"]
    exponents = {}
    for name in PROBLEMS:
        own = part(rows, problem=name, solver="BDF-2")
        slope = np.polyfit(np.log(own["tolerance"].astype(float)), np.log(own["end_error"].astype(float)), 1)[0]
        exponents[name] = round(float(slope), 2)
    return {
        "last_order": {row["case"]: round(row["order"], 3) for row in finest(tables["orders"])},
        "last_error_to_h2": {row["case"]: float(f"{row['error'] / row['h'] ** 2:.4g}") for row in finest(tables["orders"])},
        "tolerance_exponent": exponents,
        "rows": [rounded(row) for row in rows],
        "largest_condition": {n: float(f"{part(matrices, problem=n)['condition'].max():.3g}") for n in PROBLEMS},
        "least_real": {n: float(f"{part(matrices, problem=n)['real'].min():.3g}") for n in PROBLEMS},
        "largest_real": {n: float(f"{part(matrices, problem=n)['real'].max():.3g}") for n in PROBLEMS},
        "largest_imag": {n: float(f"{part(matrices, problem=n)['imag'].max():.3g}") for n in PROBLEMS},
    }


def finest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The row of the smallest step of each case."""
    return list({row["case"]: row for row in sorted(rows, key=lambda row: -row["h"])}.values())


@experiment(Options, __doc__)
def main(options: Options, out: Path) -> dict[str, Any]:
    orders = [row for case in CASES for row in order_rows(case, options)]
    rows, found = [], {}
    for name in PROBLEMS:
        for tolerance in options.tolerances:
            row, solution = solved(name, tolerance)
            rows += [row, radau(name, tolerance)]
            if tolerance == options.looked_at:
                found[name] = solution
    if len(found) < len(PROBLEMS):
        raise ValueError(f"`looked_at` must be one of {list(options.tolerances)}, got {options.looked_at}")
    matrices = [row for name in PROBLEMS for row in matrix_rows(name, found[name], options.matrices)]
    tables = {"orders": orders, "table": rows, "matrices": matrices}
    for name, table in tables.items():
        write_csv(out / f"{name}.csv", map(rounded, table))
    draw(out / "figure.png", options, tables, found)
    return summary(options, tables)


if __name__ == "__main__":
    main()
