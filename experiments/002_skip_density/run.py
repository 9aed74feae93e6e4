"""Where is a network of skip density s critical? README.md beside this file tells.

    python experiments/002_skip_density/run.py [name=value ...]

Samples relu chains without norm whose skips are there with probability s, beside the closed forms, and writes table.csv
(critical densities), curves.csv, figure.png and phase_diagram.png into `out`. The last line is one JSON object.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from nasjac import Block, Spec
from nasjac.architecture.ensemble import members
from nasjac.cli.experiment import experiment
from nasjac.foundation.text_tables import write_csv
from nasjac.kinds.facts import columns
from nasjac.kinds.population import sample
from nasjac.mathematics.meanfield import Columns, ExpectedNorms, expected_norms
from nasjac.mathematics.meanfield.critical import annealed_density, norms_over_density, quenched_density
from nasjac.reporting.canvas import DARK, LINES, save, sheet, style
from nasjac.sampling.draws import Draws

Array = NDArray[np.float64]
FEATURES = 32  # of the random inputs; no expectation depends on it


@dataclass
class Options:
    """Chains of `depth` blocks of `width` units and branch energies `chi`, at `densities` values of s from 0 to 1.

    `groups` independent groups, each of `patterns` skip patterns at every s and `draws` draws of the weights of its own.
    `phase_depth`, `phase_densities`: size of the phase diagram, from closed forms.
    """

    out: str = "reports/002_skip_density"
    width: int = 64
    depth: int = 20
    chi: list[float] = field(default_factory=lambda: [0.25, 0.5, 0.75])
    densities: int = 17
    groups: int = 32
    patterns: int = 8
    draws: int = 16
    seed: int = 0
    phase_depth: int = 128
    phase_densities: int = 101


class Estimate(NamedTuple):
    """Values and standard errors; NaN where there is none."""

    value: Any
    error: Any


@dataclass(frozen=True)
class Measured:
    """Per independent group: G groups, C energies chi, S densities, K = L + 1 numbers of skips.

    `mean_GCS`     mean of 𝒥 over the group's patterns and weights
    `typical_GCS`  mean over its patterns of log E_W 𝒥
    `strata_GCK`   mean of 𝒥 over weights, of one pattern with k skips
    """

    mean_GCS: Array
    typical_GCS: Array
    strata_GCK: Array


def chain(options: Options, chi: float, skip: float) -> Spec:
    """Two-matrix relu branches without norm have chi = g⁴/2."""
    return Spec.of(width=options.width, blocks=(Block(skip=skip),) * options.depth, weight_gain=(2 * chi) ** 0.25)


def measure(options: Options) -> Measured:
    groups = [measure_group(options, group) for group in range(options.groups)]
    return Measured(*(np.stack(arrays) for arrays in zip(*groups, strict=True)))


def measure_group(options: Options, group: int) -> tuple[Array, Array, Array]:
    """Weights and patterns of a group are its own, so groups are independent; within one, all s and chi share them."""
    densities, number = np.linspace(0, 1, options.densities), options.seed * options.groups + group
    ensembles = [chain(options, chi, s) for chi in options.chi for s in densities]
    patterns = [members(spec, options.patterns, number) for spec in ensembles]
    strata = [with_skips(chain(options, chi, 1), k, number) for chi in options.chi for k in range(options.depth + 1)]
    specs = {spec.key: spec for spec in [*(spec for drawn in patterns for spec in drawn), *strata]}
    generator = torch.Generator().manual_seed(number)
    inputs = torch.randn(64, FEATURES, generator=generator)
    draws = Draws(number, range(options.draws), torch.float32, torch.device("cpu"))
    samples = dict(zip(specs, sample(list(specs.values()), inputs, draws), strict=True))
    energy_D = {key: np.exp(one.forward[..., -1]).mean(axis=(1, 2)) for key, one in samples.items()}
    shape = (len(options.chi), -1)
    mean = [np.mean([energy_D[spec.key].mean() for spec in drawn]) for drawn in patterns]
    typical = [np.mean([log_mean(energy_D[spec.key]) for spec in drawn]) for drawn in patterns]
    by_count = [energy_D[spec.key].mean() for spec in strata]
    return np.reshape(mean, shape), np.reshape(typical, shape), np.reshape(by_count, shape)


def with_skips(spec: Spec, count: int, seed: int) -> Spec:
    """The chain with `count` of its skips left, at random places."""
    left = set(np.random.default_rng([seed, count]).permutation(len(spec.blocks))[:count].tolist())
    return replace(spec, blocks=tuple(replace(b, skip=float(n in left)) for n, b in enumerate(spec.blocks)))


def log_mean(energy_D: Array) -> float:
    """log of the mean over draws, its bias of order 1/D removed by the jackknife."""
    count, total = len(energy_D), energy_D.sum()
    without_one = np.log((total - energy_D) / (count - 1)).mean()
    return float(count * np.log(total / count) - (count - 1) * without_one)


def jackknife(function: Callable[[Array], Array], groups: Array) -> Estimate:
    """A function of the groups [G, ...], with its standard error by leaving out one group at a time."""
    left_out = np.stack([function(np.delete(groups, group, axis=0)) for group in range(len(groups))])
    error = np.sqrt((len(groups) - 1) * np.mean((left_out - left_out.mean(axis=0)) ** 2, axis=0))
    return Estimate(function(groups), error)


def binomial(depth: int, densities: Array) -> Array:
    """[S, K] probability of k skips."""
    count = np.arange(depth + 1)
    ways = np.array([math.comb(depth, k) for k in count], dtype=np.float64)
    return np.asarray(ways * densities[:, None] ** count * (1 - densities[:, None]) ** (depth - count))


def crossing(densities: Array, log_norm: Array) -> Array:
    """The first s at which a curve rises through 0, between two points on a straight line; NaN without one."""
    rises = np.flatnonzero((log_norm[:-1] <= 0) & (log_norm[1:] > 0))
    if not len(rises):
        return np.asarray(math.nan)
    at = rises[0]
    share = -log_norm[at] / (log_norm[at + 1] - log_norm[at])
    return np.asarray(densities[at] + share * (densities[at + 1] - densities[at]))


#: the three estimates and the closed form each of them is of
ESTIMATES = {"annealed": "annealed", "stratified": "annealed", "quenched": "quenched"}


def estimators(options: Options) -> dict[str, Callable[[Array], Array]]:
    """From a chi's groups to its curve [S]: log of the mean over sampled patterns; the same with the patterns of each
    number of skips weighted by how probable that number is; and the mean of the log."""
    weight_SK = binomial(options.depth, np.linspace(0, 1, options.densities))
    return {
        "annealed": lambda mean_GS: np.log(mean_GS.mean(axis=0)),
        "stratified": lambda strata_GK: np.log(weight_SK @ strata_GK.mean(axis=0)),
        "quenched": lambda typical_GS: typical_GS.mean(axis=0),
    }


@dataclass(frozen=True)
class Curves:
    """One chi: [S] closed forms and estimates, by name, and where they cross 0."""

    chi: float
    densities: Array
    closed: dict[str, Array]
    measured: dict[str, Estimate]
    crossings: dict[str, Estimate]


def curves(options: Options, measured: Measured) -> Iterator[Curves]:
    densities = np.linspace(0, 1, options.densities)
    for number, chi in enumerate(options.chi):
        exact = norms_over_density(columns([chain(options, chi, 1)]), densities)
        groups = {
            "annealed": measured.mean_GCS[:, number],
            "stratified": measured.strata_GCK[:, number],
            "quenched": measured.typical_GCS[:, number],
        }
        found, crossed = {}, {}
        for name, estimator in estimators(options).items():
            found[name] = jackknife(estimator, groups[name])
            crossed[name] = jackknife(lambda part, f=estimator: crossing(densities, f(part)), groups[name])  # type: ignore[misc]
        closed = {"annealed": exact.forward[:, -1], "quenched": exact.forward_typical[:, -1]}
        yield Curves(chi, densities, closed, found, crossed)


def deviation(curve: Curves, name: str) -> Array:
    """[S] measured less closed form, in standard errors."""
    return np.asarray((curve.measured[name].value - curve.closed[ESTIMATES[name]]) / curve.measured[name].error)


def critical_row(curve: Curves) -> dict[str, float]:
    row = {"chi": curve.chi, "s_star": annealed_density(curve.chi), "s_q": quenched_density(curve.chi)}
    for name, found in curve.crossings.items():
        row |= {name: float(found.value), f"{name}_se": float(found.error)}
    return rounded(row)


def curve_rows(curve: Curves, depth: int) -> Iterator[dict[str, float]]:
    """`tilted`: the share of skips in the patterns that carry the mean; `log_patterns`: log of how many patterns one has
    to draw to meet one of them, L times the relative entropy of the tilted to the true density."""
    for at, s in enumerate(curve.densities):
        tilted = s * (1 + curve.chi) / (s + curve.chi)
        entropy = sum(p * math.log(p / q) for p, q in ((tilted, s), (1 - tilted, 1 - s)) if p > 0)
        row = {"chi": curve.chi, "s": s, "tilted": tilted, "log_patterns": depth * entropy}
        row |= {f"{name}_closed": values[at] for name, values in curve.closed.items()}
        for name, found in curve.measured.items():
            row |= {name: found.value[at], f"{name}_se": found.error[at]}
        yield rounded(row)


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Four decimals; None for what is not there."""
    return {name: None if math.isnan(value) else round(float(value), 4) + 0.0 for name, value in row.items()}


MARKS = {"annealed": ("o", 0), "stratified": ("x", 0), "quenched": ("s", 3)}
NAMES = {
    "annealed": r"$\log\,\mathrm{E}\,\mathcal{J}$ over patterns and weights",
    "quenched": r"$\mathrm{E}_\mathrm{patterns}\,\log\,\mathrm{E}_W\,\mathcal{J}$",
}


def draw_curves(path: Path, found: list[Curves], depth: int) -> None:
    """Above: the curves. Below: what is left of them when the closed form is subtracted."""
    figure = sheet(4 * len(found), 7.2)
    axes = figure.subplots(2, len(found), squeeze=False, sharex=True, sharey="row", height_ratios=(1.5, 1))
    for column, curve in enumerate(found):
        top, bottom = (style(part[column]) for part in axes)
        draw_closed(top, curve, first=not column)
        for name, (marker, colour) in MARKS.items():
            value, error = curve.measured[name]
            label = None if column else f"measured: {ESTIMATES[name]}" + ", by number of skips" * (name == "stratified")
            look: dict[str, Any] = {"color": LINES[colour], "marker": marker, "markersize": 5, "mfc": "none"}
            top.errorbar(curve.densities, value, error, linestyle="", label=label, **look)
            bottom.errorbar(curve.densities, value - curve.closed[ESTIMATES[name]], error, linestyle="", **look)
        bottom.axhline(0, color=DARK, linewidth=0.8)
        bottom.set_xlabel("skip density s")
        top.set_title(f"χ = {curve.chi:g}, {depth} blocks", fontsize=10, loc="left")
    axes[0, 0].set_ylabel(r"$\log\,\mathcal{J}$ (nats)")
    axes[1, 0].set_ylabel("measured − closed form (nats)")
    save(figure, path, columns=3)


def draw_closed(axes: Axes, curve: Curves, first: bool) -> None:
    densities = {"annealed": annealed_density(curve.chi), "quenched": quenched_density(curve.chi)}
    for name, values in curve.closed.items():
        colour = LINES[MARKS[name][1]]
        axes.plot(curve.densities, values, color=colour, label=f"closed form: {NAMES[name]}" if first else None)
        critical, symbol = densities[name], {"annealed": "s*", "quenched": "s_q"}[name]
        if critical is not None:
            axes.axvline(critical, color=colour, linewidth=0.9, linestyle=":")
            offset, side, below = ((-3, 4), "right", "bottom") if name == "annealed" else ((4, -5), "left", "top")
            text, look = f"${symbol}$ = {critical:.3f}", {"color": colour, "fontsize": 9, "textcoords": "offset points"}
            axes.annotate(text, (critical, 0), offset, ha=side, va=below, **look)
    axes.axhline(0, color=DARK, linewidth=0.8)


#: title -> what the panel's chains have; pre and post by the norm that they have
PANELS: dict[str, dict[str, Any]] = {
    "relu, no norm, χ = 0.5": {"activation": "relu"},
    "tanh, no norm": {"activation": "tanh"},
    "gelu, norm before the branch (pre)": {"activation": "gelu", "on_input": True},
    "gelu, norm after the sum (post)": {"activation": "gelu", "on_sum": True},
}


def phase(options: Options, activation: str, on_input: bool = False, on_sum: bool = False) -> ExpectedNorms:
    """[S, L + 1] norms at every density and, since they are layer by layer, every depth; weight_gain 1, K_0 = 1."""
    densities = np.linspace(0, 1, options.phase_densities)
    rows = np.ones((len(densities), options.phase_depth))
    skip = densities[:, None] * rows
    names = [activation] * len(densities)
    return expected_norms(Columns(names, True, 1.0, on_input, False, on_sum, keep=rows, skip=skip, scale=1.0))


def draw_phases(path: Path, options: Options, panels: dict[str, ExpectedNorms]) -> None:
    figure = sheet(10, 8)
    depth, densities = np.arange(1, options.phase_depth + 1), np.linspace(0, 1, options.phase_densities)
    every = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, (title, norms) in zip(every.flat, panels.items(), strict=True):
        colours = axes.pcolormesh(depth, densities, norms.forward_typical[:, 1:], shading="gouraud", **CLIPPED)
        for values, line in ((norms.forward, "--"), (norms.forward_typical, "-")):
            if values[:, 1:].min() < 0 < values[:, 1:].max():
                axes.contour(depth, densities, values[:, 1:], [0.0], colors=DARK, linewidths=1.6, linestyles=line)
        axes.set(xscale="log", xlim=(1, options.phase_depth))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.set_title(title, fontsize=10, loc="left")
    for critical, line, name in ((annealed_density(0.5), "--", "s*"), (quenched_density(0.5), "-", "s_q")):
        every[0, 0].annotate(f"${name}$ = {critical:.3f}", (1.1, float(critical or 0) + 0.015), color=DARK, fontsize=9)
        every[0, 0].plot([], [], color=DARK, linestyle=line, label=PHASE_LINES[name])
    for axes in every[1]:
        axes.set_xlabel("depth L (blocks)")
    for axes in every[:, 0]:
        axes.set_ylabel("skip density s")
    figure.colorbar(colours, ax=every, label=f"{NAMES['quenched']} (nats, clipped at ±20)", extend="both", shrink=0.8)
    save(figure, path, columns=2)


CLIPPED: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -20, "vmax": 20}
PHASE_LINES = {
    "s*": r"annealed: $\log\,\mathrm{E}\,\mathcal{J}=0$",
    "s_q": r"quenched: $\mathrm{E}\,\log\,\mathrm{E}_W\,\mathcal{J}=0$",
}


def summary(options: Options, found: list[Curves], panels: dict[str, ExpectedNorms]) -> dict[str, Any]:
    """Largest deviations in standard errors, where sampling patterns falls furthest short of the mean, and over all
    depths and densities of a panel the range of the typical log 𝒥."""
    worst = {f"max_z_{name}": round(max(float(np.abs(deviation(c, name)).max()) for c in found), 2) for name in ESTIMATES}
    short = [(c.measured["annealed"].value - c.closed["annealed"], c) for c in found]
    gap, curve = min(short, key=lambda pair: float(pair[0].min()))
    at = int(gap.argmin())
    shortfall = {"nats": round(float(gap[at]), 2), "chi": curve.chi, "s": float(curve.densities[at])}
    shortfall["standard_errors"] = round(float(deviation(curve, "annealed")[at]), 2)
    patterns = options.groups * options.patterns
    sizes = {"patterns": patterns, "weight_draws": options.groups * options.draws}
    typical = {title: norms.forward_typical[:, 1:] for title, norms in panels.items()}
    ranges = {title: [round(float(end), 2) for end in (log.min(), log.max())] for title, log in typical.items()}
    return {**sizes, **worst, "largest_shortfall": shortfall, "phase_ranges": ranges}


@experiment(Options, __doc__)
def main(options: Options, out: Path) -> dict[str, Any]:
    found = list(curves(options, measure(options)))
    critical = [critical_row(curve) for curve in found]
    write_csv(out / "table.csv", critical)
    write_csv(out / "curves.csv", [row for curve in found for row in curve_rows(curve, options.depth)])
    draw_curves(out / "figure.png", found, options.depth)
    panels = {title: phase(options, **kind) for title, kind in PANELS.items()}
    draw_phases(out / "phase_diagram.png", options, panels)
    return {**summary(options, found, panels), "critical": critical}


if __name__ == "__main__":
    main()
