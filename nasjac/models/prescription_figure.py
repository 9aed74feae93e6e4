"""The figure of a prescription: 𝒥 along the layers before it and after each change that brings it to criticality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nasjac.models.closed_form_figures import LOG_NORM, titled
from nasjac.reporting.canvas import DARK, GREY, LINES, drawn, sheet, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(summary: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw `nasjac.models.prescribe_spec`'s summary, as files by name."""
    return drawn(profiles(summary), "profiles", columns=2)


def profiles(summary: Mapping[str, Any]) -> Figure:
    """log 𝒥 from h_0 to each layer by the closed form, dots with 2 standard errors where E log 𝒥 was sampled."""
    figure = sheet(7.4, 4.8)
    axes = style(figure.add_subplot())
    target, tolerance = summary["target"], summary["tolerance"]
    axes.axhspan(target - tolerance, target + tolerance, color=GREY, alpha=0.2, linewidth=0, label="critical at $h_L$")
    _line(axes, summary, "before", DARK, "before")
    feasible = [change for change in summary["prescriptions"] if change["after"] is not None]
    for change, colour in zip(feasible, LINES, strict=False):
        _line(axes, change, "after", colour, f"{change['knob']} {_value(change['before'])} → {_value(change['after'])}")
    axes.set(xlabel="layer l", ylabel=f"forward {LOG_NORM}")
    return titled(figure, axes, summary)


def _line(axes: Axes, found: Mapping[str, Any], when: str, colour: str, label: str) -> None:
    axes.plot(found[f"forward_log_norm_{when}"], color=colour, linewidth=1.8, label=label)
    value, error = found[f"sampled_mean_log_{when}"], found[f"sampled_mean_log_error_{when}"]
    if value is not None and error is not None:
        last = len(found[f"forward_log_norm_{when}"]) - 1
        axes.errorbar(last, value, 2 * error, fmt="o", color=colour, markersize=5, capsize=3)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
