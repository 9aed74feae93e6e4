"""The figure of a prescription: 𝒥 along the layers before it and after each change that brings it to criticality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nasjac.models.closed_form_figures import LOG_NORM, panel
from nasjac.models.prescribed_spec import CheckedNorms, SpecPrescription
from nasjac.reporting.canvas import DARK, GREY, LINES, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(found: SpecPrescription) -> dict[str, bytes]:
    """Draw log 𝒥 from h_0 to each layer before and after each change, as files by name.

    Lines are the closed form, dots with 2 standard errors what E log 𝒥 was sampled to be.
    """
    figure, axes = panel(found.spec, found.exact, height=4.8)
    low, high = found.band.target - found.band.tolerance, found.band.target + found.band.tolerance
    axes.axhspan(low, high, color=GREY, alpha=0.2, linewidth=0, label="critical at $h_L$")
    _line(axes, found.norms, DARK, "before")
    feasible = [change for change in found.changes if change.norms is not None]
    for change, colour in zip(feasible, LINES, strict=False):
        turn = change.prescription
        assert change.norms is not None
        _line(axes, change.norms, colour, f"{turn.knob} {_value(turn.before)} → {_value(turn.after)}")
    axes.set(xlabel="layer l", ylabel=f"forward {LOG_NORM}")
    return drawn(figure, "profiles", columns=2)


def _line(axes: Axes, norms: CheckedNorms, colour: str, label: str) -> None:
    axes.plot(norms.forward_log_norm, color=colour, linewidth=1.8, label=label)
    if norms.sampled_mean_log is not None and norms.sampled_mean_log_error is not None:
        last, error = len(norms.forward_log_norm) - 1, 2 * norms.sampled_mean_log_error
        axes.errorbar(last, norms.sampled_mean_log, error, fmt="o", color=colour, markersize=5, capsize=3)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
