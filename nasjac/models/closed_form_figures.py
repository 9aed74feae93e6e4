"""The figures of the closed forms: 𝒥 along the layers, 𝒥 over the skip density, lengths of gradient paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nasjac.reporting.canvas import DARK, FORMATS, LINES, drawn, sheet, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nasjac.mathematics.meanfield import ExpectedNorms
    from nasjac.mathematics.meanfield.moments import Array

#: the files of all figures, of which an architecture may have fewer
FILES = tuple(f"{name}.{form}" for name in ("norms", "path_lengths", "skip_density") for form in FORMATS)
LOG_NORM = r"$\log\,\mathcal{J}$ (nats)"


def draw(summary: Mapping[str, Any], densities: Array, curves: ExpectedNorms | None) -> dict[str, bytes]:
    """Draw `nasjac.models.theory`'s summary, as files by name; `curves` are the norms at each of the densities [S]."""
    figures = {"norms": norms(summary), "path_lengths": path_lengths(summary)}
    if curves is not None:
        figures["skip_density"] = skip_density(summary, densities, curves)
    files: dict[str, bytes] = {}
    for name, figure in figures.items():
        files |= drawn(figure, name, columns=2)
    return files


def norms(summary: Mapping[str, Any]) -> Figure:
    """log 𝒥 from h_0 to each layer, and from each layer to the output."""
    figure = sheet(7.4, 4.6)
    axes = style(figure.add_subplot())
    axes.axhline(0, color=DARK, linewidth=0.8, linestyle=":")
    labels = {"forward": "forward: from $h_0$ to $h_l$", "backward": "backward: from $h_l$ to $h_L$"}
    for (direction, label), colour in zip(labels.items(), LINES[::2], strict=False):
        mean, typical = summary[f"{direction}_log_norm"], summary[f"{direction}_typical_log_norm"]
        axes.plot(mean, color=colour, linewidth=1.8, label=label)
        if typical != mean:
            axes.plot(typical, color=colour, linewidth=1.4, linestyle="--", label="typical over skip patterns")
    axes.set(xlabel="layer l", ylabel=LOG_NORM)
    return titled(figure, axes, summary)


def skip_density(summary: Mapping[str, Any], densities: Array, curves: ExpectedNorms) -> Figure:
    """log 𝒥 of the whole over the skip density: its mean and what is typical, with both critical densities."""
    figure = sheet(7.4, 4.6)
    axes = style(figure.add_subplot())
    axes.axhline(0, color=DARK, linewidth=0.8, linestyle=":")
    lines = (
        ("mean over skip patterns", curves.forward, LINES[0], summary["s_annealed"], "$s^*$"),
        ("typical over skip patterns", curves.forward_typical, LINES[2], summary["s_quenched"], "$s_q$"),
    )
    for label, curve, colour, critical, name in lines:
        axes.plot(densities, curve[:, -1], color=colour, linewidth=1.8, label=label)
        if critical is not None:
            axes.plot(critical, 0.0, "o", color=colour, markersize=7, label=f"{name} = {critical:.4g}")
    axes.set(xlabel="skip density s", ylabel=LOG_NORM, xlim=(0, 1))
    return titled(figure, axes, summary)


def path_lengths(summary: Mapping[str, Any]) -> Figure:
    """Share of the Jacobian's energy on paths of each length, the effective depth marked."""
    from matplotlib.ticker import MaxNLocator

    figure = sheet(7.4, 4.6)
    axes = style(figure.add_subplot())
    probability: Sequence[float] = summary["path_length_probability"]
    shown = np.flatnonzero(np.asarray(probability) > 1e-4 * max(probability)).tolist()
    axes.bar(shown, [probability[length] for length in shown], color=LINES[1], width=0.8, label="share of the energy")
    depth = summary["effective_depth"]
    axes.axvline(depth, color=LINES[0], linewidth=1.6, linestyle="--", label=f"effective depth {depth:.4g}")
    axes.set(xlabel="path length (blocks)", ylabel="energy-weighted probability")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return titled(figure, axes, summary)


def titled(figure: Figure, axes: Axes, summary: Mapping[str, Any]) -> Figure:
    """The figure with the architecture above it: its key, depth, width, placement, activation, and where the norms hold."""
    spec = summary["spec"]
    parts = [f"{len(spec['blocks'])} blocks", f"width {spec['width']}", spec.get("placement", "none")]
    validity = "exact at any width" if summary["exact"] else r"$N \to \infty$"
    title = ", ".join([summary["key"], *parts, spec.get("activation", "relu"), validity])
    axes.set_title(title, fontsize=10, loc="left")
    return figure
