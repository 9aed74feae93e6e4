"""The figure of the Jacobian profiles of models: forward, backward, and the weight gradients of their blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nasjac.models.diagnosis import Diagnosis
from nasjac.reporting.canvas import DARK, LINES, drawn, plain, sheet, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(found: Mapping[str, Diagnosis]) -> dict[str, bytes]:
    """Draw the diagnoses of models by their names, and return files by name.

    Each model has a colour. Bands are two standard errors; dashed lines are the norms of what differs between tokens.
    """
    figure = sheet(13.5, 4.8)
    panels = [style(axes) for axes in figure.subplots(1, 3)]
    titles = (
        r"forward: $\|\partial h_k/\partial h_0\|_F^2\,/\,N_k$",
        r"backward: $\|\partial h_K/\partial h_k\|_F^2\,/\,N_K$",
        r"weights: $\|\partial \langle v, h_K\rangle/\partial \theta_k\|^2\,/\,N_K$",
    )
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=10, loc="left")
        axes.set(xlabel="layer", ylabel="natural logarithm")
    for axes in panels[:2]:
        axes.axhline(0, color=DARK, linewidth=0.8, linestyle=":")
    for number, (name, one) in enumerate(found.items()):
        colour = LINES[::2][number % 4]
        for axes, direction in zip(panels, ("forward", "backward"), strict=False):
            layers = [layer for layer in one.layers if layer.direction == direction]
            labels = (plain(name), f"{plain(name)}: between tokens") if direction == "forward" else (None, None)
            _line(axes, [(at.mean_log, at.standard_error) for at in layers], colour, "-", labels[0])
            _line(axes, [(at.token_log_mean, at.token_log_mean_error) for at in layers], colour, "--", labels[1])
        _line(panels[2], [(at.weight_gradient, at.weight_gradient_error) for at in one.points], colour, "-", None)
    return drawn(figure, "profile", columns=min(4, 2 * len(found)))


def _line(
    axes: Axes, values: Sequence[tuple[float | None, float | None]], colour: str, dashes: str, label: str | None
) -> None:
    """Draw the points that have a value, joined, with a band of two standard errors."""
    known = [(n, value, 2 * (error or 0.0)) for n, (value, error) in enumerate(values) if value is not None]
    if not known:
        return
    at, value, band = zip(*known, strict=True)
    axes.plot(at, value, dashes, color=colour, linewidth=1.6, marker=".", markersize=5, label=label)
    low, high = ([v + sign * b for v, b in zip(value, band, strict=True)] for sign in (-1, 1))
    axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
