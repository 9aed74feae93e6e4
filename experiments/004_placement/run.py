"""Where the norm sits: does the Jacobian grow as a power of the depth, or exponentially? README.md beside this file tells.

    python experiments/004_placement/run.py [name=value ...]

Samples residual chains of every norm placement and of DeepNorm over depth beside the closed forms, fits laws of growth, and
takes one post-norm block apart. Writes table.csv, curves.csv, contraction.csv, layernorm.csv and figure.png into `out`. The
last line is one JSON object.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from nasjac import Block, Spec
from nasjac.architecture.branch_scales import deepnorm
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.cli.experiment import experiment
from nasjac.foundation.text_tables import write_csv
from nasjac.kinds.facts import columns
from nasjac.kinds.population import sample
from nasjac.mathematics.activations import ACTIVATIONS
from nasjac.mathematics.meanfield import Columns, expected_norms
from nasjac.mathematics.meanfield.chain import trajectory
from nasjac.mathematics.meanfield.expected import FINITE_WIDTH
from nasjac.mathematics.meanfield.moments import MOMENTS
from nasjac.mathematics.meanfield.norms import (
    layernorm_contracts,
    layernorm_energy,
    post_norm_factor,
)
from nasjac.mathematics.probes import sphere
from nasjac.reporting.canvas import DARK, GREY, LINES, save, sheet, style
from nasjac.sampling.draws import Draws

Array = NDArray[np.float64]
FEATURES = 32  # of the random inputs, of norm √FEATURES: what a norm does depends on the size of h_0, here K_0 = 1


@dataclass
class Options:
    """Chains of two-matrix branches, weight gain 1, at each of `widths` and `depths`; laws are fitted from `fit_from` on.

    `draws` of the weights for the chains; `block_width`, `block_depth`, `block_draws` for the post-norm block by itself.
    """

    out: str = "reports/004_placement"
    widths: list[int] = field(default_factory=lambda: [128, 256])
    depths: list[int] = field(default_factory=lambda: [4, 8, 16, 32, 48, 64, 96, 128])
    activations: list[str] = field(default_factory=lambda: ["relu", "tanh", "gelu"])
    fit_from: int = 16
    draws: int = 16
    block_width: int = 512
    block_depth: int = 16
    block_draws: int = 32
    seed: int = 0


class Estimate(NamedTuple):
    """A value and its standard error."""

    value: Any
    error: Any


def jackknife(function: Callable[[Array], Any], draws: Array) -> Estimate:
    """A function of the draws [D, ...], with its standard error by leaving out one draw at a time."""
    left_out = np.stack([function(np.delete(draws, draw, axis=0)) for draw in range(len(draws))])
    error = np.sqrt((len(draws) - 1) * np.mean((left_out - left_out.mean(axis=0)) ** 2, axis=0))
    return Estimate(function(draws), error)


def chain(name: str, activation: str, depth: int, width: int) -> Spec:
    """A chain of a placement, or of DeepNorm with the constants of an encoder of depth/2 layers, two blocks a layer.

    LN(α x + F) = LN(x + F/α), so DeepNorm is a post-norm with branches scaled by 1/α and weights of gain β.
    """
    if name != "deepnorm":
        return Spec.of(width=width, blocks=(Block(),) * depth, placement=name, activation=activation)
    alpha, beta = deepnorm(depth // 2)
    return Spec.of(
        width=width, blocks=(Block(scale=1 / alpha),) * depth, placement="post", activation=activation, weight_gain=beta
    )


NAMES = (*PLACEMENTS, "deepnorm")


@dataclass(frozen=True)
class Curve:
    """log E 𝒥 over the depths [P], in closed form and measured; `energy_DP` are the draws behind it.

    `line` is the closed form at all depths where one chain tells of them, else that at the depths alone.
    """

    name: str
    activation: str
    width: int
    closed: Array
    energy_DP: Array
    line: tuple[Array, Array]

    @property
    def measured(self) -> Estimate:
        return jackknife(lambda energy_DP: np.log(energy_DP.mean(axis=0)), self.energy_DP)


def curves(options: Options, width: int) -> Iterator[Curve]:
    """One chain of the greatest depth tells of all depths, layer by layer, but for DeepNorm, which knows its depth."""
    depths = np.array(list(options.depths))
    kinds = [(name, activation) for activation in options.activations for name in NAMES]
    lengths = {name: depths.tolist() if name == "deepnorm" else [int(depths.max())] for name in NAMES}
    specs = [chain(name, activation, depth, width) for name, activation in kinds for depth in lengths[name]]
    closed = expected_norms(columns(specs)).forward
    inputs = sphere(64, FEATURES, torch.Generator().manual_seed(options.seed))
    draws = Draws(options.seed, range(options.draws), torch.float32, torch.device("cpu"))
    energies = [np.exp(one.forward).mean(axis=(1, 2)) for one in sample(specs, inputs, draws)]
    rows = iter(range(len(specs)))
    for name, activation in kinds:
        if name == "deepnorm":
            own = [(row, depth) for depth, row in zip(depths, rows, strict=False)]
        else:
            row = next(rows)
            own = [(row, depth) for depth in depths]
        energy_DP = np.stack([energies[row][:, depth] for row, depth in own], axis=1)
        at_depths = np.array([closed[row, depth] for row, depth in own])
        every = np.arange(depths.min(), depths.max() + 1)
        line = (depths, at_depths) if name == "deepnorm" else (every, closed[row, every])
        yield Curve(name, activation, width, at_depths, energy_DP, line)


#: laws log 𝒥 = slope f(L) + constant
LAWS: dict[str, Callable[[Array], Array]] = {"exponential": lambda depth: depth, "root": np.sqrt, "power": np.log}
FLAT = 0.25  # nats: a closed form that moves less over the depths of the fit follows no law


def slopes(log_norm: Array, depths: Array) -> Array:
    """[3] least-squares slopes against L, √L and ln L."""
    return np.array([np.polyfit(law(depths), log_norm, 1)[0] for law in LAWS.values()])


def best_law(log_norm: Array, depths: Array) -> str:
    """The law with the smallest residual."""
    if np.ptp(log_norm) < FLAT:
        return "flat"
    residuals = {name: np.polyfit(law(depths), log_norm, 1, full=True)[1].sum() for name, law in LAWS.items()}
    return min(residuals, key=residuals.__getitem__)


def limit(name: str, activation: str) -> float:
    """The slope of the law for L → ∞, K_0 = 1, weight gain 1; a and c are the branch's energy and variance at K = 1.

    pre: 1 + a/(1 + c l) a block, so L^(a/c); sandwich: 1 + (a/c)/(1 + l), the same exponent. post: (1 + a)/(1 + c) a block.
    relu and (as K → ∞) gelu have energy 1/2 at every K: without norm ln(3/2) a block, with a norm on the branch L^1.
    tanh's falls as (4/3)/√(2πK) where K grows by 1 a block: (8/3)/√(2π) of √L. DeepNorm: its excess vanishes.
    """
    c, a = (float(moment[0]) for moment in MOMENTS[activation](np.ones(1)))
    bounded = activation == "tanh"
    root = 8 / 3 / math.sqrt(2 * math.pi)
    limits = {"none": root if bounded else math.log(1.5), "res_post": root if bounded else 1.0}
    return {**limits, "pre": a / c, "sandwich": a / c, "post": math.log((1 + a) / (1 + c)), "deepnorm": 0.0}[name]


def fit_row(curve: Curve, options: Options) -> dict[str, Any]:
    depths = np.array(list(options.depths), dtype=np.float64)
    late = depths >= options.fit_from
    closed = slopes(curve.closed[late], depths[late])
    energy_DP = curve.energy_DP[:, late]
    found = jackknife(lambda energy_DP: slopes(np.log(energy_DP.mean(axis=0)), depths[late]), energy_DP)
    value, error = (float(part[-1]) for part in curve.measured)
    law = best_law(curve.closed[late], depths[late])
    row = {"width": curve.width, "activation": curve.activation, "placement": curve.name, "law": law}
    row |= {"limit": limit(curve.name, curve.activation)}
    for number, name in enumerate(LAWS):
        row |= {f"{name}_closed": closed[number], name: found.value[number], f"{name}_se": found.error[number]}
    return rounded(row | {"log_norm_closed": curve.closed[-1], "log_norm": value, "log_norm_se": error})


def slope_deviation(row: Mapping[str, Any]) -> float:
    """|measured − closed| in standard errors of the slope of the law that a row of fits names; against L if it is flat."""
    law = "exponential" if row["law"] == "flat" else row["law"]
    return abs(row[law] - row[f"{law}_closed"]) / float(row[f"{law}_se"])


def curve_rows(curve: Curve, options: Options) -> Iterator[dict[str, Any]]:
    for at, depth in enumerate(options.depths):
        row = {"width": curve.width, "activation": curve.activation, "placement": curve.name, "depth": depth}
        value, error = curve.measured
        yield rounded(row | {"log_norm_closed": curve.closed[at], "log_norm": value[at], "log_norm_se": error[at]})


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(float(v), 5) + 0.0 if isinstance(v, (float, np.floating)) else v for name, v in row.items()}


class PostNorm(NamedTuple):
    """A case of x' = LN(x + W2 φ(W1 x + b1) + b2): the activation and the variances of the biases."""

    activation: str
    inner_bias: float = 0.0
    outer_bias: float = 0.0


CASES = tuple(PostNorm(name, *biases) for name in ("relu", "gelu", "tanh") for biases in ((0, 0), (0.5, 0), (0, 0.5)))


def contraction_row(case: PostNorm, options: Options) -> dict[str, Any]:
    """One block taken apart: the branch's energy a and variance c, what block and norm do, and the chain over depth."""
    biases = {"inner_bias": case.inner_bias, "outer_bias": case.outer_bias}

    def blocks(depth: int, on_sum: bool) -> Columns:
        return Columns([case.activation], True, 1.0, False, False, on_sum, np.ones((1, depth)), 1.0, 1.0, **biases)

    alone = trajectory(blocks(1, on_sum=False))
    a, c = float(alone.energy[0, 0]), float(alone.variance[0, 0])
    net = float(post_norm_factor(a, c))
    depth = int(max(options.depths))
    block, norm, rate = block_by_itself(case, options)
    row = {**case._asdict(), "a": a, "c": c, "block_alone": 1 + a, "norm_alone": 1 / (1 + c), "net": net}
    row |= {"net_from_chain": math.exp(float(expected_norms(blocks(depth, on_sum=True)).forward[0, -1]) / depth)}
    row |= {f"log_norm_{depth}": depth * math.log(net)}
    for name, found in (("block", block), ("norm", norm), ("net", rate)):
        row |= {f"{name}_measured": found.value, f"{name}_measured_se": found.error}
    return rounded(row)


def block_by_itself(case: PostNorm, options: Options) -> tuple[Estimate, Estimate, Estimate]:
    """Energy factors of the first block before its norm and of its norm, and the factor a block over `block_depth`."""
    function, derivative = ACTIVATIONS[case.activation]
    generator = torch.Generator().manual_seed(options.seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(options.block_draws, *shape, generator=generator)

    n = options.block_width
    x, tangent = normal(1, n), normal(1, n)
    x = torch.nn.functional.layer_norm(x, (n,))
    start = tangent.square().mean(-1)
    for number in range(options.block_depth):
        inner, outer = normal(n, n) / math.sqrt(n), normal(n, n) / math.sqrt(n)
        before = x @ inner + math.sqrt(case.inner_bias) * normal(1, n)
        x = x + function(before) @ outer + math.sqrt(case.outer_bias) * normal(1, n)
        tangent = tangent + (derivative(before, function(before)) * (tangent @ inner)) @ outer
        if not number:
            block = jackknife(np.mean, (tangent.square().mean(-1) / start)[:, 0].double().numpy())
            norm = jackknife(np.mean, layernorm_energy(x[:, 0].double().numpy(), eps=0.0) / n)
        x, tangent = torch.func.jvp(lambda y: torch.nn.functional.layer_norm(y, (n,), eps=0.0), (x,), (tangent,))
    energies = (tangent.square().mean(-1) / start)[:, 0].double().numpy()
    return block, norm, jackknife(lambda energy_D: energy_D.mean() ** (1 / options.block_depth), energies)


def layernorm_rows(options: Options) -> Iterator[dict[str, Any]]:
    """The norm by itself, gain 1, at vectors of some standard deviations."""
    x = np.random.default_rng(options.seed).standard_normal(options.block_width)
    x = (x - x.mean()) / x.std()
    for deviation in (0.02, 0.5, 0.999, 1.001, 2.0):
        energy = float(layernorm_energy(deviation * x, eps=0.0)) / len(x)
        yield {
            "deviation": deviation,
            "energy": round(energy, 4),
            "contracts": bool(layernorm_contracts(deviation * x, eps=0.0)),
        }


LOOK: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 4, "elinewidth": 0.9, "capsize": 2}
ROWS = ("log depth: powers are straight", "depth: exponentials are straight", "measured − closed form")


def draw(path: Path, found: list[Curve], options: Options) -> None:
    """Lines are closed forms, points are measured at the greatest width."""
    figure = sheet(4.3 * len(options.activations), 11.5)
    width = max(options.widths)
    every = figure.subplots(3, len(options.activations), squeeze=False, sharey="row")
    for column, activation in enumerate(options.activations):
        group = [curve for curve in found if curve.activation == activation and curve.width == width]
        for axes, text in zip(every[:, column], ROWS, strict=True):
            draw_group(style(axes), group, options, column, text)
        every[2, column].set_xlabel("depth L (blocks)")
    every[0, 0].set(ylim=(-1.2, 7.5), ylabel=r"$\log\,\mathrm{E}\,\mathcal{J}$ (nats), from −1.2 to 7.5")
    every[1, 0].set(ylim=(-2, 16), ylabel=r"$\log\,\mathrm{E}\,\mathcal{J}$ (nats), up to 16")
    every[2, 0].set_ylabel(f"nats, at width {width}")
    save(figure, path, columns=7)


def draw_group(axes: Axes, group: list[Curve], options: Options, column: int, text: str) -> None:
    depths = np.array(list(options.depths), dtype=np.float64)
    residual = text == ROWS[2]
    for number, (curve, colour) in enumerate(zip(group, LINES, strict=False)):
        value, error = curve.measured
        label = curve.name if not column and text == ROWS[0] else None
        if residual:  # side by side, or the points cover one another
            axes.errorbar(depths + number - len(group) / 2, value - curve.closed, error, color=colour, **LOOK)
        else:
            axes.plot(*curve.line, color=colour, label=label, linewidth=1.4)
            axes.errorbar(depths, value, error, color=colour, **LOOK)
    if residual:
        band = FINITE_WIDTH * depths / group[0].width
        axes.axhline(0, color=DARK, linewidth=0.8)
        axes.fill_between(depths, -band, band, color=GREY, alpha=0.2, linewidth=0, label=None if column else "±1.5 L/N")
    if text == ROWS[0]:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(StrMethodFormatter(""))
        axes.set_xticks([4, 8, 16, 32, 64, 128])
    axes.set_title(f"{group[0].activation}; {text}", fontsize=10, loc="left")


def summary(
    found: list[Curve], fits: list[dict[str, Any]], cases: list[dict[str, Any]], options: Options
) -> dict[str, Any]:
    """By width: the largest |measured − closed| in standard errors, and in units of 4 standard errors + 1.5 L/N, which it
    should not exceed."""
    depths = np.array(list(options.depths))
    within: dict[str, float] = {}
    largest: dict[str, float] = {}
    for curve in found:
        value, error = curve.measured
        gap, width = np.abs(value - curve.closed), str(curve.width)
        excess = gap / (4 * error + FINITE_WIDTH * depths / curve.width)
        within[width] = round(max(within.get(width, 0.0), float(excess.max())), 3)
        largest[width] = round(max(largest.get(width, 0.0), float((gap / error).max())), 2)
    widest = [row for row in fits if row["width"] == max(options.widths)]
    own = {width: [row for row in fits if row["width"] == width] for width in options.widths}
    return {
        "max_z": largest,
        "max_z_slope": {str(width): round(max(map(slope_deviation, rows)), 2) for width, rows in own.items()},
        "deviation_to_allowance": within,
        "laws": {f"{row['activation']} {row['placement']}": row["law"] for row in widest},
        "net_post": {f"{row['activation']} {row['inner_bias']:g} {row['outer_bias']:g}": row["net"] for row in cases},
        "max_z_net": round(max(abs(row["net_measured"] - row["net"]) / row["net_measured_se"] for row in cases), 2),
    }


@experiment(Options, __doc__)
def main(options: Options, out: Path) -> dict[str, Any]:
    found = [curve for width in options.widths for curve in curves(options, width)]
    fits, cases = [fit_row(curve, options) for curve in found], [contraction_row(case, options) for case in CASES]
    write_csv(out / "table.csv", fits)
    write_csv(out / "curves.csv", [row for curve in found for row in curve_rows(curve, options)])
    write_csv(out / "contraction.csv", cases)
    write_csv(out / "layernorm.csv", list(layernorm_rows(options)))
    draw(out / "figure.png", found, options)
    return summary(found, fits, cases, options)


if __name__ == "__main__":
    main()
