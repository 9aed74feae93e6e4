"""ResNet, DenseNet, plain network: whose Jacobian is well behaved? README.md beside this file tells.

    python experiments/013_resnet_vs_densenet_vs_plain/run.py [name=value ...]

Norms from h_0 to every layer of networks of images with equally many nonlinear layers, raw and per unit, without a norm and
with BatchNorm: plain (no skips), ResNet, ResNet with branches scaled by 1/√blocks, DenseNet. Writes profiles.csv, table.csv
and figure.png into `out`. The last line is one JSON object.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from nasjac import Block, Spec, measure
from nasjac.cli.experiment import experiment
from nasjac.datasets import Digits
from nasjac.foundation.text_tables import write_csv
from nasjac.reporting.canvas import DARK, LINES, save, sheet, style
from nasjac.scores.apjn import Apjn

NORMS = ("none", "batchnorm")
NETWORKS = ("plain", "resnet", "scaled resnet", "densenet")


@dataclass
class Options:
    """Networks of `layers` nonlinear layers (a block of a ResNet has two) on digits, `width` channels after the stem, a
    DenseNet adding `growth` a layer; He's gain; `draws` of the weights.
    """

    out: str = "reports/013_resnet_vs_densenet_vs_plain"
    width: int = 16
    growth: int = 4
    layers: list[int] = field(default_factory=lambda: [8, 16, 32, 64])
    draws: int = 32


def network(options: Options, name: str, norm: str, layers: int) -> Spec:
    """One of `NETWORKS`, before each convolution the norm and the activation."""
    common: dict[str, Any] = {"norm": norm, "order": "pre", "weight_gain": math.sqrt(2), "shape": (1, 8, 8)}
    if name == "densenet":
        return Spec.of(
            width=options.width, blocks=(Block(op="dense"),) * layers, kind="densenet", growth=options.growth, **common
        )
    count = layers // 2
    scale = 1 / math.sqrt(count) if name == "scaled resnet" else 1.0
    return Spec.of(
        width=options.width,
        blocks=(Block(op="basic", skip=float(name != "plain"), scale=scale),) * count,
        kind="resnet",
        **common,
    )


def profiles(options: Options, inputs: torch.Tensor) -> Iterator[dict[str, Any]]:
    """log ‖J_{0→l}‖² of each layer of each network, per unit of h_l and raw (per unit of h_0), natural logarithms."""
    score = Apjn(draws=options.draws, rel_error=None)
    for norm in NORMS:
        for layers in options.layers:
            specs = [network(options, name, norm, layers) for name in NETWORKS]
            for name, spec, found in zip(NETWORKS, specs, measure(specs, inputs, score), strict=True):
                sizes = [spec.width * math.prod(spec.shape[1:]), *(step.end.units for step in spec.steps)]
                ahead = [layer for layer in found.profile if layer.direction == "forward"]
                print(f"{norm}, {name}, {layers} layers: {found.status} {found.reason or ''}", flush=True)
                for number, layer in enumerate(ahead):
                    grown = math.log(sizes[number] / sizes[0])
                    yield {
                        "norm": norm,
                        "network": name,
                        "layers": layers,
                        "layer": number * layers // len(spec.blocks),
                        "per_unit": layer.mean_log,
                        "raw": None if layer.mean_log is None else layer.mean_log + grown,
                        "standard_error": layer.standard_error,
                    }


def ends(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The whole network's norm, of each depth."""
    return [row for row in rows if row["layer"] == row["layers"]]


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The deepest networks, layer by layer."""
    figure = sheet(10.5, 7.6)
    panels = figure.subplots(2, 2, sharex=True)
    deepest = max(row["layers"] for row in rows)
    for number, norm in enumerate(NORMS):
        for column, (what, title) in enumerate((("raw", "raw"), ("per_unit", "per unit"))):
            axes = style(panels[number, column])
            axes.axhline(0, color=DARK, linewidth=0.8, linestyle=":")
            heading = "no norm" if norm == "none" else "BatchNorm"
            axes.set_title(f"{heading}, {title}", fontsize=10, loc="left")
            axes.set(ylabel=r"E log $\|J_{0 \to l}\|^2$ (nats)", xlabel="nonlinear layers" if number else "")
            for colour, name in zip(LINES, NETWORKS, strict=False):
                own = [r for r in rows if (r["norm"], r["network"], r["layers"]) == (norm, name, deepest)]
                at = [row["layer"] for row in own]
                values = [math.nan if row[what] is None else row[what] for row in own]
                axes.plot(at, values, color=colour, label=None if number or column else name)
                errors = [2 * (row["standard_error"] or 0) for row in own]
                low, high = zip(*((v - e, v + e) for v, e in zip(values, errors, strict=True)), strict=True)
                axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
    save(figure, path, columns=len(NETWORKS))


@experiment(Options, __doc__)
def main(options: Options, folder: Path) -> dict[str, Any]:
    rows = list(profiles(options, Digits().load().train_inputs))
    write_csv(folder / "profiles.csv", rows)
    table = ends(rows)
    write_csv(folder / "table.csv", table)
    draw(rows, folder / "figure.png")
    return {"ends": table}


if __name__ == "__main__":
    main()
