"""What every figure shares: size, axes, colours, and how it becomes a file. No state outside the figure."""

from __future__ import annotations

import io
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
FORMATS = ("png", "svg")


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


def drawn(figure: Figure, name: str, columns: int, formats: Sequence[str] = FORMATS) -> dict[str, bytes]:
    """Return the files of a figure with its legend below, in `columns`: `name`.png, `name`.svg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if any(axes.get_legend_handles_labels()[0] for axes in figure.axes):
        figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    FigureCanvasAgg(figure)
    files = {}
    for form in formats:
        stream = io.BytesIO()
        figure.savefig(stream, format=form, dpi=DPI)
        files[f"{name}.{form}"] = stream.getvalue()
    return files


def save(figure: Figure, paths: Path | Sequence[Path], columns: int) -> None:
    """Write the figure to paths; each one's suffix says whether as PNG or SVG."""
    chosen = [paths] if isinstance(paths, Path) else paths
    files = drawn(figure, "figure", columns, [path.suffix[1:] for path in chosen])
    for path in chosen:
        path.write_bytes(files[f"figure{path.suffix}"])


def plain(text: str) -> str:
    """Return a user's text as a figure shows it letter by letter, for between two $ matplotlib reads formulas."""
    return text.replace("$", r"\$")
