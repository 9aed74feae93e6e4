"""The figures of the closed forms: 𝒥 along the layers, also after a prescription, over the skip density; path lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nasjac.architecture.spec import Spec
from nasjac.mathematics.meanfield import ExpectedNorms
from nasjac.mathematics.meanfield.moments import Array
from nasjac.models.closed_forms import Theory
from nasjac.models.prescribed_spec import CheckedNorms, SpecPrescription
from nasjac.reporting.canvas import DARK, FORMATS, GREY, LINES, drawn, sheet, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: the files of all figures, of which an architecture may have fewer
FILES = tuple(f"{name}.{form}" for name in ("norms", "path_lengths", "skip_density") for form in FORMATS)
LOG_NORM = r"$\log\,\mathcal{J}$ (nats)"


def draw(found: Theory, densities: Array, curves: ExpectedNorms | None) -> dict[str, bytes]:
    """Draw what theory says of an architecture, as files by name; `curves` are its norms at each of the densities [S]."""
    figures = {"norms": norms(found), "path_lengths": path_lengths(found)}
    if curves is not None:
        figures["skip_density"] = skip_density(found, densities, curves)
    return {file: content for name, figure in figures.items() for file, content in drawn(figure, name, 2).items()}


def norms(found: Theory) -> Figure:
    """log 𝒥 from h_0 to each layer, and from each layer to the output."""
    figure, axes = panel(found.spec, found.norms.exact)
    known = found.norms
    lines = (
        ("forward: from $h_0$ to $h_l$", known.forward_log_norm, known.forward_typical_log_norm, LINES[0]),
        ("backward: from $h_l$ to $h_L$", known.backward_log_norm, known.backward_typical_log_norm, LINES[2]),
    )
    axes.axhline(0, color=DARK, linewidth=0.8, linestyle=":")
    for label, mean, typical, colour in lines:
        axes.plot(mean, color=colour, linewidth=1.8, label=label)
        if typical != mean:
            axes.plot(typical, color=colour, linewidth=1.4, linestyle="--", label="typical over skip patterns")
    axes.set(xlabel="layer l", ylabel=LOG_NORM)
    return figure


def skip_density(found: Theory, densities: Array, curves: ExpectedNorms) -> Figure:
    """log 𝒥 of the whole over the skip density: its mean and what is typical, with both critical densities."""
    figure, axes = panel(found.spec, found.norms.exact)
    axes.axhline(0, color=DARK, linewidth=0.8, linestyle=":")
    lines = (
        ("mean over skip patterns", curves.forward, LINES[0], found.critical.s_annealed, "$s^*$"),
        ("typical over skip patterns", curves.forward_typical, LINES[2], found.critical.s_quenched, "$s_q$"),
    )
    for label, curve, colour, critical, name in lines:
        axes.plot(densities, curve[:, -1], color=colour, linewidth=1.8, label=label)
        if critical is not None:
            axes.plot(critical, 0.0, "o", color=colour, markersize=7, label=f"{name} = {critical:.4g}")
    axes.set(xlabel="skip density s", ylabel=LOG_NORM, xlim=(0, 1))
    return figure


def path_lengths(found: Theory) -> Figure:
    """Share of the Jacobian's energy on paths of each length, the effective depth marked."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = panel(found.spec, found.norms.exact)
    probability, depth = found.paths.path_length_probability, found.paths.effective_depth
    shown = np.flatnonzero(np.asarray(probability) > 1e-4 * max(probability)).tolist()
    axes.bar(shown, [probability[length] for length in shown], color=LINES[1], width=0.8, label="share of the energy")
    axes.axvline(depth, color=LINES[0], linewidth=1.6, linestyle="--", label=f"effective depth {depth:.4g}")
    axes.set(xlabel="path length (blocks)", ylabel="energy-weighted probability")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def draw_prescription(found: SpecPrescription) -> dict[str, bytes]:
    """Draw log 𝒥 from h_0 to each layer before and after each change, as files by name.

    Lines are the closed form, dots with 2 standard errors what E log 𝒥 was sampled to be.
    """
    figure, axes = panel(found.spec, found.exact, height=4.8)
    low, high = found.band.target - found.band.tolerance, found.band.target + found.band.tolerance
    axes.axhspan(low, high, color=GREY, alpha=0.2, linewidth=0, label="critical at $h_L$")
    _norms_line(axes, found.norms, DARK, "before")
    feasible = [change for change in found.changes if change.norms is not None]
    for change, colour in zip(feasible, LINES, strict=False):
        turn = change.prescription
        assert change.norms is not None
        _norms_line(axes, change.norms, colour, f"{turn.knob} {_value(turn.before)} → {_value(turn.after)}")
    axes.set(xlabel="layer l", ylabel=f"forward {LOG_NORM}")
    return drawn(figure, "profiles", columns=2)


def _norms_line(axes: Axes, norms: CheckedNorms, colour: str, label: str) -> None:
    axes.plot(norms.forward_log_norm, color=colour, linewidth=1.8, label=label)
    if norms.sampled_mean_log is not None and norms.sampled_mean_log_error is not None:
        last, error = len(norms.forward_log_norm) - 1, 2 * norms.sampled_mean_log_error
        axes.errorbar(last, norms.sampled_mean_log, error, fmt="o", color=colour, markersize=5, capsize=3)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def panel(spec: Spec, exact: bool, height: float = 4.6) -> tuple[Figure, Axes]:
    """One panel under the architecture's key, depth, width, placement and activation, and where its norms hold."""
    figure, content = sheet(7.4, height), spec.content
    axes = style(figure.add_subplot())
    parts = [f"{len(spec.blocks)} blocks", f"width {content['width']}", content.get("placement", "none")]
    validity = "exact at any width" if exact else r"$N \to \infty$"
    title = ", ".join([spec.key, *parts, content.get("activation", "relu"), validity])
    axes.set_title(title, fontsize=10, loc="left")
    return figure, axes
