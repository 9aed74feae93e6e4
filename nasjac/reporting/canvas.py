"""What every figure shares: size, axes, colours, and how it is saved. No state outside the figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart, and three more
LINES = ("#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#7B3294", "#8C510A", "#E69F00")
GREY, DARK = "#9AA0A6", "#222222"
DPI = 160


def sheet(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure  # late: most commands draw nothing

    return Figure(figsize=(width, height), layout="constrained")


def style(axes: Axes) -> Axes:
    """The axes with a light grid and without a frame."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def save(figure: Figure, paths: Path | Sequence[Path], columns: int) -> None:
    """Write the figure with its legend below, in `columns`; each path's suffix says whether as PNG or SVG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if any(axes.get_legend_handles_labels()[0] for axes in figure.axes):
        figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    FigureCanvasAgg(figure)
    for path in [paths] if isinstance(paths, Path) else paths:
        figure.savefig(path, dpi=DPI)
