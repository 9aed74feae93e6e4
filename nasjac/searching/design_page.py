"""A design's shapes as rows for people, as a figure and as an HTML page."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from nasjac.reporting.canvas import DARK, LINES, drawn, sheet, style
from nasjac.searching.page import table

if TYPE_CHECKING:
    from nasjac.searching.design_result import Design

PAGE = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))


def rows(found: Design) -> list[dict[str, object]]:
    """Return a row of named values for each shape, numbers as people read them."""
    return [
        {
            "key": shape.key,
            "blocks": shape.depth,
            "width": shape.width,
            "params": short(shape.params),
            "all params": short(shape.all_params),
            "FLOPs": short(shape.flops),
            "effective depth": round(shape.effective_depth, 2),
            "E log J": None if shape.mean_log is None else round(shape.mean_log, 2),
            "±": None if shape.standard_error is None else round(shape.standard_error, 2),
            "narrowing": None if shape.narrowing is None else round(shape.narrowing, 2),
            "source": shape.source,
            f"GiB to train, batch {found.batch}": round(shape.training_bytes / 2**30, 3),
        }
        for shape in found.shapes
    ]


def notes(found: Design) -> list[str]:
    """Return the sentences under the table."""
    lines = [
        "E log J is that of the squared Jacobian norm from h_0 to h_L per unit, in nats: 0 keeps signals and gradients at "
        "their size, below they vanish and above they explode. ± is its standard error.",
        f"Parameters are those of the blocks, and with {found.inputs} inputs and {found.outputs} outputs of all. FLOPs are "
        "those of the blocks for one sample. Memory is that of a step of AdamW in float32.",
    ]
    if any(shape.narrowing is not None for shape in found.shapes):
        lines.append(
            "Wide networks are sampled at a smaller width. Narrowing is what half of that width changes, which is about "
            "what the full width would change again."
        )
    return lines


def short(count: int) -> str:
    """Return a large number in three digits with its unit, as budgets are written.

    >>> [short(count) for count in (950, 12_345, 50_000_000, 2_100_000_000_000)]
    ['950', '12.3k', '50M', '2.1T']
    """
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def figure(found: Design) -> dict[str, bytes]:
    """Return the figure's files by name: E log 𝒥 and effective depth over the number of blocks."""
    sheet_ = sheet(9.0, 3.6)
    left, right = (style(axes) for axes in sheet_.subplots(1, 2))
    known = [(shape, shape.mean_log) for shape in found.shapes if shape.mean_log is not None]
    left.axhline(0, color=DARK, linewidth=0.8, linestyle=":")
    left.errorbar(
        [shape.depth for shape, _ in known],
        [value for _, value in known],
        yerr=[1.96 * (shape.standard_error or 0.0) for shape, _ in known],
        fmt="o",
        color=LINES[0],
        markersize=5,
    )
    left.set(xlabel="blocks", ylabel="E log J (nats)", title="Jacobian norm, 95% intervals")
    right.plot(
        [shape.depth for shape in found.shapes], [shape.effective_depth for shape in found.shapes], "o", color=LINES[2]
    )
    right.set(xlabel="blocks", ylabel="effective depth", title="Effective depth")
    return drawn(sheet_, "shapes", columns=1, formats=["png"])


def files(found: Design) -> dict[str, bytes]:
    """Return the page and its figure by name; the page has the figure inside."""
    image = figure(found)
    source = base64.b64encode(image["shapes.png"]).decode()
    page = PAGE.substitute(
        title=escape(f"nasjac: {len(found.shapes)} shapes of {found.space}"),
        table=table(rows(found)),
        figure=f'<img alt="E log J and effective depth by blocks" src="data:image/png;base64,{source}">',
        notes="".join(f"<p>{escape(line)}</p>" for line in notes(found)),
        specs="".join(f"<pre>{escape(shape.spec.to_json())}</pre>" for shape in found.shapes),
    )
    return {"design.html": page.encode(), **image}
