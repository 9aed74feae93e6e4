"""Is it the Jacobian that makes Post-LN hard to train? README.md beside this file tells.

    python experiments/009_preln_vs_postln/run.py [name=value ...]

Norms of decoders and encoders with the norm before the branch (pre) and on the sum (post), total and between tokens, over
depth, beside the closed form; weight gradients block by block; brief trainings on text with and without warm-up, each at
its best learning rate, with plain branches and with branches scaled until what differs between tokens passes alike.
Writes norms.csv, gradients.csv, trainings.csv and figure.png into `out`. The last line is one JSON object.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.ticker import ScalarFormatter
from scipy.optimize import brentq
from torch import nn

from nasjac import Block, Spec, build, diagnose, measure
from nasjac.architecture.norm_placement import PLACEMENTS as NORMS
from nasjac.cli.experiment import experiment
from nasjac.datasets import Text
from nasjac.foundation.text_tables import write_csv
from nasjac.mathematics.meanfield.token_stack import TokenStack
from nasjac.mathematics.meanfield.tokens import token_norms
from nasjac.reporting.canvas import DARK, LINES, save, sheet, style
from nasjac.scores.apjn import Apjn
from nasjac.trainers import AdamW

PLACEMENTS = ("pre", "post")


@dataclass
class Options:
    """Transformers of `width` in `heads` heads over `tokens` tokens; `depths` in layers, for the norms; `trained` those
    that are trained for `steps` of `batch` sequences at each of `rates`, with each `warmup` and from each of `seeds`.
    `query_gain` small, so that attention is nearly uniform, as the closed form has it. `matched` is how far from 0 the log
    of what passes between tokens may be where placements are matched, in nats.
    """

    out: str = "reports/009_preln_vs_postln"
    width: int = 64
    heads: int = 4
    tokens: int = 32
    depths: list[int] = field(default_factory=lambda: [6, 12, 24, 48, 96])
    query_gain: float = 0.25
    draws: int = 16
    trained: list[int] = field(default_factory=lambda: [2, 8])
    steps: int = 60
    batch: int = 32
    rates: list[float] = field(default_factory=lambda: [1e-3, 3e-3, 1e-2])
    warmup: list[float] = field(default_factory=lambda: [0.0, 0.2])
    seeds: list[int] = field(default_factory=lambda: [0, 1])
    matched: float = 0.15


def decoder(options: Options, placement: str, layers: int, scale: float = 1.0, query_gain: float | None = None) -> Spec:
    """A gelu decoder whose branches all have the same scale."""
    layer = (Block(op="attention", scale=scale), Block(scale=scale))
    return Spec.of(
        width=options.width,
        blocks=layer * layers,
        kind="transformer_lm",
        context=options.tokens,
        placement=placement,
        activation="gelu",
        ffn_ratio=4,
        heads=options.heads,
        query_gain=options.query_gain if query_gain is None else query_gain,
    )


def norms(options: Options, ids: torch.Tensor) -> Iterator[dict[str, Any]]:
    """Norms from h_0 to h_L of both architectures and placements over depth, sampled and by the closed form."""
    for placement in PLACEMENTS:
        specs = [decoder(options, placement, layers) for layers in options.depths]
        for layers, found in zip(
            options.depths, measure(specs, ids, Apjn(draws=options.draws, rel_error=None)), strict=True
        ):
            terms = {name: found.terms[name] for name in ("mean_log", "token_mean_log", "token_log_decorrelation")}
            values = {name: term.value for name, term in terms.items()} | {
                f"{name}_se": term.standard_error for name, term in terms.items()
            }
            yield row("decoder", placement, layers, options) | values
        for layers in options.depths:
            yield row("encoder", placement, layers, options) | encoder(options, placement, layers)


def row(kind: str, placement: str, layers: int, options: Options) -> dict[str, Any]:
    """What the closed form, with uniform attention, says of the total and of what differs between tokens."""
    causal = kind == "decoder"
    stack = TokenStack(options.tokens, layers, NORMS[placement][:3], "gelu", causal=causal)
    found = token_norms(stack)
    return {
        "kind": kind,
        "placement": placement,
        "layers": layers,
        "closed_total": float(found.forward_total[-1]),
        "closed_differential": float(found.forward_differential[-1]),
    }


def encoder(options: Options, placement: str, layers: int) -> dict[str, Any]:
    """torch's own encoder, initialized by the decoder's law, diagnosed."""

    def make() -> nn.Module:
        layer = nn.TransformerEncoderLayer(
            options.width,
            options.heads,
            4 * options.width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=placement == "pre",
        )
        network = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        deviation = options.width**-0.5
        for block in network.layers:
            attention = block.self_attn
            nn.init.normal_(attention.in_proj_weight, std=deviation)
            with torch.no_grad():
                attention.in_proj_weight[: 2 * options.width] *= options.query_gain
            nn.init.normal_(attention.out_proj.weight, std=deviation)
            nn.init.normal_(block.linear1.weight, std=deviation)
            nn.init.normal_(block.linear2.weight, std=deviation / 2)
            for bias in (attention.in_proj_bias, attention.out_proj.bias, block.linear1.bias, block.linear2.bias):
                nn.init.zeros_(bias)
        return network

    inputs = torch.randn(4, options.tokens, options.width, generator=torch.Generator().manual_seed(0))
    found = diagnose(make, inputs, layers="layers.*[0-9]", reinitialize=4)
    end = found.layers[len(found.points) - 1]
    share = found.points[-1].token_correlation
    return {
        "mean_log": end.mean_log,
        "mean_log_se": end.standard_error,
        "token_mean_log": end.token_log_mean,
        "token_mean_log_se": end.token_log_mean_error,
        "token_log_decorrelation": math.log1p(-share) if share is not None and share < 1 else None,
        "token_log_decorrelation_se": None,
    }


def gradients(options: Options, ids: torch.Tensor, layers: int) -> Iterator[dict[str, Any]]:
    """Weight-gradient norms block by block, with plain branches."""
    for placement in PLACEMENTS:
        module = build(decoder(options, placement, layers), int(ids.max()) + 1, 10, torch.Generator().manual_seed(0))
        found = diagnose(module, ids[:8], layers="blocks.*[0-9]")
        for number, point in enumerate(found.points[1:-1]):
            yield {
                "placement": placement,
                "layers": layers,
                "block": number,
                "weight_gradient": point.weight_gradient,
                "weight_gradient_se": point.weight_gradient_error,
            }


def matching_scale(options: Options, ids: torch.Tensor, placement: str, layers: int) -> float:
    """The largest scale of all branches, up to 1, at which |E log 𝒥_⊥| is `matched`; the same draws at every scale."""
    score = Apjn(draws=options.draws, rel_error=None)

    def excess(log_scale: float) -> float:
        spec = decoder(options, placement, layers, math.exp(log_scale), query_gain=1.0)
        [found] = measure([spec], ids, score)
        value = found.terms["token_mean_log"].value
        assert value is not None, found.reason
        return abs(value) - options.matched

    if excess(0.0) <= 0:
        return 1.0
    return math.exp(brentq(excess, math.log(1e-3), 0.0, xtol=0.02))


def trainings(options: Options, ids: torch.Tensor) -> Iterator[dict[str, Any]]:
    """Validation loss of each placement at each learning rate, with and without warm-up, plain and matched."""
    data = Text(context=options.tokens).load()
    for layers in options.trained:
        for placement in PLACEMENTS:
            scales = {"plain": 1.0, "matched": matching_scale(options, ids, placement, layers)}
            for name, scale in scales.items():
                spec = decoder(options, placement, layers, scale, query_gain=1.0)
                [known] = measure([spec], ids, Apjn(draws=options.draws, rel_error=None))
                for warmup in options.warmup:
                    trainer = AdamW(options.steps, options.batch, tuple(options.rates), tuple(options.seeds), warmup)
                    for run in trainer.train(spec, data):
                        yield {
                            "layers": layers,
                            "placement": placement,
                            "branches": name,
                            "scale": scale,
                            "mean_log": known.terms["mean_log"].value,
                            "token_mean_log": known.terms["token_mean_log"].value,
                            "warmup": warmup,
                            "learning_rate": run.learning_rate,
                            "seed": run.seed,
                            "loss": run.loss,
                            "status": run.status,
                        }
                print(f"{layers} layers, {placement}, {name} (scale {scale:.3g}): trained", flush=True)


def best(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each case the learning rate with the least mean loss over seeds; one that diverged is none."""
    cases: dict[tuple[Any, ...], dict[float, list[float]]] = {}
    facts = {}
    for entry in rows:
        case = tuple(entry[name] for name in ("layers", "placement", "branches", "warmup"))
        facts[case] = {name: entry[name] for name in ("scale", "mean_log", "token_mean_log")}
        losses = cases.setdefault(case, {}).setdefault(entry["learning_rate"], [])
        losses.append(math.inf if entry["loss"] is None else entry["loss"])
    table = []
    for case, by_rate in cases.items():
        rate, losses = min(by_rate.items(), key=lambda item: float(np.mean(item[1])))
        mean = float(np.mean(losses))
        spread = float(np.std(losses, ddof=1)) if len(losses) > 1 and math.isfinite(mean) else None
        names = dict(zip(("layers", "placement", "branches", "warmup"), case, strict=True))
        table.append(
            names
            | facts[case]
            | {"loss": mean if math.isfinite(mean) else None, "spread": spread, "seeds": len(losses)}
            | {"learning_rate": rate, "at_edge": rate in (min(by_rate), max(by_rate))}
        )
    return table


def gaps(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each pair of cases that differ in placement alone, post's loss less pre's with its standard error over seeds.

    `table` is what `best` returns. A pair without two finite losses of two seeds has none.
    """
    cases: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for entry in table:
        case = tuple(entry[name] for name in ("layers", "branches", "warmup"))
        cases.setdefault(case, {})[entry["placement"]] = entry
    found = []
    for case, pair in cases.items():
        losses, spreads = ([pair[placement][name] for placement in ("post", "pre")] for name in ("loss", "spread"))
        names = dict(zip(("layers", "branches", "warmup"), case, strict=True))
        if None not in (*losses, *spreads):
            seeds = pair["pre"]["seeds"]
            error = math.hypot(*spreads) / math.sqrt(seeds)
            found.append(names | {"gap": losses[0] - losses[1], "gap_se": error})
    return found


def draw(found: list[dict[str, Any]], slopes: list[dict[str, Any]], table: list[dict[str, Any]], path: Path) -> None:
    """Norms over depth, weight gradients by block, and losses."""
    figure = sheet(13.5, 7.6)
    panels = figure.subplots(2, 3)
    for column, kind in enumerate(("decoder", "encoder")):
        for number, what in enumerate(("mean_log", "token_mean_log")):
            axes = style(panels[number, column])
            axes.axhline(0, color=DARK, linewidth=0.8, linestyle=":")
            title = "total" if what == "mean_log" else "between tokens"
            axes.set_title(f"{kind}: {title}", fontsize=10, loc="left")
            axes.set(xlabel="layers", ylabel=r"$\log\,\mathcal{J}$ (nats)", xscale="log")
            for colour, placement in zip(LINES[::2], PLACEMENTS, strict=False):
                rows = [entry for entry in found if entry["kind"] == kind and entry["placement"] == placement]
                at = [entry["layers"] for entry in rows]
                closed = "closed_total" if what == "mean_log" else "closed_differential"
                label = (column, number) == (0, 0)
                axes.plot(at, [entry[closed] for entry in rows], "--", color=colour, linewidth=1)
                axes.errorbar(
                    at,
                    [math.nan if entry[what] is None else entry[what] for entry in rows],
                    [2 * (entry[f"{what}_se"] or 0) for entry in rows],
                    fmt="o-",
                    markersize=4,
                    color=colour,
                    label=f"{placement}-LN (dashes: closed form)" if label else None,
                )
            axes.set_xticks(sorted({entry["layers"] for entry in found}), minor=False)
            axes.set_xticks([], minor=True)
            axes.xaxis.set_major_formatter(ScalarFormatter())
    axes = style(panels[0, 2])
    axes.set_title("decoder: weight gradients", fontsize=10, loc="left")
    axes.set(xlabel="branch", ylabel="log squared norm")
    for colour, placement in zip(LINES[::2], PLACEMENTS, strict=False):
        rows = [entry for entry in slopes if entry["placement"] == placement]
        axes.plot([entry["block"] for entry in rows], [entry["weight_gradient"] for entry in rows], color=colour)
    axes = style(panels[1, 2])
    axes.set_title("validation loss at the best learning rate", fontsize=10, loc="left")
    names = [f"{entry['layers']} {entry['branches']}\nwarm-up {entry['warmup']:g}" for entry in table]
    places = list(dict.fromkeys(names))
    for offset, (colour, placement) in enumerate(zip(LINES[::2], PLACEMENTS, strict=False)):
        rows = [
            (places.index(name), entry) for name, entry in zip(names, table, strict=True) if entry["placement"] == placement
        ]
        axes.errorbar(
            [place + 0.15 * offset for place, _ in rows],
            [math.nan if entry["loss"] is None else entry["loss"] for _, entry in rows],
            [entry["spread"] or 0 for _, entry in rows],
            fmt="o",
            color=colour,
        )
    axes.set_xticks(range(len(places)), places, fontsize=6)
    axes.set(ylabel="cross-entropy (nats)")
    save(figure, path, columns=2)


@experiment(Options, __doc__)
def main(options: Options, folder: Path) -> dict[str, Any]:
    ids = Text(context=options.tokens).load().train_inputs
    found = list(norms(options, ids))
    write_csv(folder / "norms.csv", found)
    slopes = list(gradients(options, ids, max(options.trained)))
    write_csv(folder / "gradients.csv", slopes)
    runs = list(trainings(options, ids))
    write_csv(folder / "trainings.csv", runs)
    table = best(runs)
    draw(found, slopes, table, folder / "figure.png")
    return {"norms": found, "best": table, "gaps": gaps(table)}


if __name__ == "__main__":
    main()
