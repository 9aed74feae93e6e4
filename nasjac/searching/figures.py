"""The report's figures: Pareto front, score against accuracy, layer profiles. Each is a PNG file by its name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nasjac.architecture.measurement import Layer
from nasjac.reporting.canvas import DARK, GREY, LINES, drawn, plain, sheet, style
from nasjac.searching.findings import Findings, Row
from nasjac.searching.sentences import trials
from nasjac.searching.validated import Pick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNITS = {"merit": "nats", "trainability_cost": "nats", "nonlinear_effective_depth": "blocks", "effective_depth": "blocks"}
FORMULAS = {
    "forward": r"$\log\,\mathcal{J}=\log\,\Vert\partial h_l/\partial h_0\Vert_F^2\,/\,N_l$ (nats)",
    "backward": r"$\log\,\mathcal{J}=\log\,\Vert\partial h_L/\partial h_l\Vert_F^2\,/\,N_L$ (nats)",
}
COLOURS = {"front": "#0072B2", "random": "#E69F00", "matched": "#009E73", "recommended": "#D55E00"}
MARKERS = {"front": "o", "random": "s", "matched": "^"}
ERROR_BARS: Mapping[str, Any] = {"fmt": "none", "elinewidth": 0.9, "capsize": 2, "alpha": 0.7, "zorder": 2}

Profile = tuple[str, Sequence[Layer]]  # a label and the layers of both directions


def pareto(found: Findings) -> dict[str, bytes]:
    """All measured architectures in the first two objectives, the front as a step line, the recommended one marked.

    With one objective there is no line, and the vertical axis is the nonlinear effective depth, or the effective depth of a
    kind without it. With more than two the front is drawn as points, for in two of its objectives it is no staircase.
    """
    has_nonlinear = any(row["nonlinear_effective_depth"] is not None for row in found.rows)
    x, y = [*found.objectives, "nonlinear_effective_depth" if has_nonlinear else "effective_depth"][:2]
    known, front = (
        [row for row in rows if row[x] is not None and row[y] is not None] for rows in (found.rows, found.front)
    )
    if not front:
        return {}
    figure = sheet(7.4, 5.4)
    axes = style(figure.add_subplot())
    label = f"measured architectures ({len(known)})"
    axes.scatter(*_xy(known, x, y), s=10, color=GREY, alpha=0.6, linewidths=0, zorder=1, label=label)
    x_error, y_error = ([row.get(f"{name}_se") or 0.0 for row in front] for name in (x, y))
    axes.errorbar(*_xy(front, x, y), y_error, x_error, ecolor=COLOURS["front"], **ERROR_BARS)
    label = f"Pareto front ({len(front)}), ±1 standard error"
    line: Mapping[str, Any] = {"drawstyle": "steps-post", "linestyle": "-" if len(found.objectives) == 2 else ""}
    axes.plot(*_xy(front, x, y), marker="o", markersize=4.5, color=COLOURS["front"], zorder=4, label=label, **line)
    _star(axes, *_xy([row for row in known if row["key"] == found.study.recommended_key], x, y))
    _scale(axes, [row[x] for row in known])
    axes.set(xlabel=_axis(x, found.objectives.get(x)), ylabel=_axis(y, found.objectives.get(y)))
    axes.set_title(plain(trials(found)), fontsize=10, loc="left")
    return drawn(figure, "pareto", 3, ["png"])


def score_vs_accuracy(found: Findings) -> dict[str, bytes]:
    """Left: the predictor against accuracy, diverged ones in a strip below. Right: Kendall's tau of every predictor."""
    score = found.predictor
    known = [pick for pick in found.trained if pick.facts.get(score) is not None]
    diverged = [pick for pick in known if pick.accuracy is None]
    if diverged == known:
        return {}
    figure = sheet(11.5, 5.2)
    grid = figure.add_gridspec(2, 2, height_ratios=(11, 1), width_ratios=(1.25, 1))
    left = style(figure.add_subplot(grid[0 if diverged else slice(0, 2), 0]))
    for role in MARKERS:
        _trained(left, score, role, [pick for pick in known if _role(pick) == role])
    star = [pick for pick in known if pick.key == found.study.recommended_key and pick.accuracy is not None]
    _star(left, [pick.facts[score] for pick in star], [pick.accuracy for pick in star])
    _scale(left, [pick.facts[score] for pick in known])
    left.set_ylabel("validation accuracy (bars: ±1 standard error)")
    bottom = _diverged(figure.add_subplot(grid[1, 0], sharex=left), score, diverged) if diverged else left
    left.tick_params(labelbottom=not diverged)
    bottom.set_xlabel(_axis(score, found.objectives[score]))
    _correlations(style(figure.add_subplot(grid[:, 1])), found)
    return drawn(figure, "cost_vs_accuracy", 4, ["png"])


def profiles(groups: Mapping[str, Sequence[Profile]], recommended: Profile | None) -> dict[str, bytes]:
    """log 𝒥 against relative depth l/L: a row of panels a group, the recommended one in each; forward and backward.

    The line is E log 𝒥, the band one standard error to both sides; a layer where it is not finite leaves a gap.
    """
    figure = sheet(11.5, 4.2 * len(groups))
    colours = iter(LINES)
    for row, (title, group) in enumerate(groups.items()):
        lines = [(profile, next(colours), 1.3) for profile in group]
        lines += [(recommended, COLOURS["recommended"], 2.2)] if recommended else []
        for column, (direction, formula) in enumerate(FORMULAS.items()):
            axes = style(figure.add_subplot(len(groups), 2, 2 * row + column + 1))
            axes.axhline(0, color=DARK, linewidth=0.8, linestyle=":")
            for (label, layers), colour, width in lines:
                once = label if not column and (not row or label != (recommended or ("",))[0]) else None
                _profile(axes, [layer for layer in layers if layer.direction == direction], once, colour, width)
            axes.set(xlabel="relative depth l/L", ylabel=formula, xlim=(0, 1))
            axes.set_title(f"{title}: {direction}", fontsize=10, loc="left")
    return drawn(figure, "profiles", 2, ["png"])


def _profile(axes: Axes, layers: Sequence[Layer], label: str | None, colour: str, width: float) -> None:
    position = [number / max(len(layers) - 1, 1) for number in range(len(layers))]
    value = [math.nan if layer.mean_log is None else layer.mean_log for layer in layers]
    error = [layer.standard_error or 0.0 for layer in layers]
    axes.plot(position, value, color=colour, linewidth=width, label=label and plain(label))
    low, high = ([v + sign * e for v, e in zip(value, error, strict=True)] for sign in (-1, 1))
    axes.fill_between(position, low, high, color=colour, alpha=0.18, linewidth=0)


def _trained(axes: Axes, score: str, role: str, picks: Sequence[Pick]) -> None:
    if not picks:
        return
    finished = [pick for pick in picks if pick.accuracy is not None]
    x, y = [pick.facts[score] for pick in finished], [pick.accuracy or 0.0 for pick in finished]
    y_error = [pick.standard_error or 0.0 for pick in finished]
    x_error = [pick.facts.get(f"{score}_se") or 0.0 for pick in finished]
    axes.errorbar(x, y, y_error, x_error, ecolor=COLOURS[role], **ERROR_BARS)
    label = f"{role} ({len(picks)})" if finished == picks else f"{role} ({len(finished)} of {len(picks)} finished)"
    axes.scatter(x, y, s=34, marker=MARKERS[role], color=COLOURS[role], zorder=3, label=label)


def _diverged(axes: Axes, score: str, picks: Sequence[Pick]) -> Axes:
    """A strip for architectures without an accuracy: only their score and role are known."""
    style(axes)
    for pick in picks:
        axes.scatter(pick.facts[score], 0, s=36, marker="x", color=COLOURS[_role(pick)], zorder=3)
    axes.set(yticks=[0], yticklabels=[f"diverged ({len(picks)})"], ylim=(-1, 1))
    return axes


def _correlations(axes: Axes, found: Findings) -> None:
    """A row for each predictor: dot and 95% interval on all architectures, and below it on the random ones alone."""
    agreement = found.agreement
    others = {name: statistics["kendall"] for name, statistics in agreement.baselines.items()}
    table = list({found.predictor: agreement.kendall, **others}.items())[::-1]
    for subset, offset, colour, marker, label in (
        ("all", 0.14, DARK, "o", "τ, all"),
        ("random", -0.14, COLOURS["random"], "D", "τ, random alone"),
    ):
        for row, (_, correlations) in enumerate(table):
            tau = correlations[subset]
            if tau.low is not None and tau.high is not None:
                axes.plot([tau.low, tau.high], [row + offset] * 2, color=colour, linewidth=1.5)
            if tau.value is not None:
                once = f"{label} (n = {tau.n})" if row == len(table) - 1 else None
                axes.plot(tau.value, row + offset, marker, color=colour, markersize=5, linestyle="", label=once)
    axes.axvline(0, color=DARK, linewidth=0.8, linestyle=":")
    if (ceiling := agreement.noise_ceiling.kendall) is not None:
        axes.axvline(ceiling, color="#CC79A7", linewidth=1.5, linestyle="--", label="τ between training seeds")
    axes.set(xlim=(-1.04, 1.04), ylim=(-0.6, len(table) - 0.4), yticks=range(len(table)))
    axes.set_yticklabels([name.replace("_", " ") for name, _ in table])
    axes.set_xlabel("Kendall's τ with accuracy, 95% interval")


def _role(pick: Pick) -> str:
    return next(role for role in MARKERS if role in pick.roles)


def _star(axes: Axes, x: Sequence[Any], y: Sequence[Any]) -> None:
    if x:
        style: Mapping[str, Any] = {"s": 190, "marker": "*", "edgecolors": "white", "linewidths": 0.8, "zorder": 6}
        axes.scatter(x, y, color=COLOURS["recommended"], label="recommended", **style)


def _axis(name: str, direction: str | None) -> str:
    better = {"minimize": "lower is better", "maximize": "higher is better"}.get(direction or "", "")
    said = ", ".join(filter(None, (UNITS.get(name, ""), better)))
    return name.replace("_", " ") + (f" ({said})" if said else "")


def _xy(rows: Sequence[Row], x: str, y: str) -> tuple[list[float], list[float]]:
    return [row[x] for row in rows], [row[y] for row in rows]


def _scale(axes: Axes, values: Sequence[float | None]) -> None:
    """A logarithmic axis, with numbers one can read, where positive values span more than a factor of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter

    known = [value for value in values if value is not None]
    if known and min(known) > 0 and max(known) > 10 * min(known):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
