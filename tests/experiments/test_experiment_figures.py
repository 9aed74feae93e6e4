"""Every figure in an experiment's README is what its tables hold.

Of each experiment a function here says from the committed tables what its README must say: every row of its tables of text,
and fragments of its sentences. Rows have to be the same; each fragment has to be in the text, in this order of digits; and
what decimals are then left in the text are settings, which `SETTINGS` lists. So a table that is written anew fails until
its README says the same, and a new sentence with a figure fails until something here says where the figure comes from.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra.core.config_store import ConfigStore
from scipy import stats

from nasjac.mathematics.meanfield.moments import MOMENTS
from nasjac.tables.scores import TABLE_SCORES

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FIGURES: dict[str, Callable[[], Iterator[str]]] = {}

#: decimals that a README may state beside what its tables hold: what the run was told, and limits that are known
SETTINGS: dict[str, set[str]] = {}


def figures(name: str, settings: str = "") -> Callable[[Callable[[], Iterator[str]]], Callable[[], Iterator[str]]]:
    """Register what the README of experiment `name` must say; `settings` are decimals that it may say besides."""

    def register(function: Callable[[], Iterator[str]]) -> Callable[[], Iterator[str]]:
        FIGURES[name], SETTINGS[name] = function, set(settings.split())
        return function

    return register


def plain(text: str) -> str:
    """Without bold, line breaks and backslashes, one kind of minus."""
    return " ".join(text.replace("**", "").replace("\\", "").replace("−", "-").split())


def readme(name: str) -> str:
    return (EXPERIMENTS / name / "README.md").read_text()


def rows_of_text(name: str) -> list[str]:
    """The rows of a README's tables that hold a digit and are no heading."""
    lines = readme(name).splitlines()
    heads = {number for number, line in enumerate(lines[:-1]) if lines[number + 1].startswith("|---")}
    found = [line for number, line in enumerate(lines) if line.startswith("|") and number not in heads]
    return [plain(line) for line in found if not line.startswith("|---") and re.search(r"\d", line)]


def sentences(name: str) -> str:
    """A README without its tables and without indented commands."""
    kept = [line for line in readme(name).splitlines() if not line.startswith(("|", "    "))]
    return plain("\n".join(kept))


def table(name: str, file: str = "table.csv") -> pd.DataFrame:
    return pd.read_csv(EXPERIMENTS / name / file)


def run_of(name: str) -> ModuleType:
    """The experiment's script as a module; what it registers with Hydra is taken back."""
    store = ConfigStore.instance()
    kept = dict(store.repo)
    spec = importlib.util.spec_from_file_location(f"experiment_{name}", EXPERIMENTS / name / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    store.repo = kept
    return module


def f(value: float, digits: int, sign: bool = False) -> str:
    """A number with so many decimals, halves away from 0 as its decimals are written; with `sign` a plus too."""
    rounded = Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{rounded:+f}" if sign else f"{rounded:f}"


def short(value: float, digits: int = 3, sign: bool = False) -> str:
    """Without the zero before the point."""
    return f(value, digits, sign).replace("0.", ".", 1) if abs(value) < 1 else f(value, digits, sign)


def pm(value: float, error: float, digits: int) -> str:
    return f"{f(value, digits)} ± {f(error, digits)}"


def row(*cells: object) -> str:
    return plain("| " + " | ".join(str(cell) for cell in cells) + " |").replace("|  |", "| |")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of a 95% interval by Student's t."""
    array = np.asarray(values, dtype=float)
    half = stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / math.sqrt(len(array))
    return float(array.mean()), float(half)


def to(values: Any, digits: int) -> str:
    """least to largest."""
    return f"{f(min(values), digits)} to {f(max(values), digits)}"


@figures("001_recommended_against_random")
def recommended_against_random() -> Iterator[str]:
    found = table("001_recommended_against_random")
    for one in found.itertuples():
        accuracies = (f(x, 4) for x in (one.recommended, one.best_random, one.median_random))
        yield row(one.dataset, one.seed, *accuracies, f"{one.beaten} of {one.random}")
    wins = (found.recommended > found.best_random).sum()
    yield f"better than the best of its eight random rivals in {wins} of {len(found)} searches"
    yield f"better than {found.beaten.sum()} of {found.random.sum()} rivals"


@figures("002_skip_density", "0.375 0.25 -0.8 8.9 0.5")
def skip_density() -> Iterator[str]:
    critical, curves = table("002_skip_density"), table("002_skip_density", "curves.csv")
    for one in critical.itertuples():
        measured = (pm(getattr(one, n), getattr(one, f"{n}_se"), 4) for n in ("annealed", "stratified", "quenched"))
        annealed, stratified, quenched = measured
        yield row(f(one.chi, 2), f(one.s_star, 4), annealed, stratified, f(one.s_q, 4), quenched)
    z = {
        name: (critical[name] - critical[closed]) / critical[f"{name}_se"]
        for name, closed in (("annealed", "s_star"), ("stratified", "s_star"), ("quenched", "s_q"))
    }
    worst = max(z["stratified"].abs().max(), z["quenched"].abs().max())
    yield f"cross 0 within {f(worst, 1)} standard errors of where the closed forms do"
    yield f"crosses {', '.join(f(x, 1) for x in z['annealed'])} standard errors too high"
    at = {chi: own.set_index("s") for chi, own in curves.groupby("chi")}
    one = at[0.25].loc[0.375]
    yield f"e^{f(one.log_patterns, 1)}, about {f(math.exp(one.log_patterns), 0)} patterns"
    gap = (one.annealed - one.annealed_closed) / one.annealed_se
    yield f"{pm(one.annealed, one.annealed_se, 2)} for an exact {f(one.annealed_closed, 2)}"
    yield f"has missed ({f(-gap, 1)} standard errors off)"
    first = critical.iloc[0]
    yield f"up, by {pm(first.annealed - first.s_star, first.annealed_se, 3)} for χ = 0.25"
    for name, closed, text in (
        ("stratified", "annealed_closed", "gives the closed form to {} standard errors at most"),
        ("quenched", "quenched_closed", "no such tail and is at most {} standard errors off"),
    ):
        yield text.format(f(((curves[name] - curves[closed]) / curves[f"{name}_se"]).abs().max(), 1))


@figures("003_pruning", "0.05 1.0")
def pruning() -> Iterator[str]:
    found = table("003_pruning")
    for one in found[found.ratio.isin([0.1, 0.2, 0.3, 0.5, 0.8])].itertuples():
        norms = f(one.log_norm_closed, 3), pm(one.log_norm, one.log_norm_se, 3)
        removed = f(one.damage_closed, 3), pm(one.damage_removed, one.damage_removed_se, 3)
        alone = f(one.damage_wide, 3), pm(one.damage_alone, one.damage_alone_se, 3)
        yield row(one.criterion, f"{one.ratio:.0%}", one.paths, f(one.effective_depth, 2), *norms, *removed, *alone)
    at = found.set_index(["criterion", "ratio"])
    whole, weak, last = at.loc["last", 0.0], at.loc["lowest_energy", 0.5], at.loc["last", 0.5]
    yield f"2^20 = {int(whole.paths):,} paths"
    depths = [f(one.effective_depth, 2) for one in (whole, weak, last)]
    yield f"mean length is {depths[0]} branches"
    yield (
        f"leaves 2^10 paths and {depths[1]} of the {depths[0]}; pruning the last half leaves as many paths and {depths[2]}"
    )
    z = {}
    for name, closed in (("log_norm", "log_norm_closed"), ("damage_removed", "damage_closed")):
        own = found[found[f"{name}_se"] > 0]
        z[name] = ((own[name] - own[closed]) / own[f"{name}_se"]).abs().max()
    lengths = table("003_pruning", "lengths.csv")
    lengths = lengths[lengths.energy_closed > 1e-3]
    z["lengths"] = ((lengths.energy - lengths.energy_closed) / lengths.energy_se).abs().max()
    yield (
        f"(at most {f(z['log_norm'], 1)} and {f(z['damage_removed'], 1)} standard errors off, path lengths "
        f"{f(z['lengths'], 1)} where they have a thousandth of the energy or more)"
    )
    two = at.loc["lowest_energy", 0.1]
    ratio = two.damage_alone / two.damage_removed
    hurt = found[found.damage_removed > 0]
    assert math.isclose(ratio, (hurt.damage_alone / hurt.damage_removed).max())
    yield (
        f"removes {two.damage_removed:.0%} of the energy and does {two.damage_alone:.0%} damage, {f(ratio, 1)} times as "
        "much"
    )
    yield f"({f(at.loc['first', 0.1].damage_alone, 2)}: what is left points elsewhere)"
    fifth = [at.loc[name, 0.2].damage_alone for name in ("last", "lowest_energy")]
    yield f"`last` 20% is less damaged ({f(fifth[0], 3)}) than the one that lost its weakest 20% ({f(fifth[1], 3)})"
    less = [r for r in found.ratio.unique() if at.loc["last", r].damage_alone < at.loc["lowest_energy", r].damage_alone]
    assert less == [0.2, 0.4, 0.5, 0.6, 0.7]
    yield "so it is from 40% to 70%"
    own = found[found.criterion == "last"]
    assert (own.damage_alone == own.damage_removed).all()
    wide = hurt.damage_alone / hurt.damage_wide
    yield f"lies between {1 - wide.min():.0%} below it and {f(100 * (wide.max() - 1), 1)}% above"


LAWS = {"exponential": "exponential", "root": "√L", "power": "power", "flat": "flat"}
UNITS = {"exponential": "per block", "root": "per √L", "power": "exponent", "flat": "per block"}


@figures("004_placement", "0.25 1.5")
def placement() -> Iterator[str]:
    fits, curves = table("004_placement"), table("004_placement", "curves.csv")
    wide = fits[fits.width == 256]
    at = {}
    for one in wide.itertuples():
        law = "exponential" if one.law == "flat" else one.law
        digits = 3 if one.law in ("power", "root") else 4
        closed, slope, error = (getattr(one, f"{law}{end}") + 0.0 for end in ("_closed", "", "_se"))
        at[one.activation, one.placement] = one.limit, closed, slope, error
        limit = f"{f(one.limit, digits)} {UNITS[one.law]}"
        norms = f(one.log_norm_closed + 0.0, 2), pm(one.log_norm, one.log_norm_se, 2)
        closed_text = f(closed, digits).replace("-0.0000", "0.0000")
        slope_text = pm(slope, error, digits).replace("-0.0000 ", "0.0000 ")
        yield row(one.activation, one.placement, LAWS[one.law], limit, closed_text, slope_text, *norms).replace(
            "-0.00 ", "0.00 "
        )
    deviation = (curves.log_norm - curves.log_norm_closed).abs()
    z = (deviation / curves.log_norm_se).groupby(curves.width).max()
    share = (deviation / (4 * curves.log_norm_se + 1.5 * curves.depth / curves.width)).max()
    yield (
        f"No log E 𝒥 measured is more than {f(z[256], 1)} standard errors from the closed form at width 256, nor "
        f"{f(z[128], 1)} at width 128"
    )
    yield f"up to {share:.0%} of what is allowed"
    slope_z = fits.apply(run_of("004_placement").slope_deviation, axis=1)
    worst_at, most = fits.loc[slope_z.idxmax()], slope_z.groupby(fits.width).max()
    assert worst_at.width == 128 and worst_at.law == "power"
    yield (
        f"and no slope more than {f(most[256], 1)} and {f(most[128], 1)} ({worst_at.activation} with {worst_at.placement}, "
        f"{pm(worst_at.power, worst_at.power_se, 3)} for {f(worst_at.power_closed, 3)})"
    )
    assert set(wide.loc[wide.groupby("activation").log_norm_se.idxmax(), "placement"]) == {"post"}
    limit, closed, slope, error = at["tanh", "res_post"]
    yield (
        f"for tanh it tends to e^({f(limit, 2)} √L), for the branch saturates and is scaled up again (over these depths "
        "the "
        f"slope is still {f(closed, 2)}, measured {pm(slope, error, 2)})"
    )
    yield f"e^({f(at['tanh', 'post'][1], 3)} L) for tanh and e^({f(at['gelu', 'post'][1], 3)} L) for gelu"
    yield f"exactly flat for relu (measured: {pm(*at['relu', 'post'][2:], 4)} per block)"
    layer = table("004_placement", "layernorm.csv").set_index("deviation")
    assert layer.contracts.to_dict() == {0.02: False, 0.5: False, 0.999: False, 1.001: True, 2.0: True}
    yield (
        f"At σ = 0.02, as behind a small embedding, it multiplies the energy by {f(layer.energy[0.02], 0)}; at σ = 2 by "
        f"{f(layer.energy[2.0], 3)}"
    )
    found = table("004_placement", "contraction.csv")
    for one in found.itertuples():
        bias = "none" if not one.inner_bias + one.outer_bias else "inner, 0.5" if one.inner_bias else "outer, 0.5"
        verdict = "marginal" if one.net == 1 else "expands" if one.net > 1 else "contracts"
        measured = ((getattr(one, f"{n}_measured"), getattr(one, f"{n}_measured_se")) for n in ("norm", "block", "net"))
        norm, block, net = (pm(*pair, 3) for pair in measured)
        energies = f(one.a, 3), f(one.c, 3), f(one.norm_alone, 3), norm, f(one.block_alone, 3), block, f(one.net, 3), net
        yield row(one.activation, bias, *energies, f"{verdict}, {f(one.log_norm_128, 1)}")
    by = found.set_index(["activation", "inner_bias", "outer_bias"])
    for name in ("relu", "gelu", "tanh"):  # what biases do to a and c
        bare, inner, outer = (by.loc[name, i, o] for i, o in ((0, 0), (0.5, 0), (0, 0.5)))
        assert outer.a == bare.a and outer.c > bare.c and inner.c > bare.c and inner.a - bare.a < inner.c - bare.c
        assert np.sign(inner.a - bare.a) == {"relu": 0, "gelu": 1, "tanh": -1}[name]
    yield "they raise c, and move a less (gelu), not at all (relu) or down (tanh)"
    pairs = (("block_measured", "block_alone"), ("norm_measured", "norm_alone"), ("net_measured", "net"))
    worst = max(((found[a] - found[b]) / found[f"{a}_se"]).abs().max() for a, b in pairs)
    yield f"net as the factor a block over 16 blocks; at most {f(worst, 1)} standard errors off"
    ends = (
        fits[fits.placement.isin(["res_post", "sandwich"]) & (fits.activation == "relu")].groupby("width").log_norm_closed
    )
    assert ends.agg(np.ptp).max() < 1e-4  # the lines coincide


@figures("006_foreign_models", "0.02 0.94 2.2 2.5 5.24")
def foreign_models() -> Iterator[str]:
    found = table("006_foreign_models")

    def law(one: Any, which: str) -> str:
        name, rate, low, high = (one[f"{which}_{end}"] for end in ("law", "rate", "low", "high"))
        if pd.isna(name):
            return ""
        if low <= 0 <= high:
            return "flat"
        if name == "power law":
            return f"power {f(rate, 2)} ({f(low, 2)} to {f(high, 2)})"
        digits = 3 if abs(rate) < 0.01 else 2
        rate, low, high = (math.exp(x) for x in (rate, low, high))
        return f"×{f(rate, digits)} a block ({f(low, digits)} to {f(high, digits)})"

    for _, one in found.iterrows():
        alike = "" if pd.isna(one.output_correlation) else f(one.output_correlation, 3)
        norm, laws = pm(one.log_norm, one.error, 2), (law(one, "norm"), law(one, "token_differential"))
        yield row(one.model, one.blocks, norm, *laws, f(one.gradient_first_to_last, 2, sign=True), alike)
    at = {name: own.set_index("blocks") for name, own in found.groupby("model")}
    power = pd.concat([at["gpt2"], at["vit"]]).norm_rate
    yield f"with an exponent of {to(power, 2)} after an offset"
    moments = run_moments("gelu")
    yield f"S(1)/V(1) = {f(moments[1], 3)}/{f(moments[0], 3)} = {f(moments[1] / moments[0], 2)}"
    assert {f(x, 1) for x in at["gpt2"].log_norm} == {"4.9"}
    yield "its whole norm is 4.9 nats at every depth"
    assert {f(x, 1) for x in at["bert"].log_norm} == {"6.7"} and (at["bert"].norm_rate * at["bert"].index).abs().max() < 0.1
    yield "up: 6.7 nats"
    factors = [f(math.exp(x), 2) for x in at["resnet"].norm_rate]
    yield f"by a factor of {factors[0]} a block with 6 blocks, {factors[1]} with 12 and {factors[2]} with 24"
    yield f"by {f(math.exp(at['densenet'].norm_rate[24]), 2)} a block with 24 layers"
    assert all(at["densenet"].norm_high[n] < at["resnet"].norm_low[n] for n in (12, 24))
    assert at["densenet"].norm_high[6] > at["resnet"].norm_low[6]
    gradients = [to(at[name].gradient_first_to_last, 1) for name in ("gpt2", "vit")]
    yield f"by {gradients[0]} nats in GPT-2 and {gradients[1]} in ViT"


def run_moments(activation: str) -> tuple[float, float]:
    """V(1) and S(1)."""
    second, derivative = (float(moment[0]) for moment in MOMENTS[activation](np.ones(1)))
    return second, derivative


@figures("007_bdf2_stiff", "1.5 321.8")
def bdf2_stiff() -> Iterator[str]:
    found, matrices = table("007_bdf2_stiff"), table("007_bdf2_stiff", "matrices.csv")
    titles = {"robertson": "Robertson", "van_der_pol": "van der Pol", "hires": "HIRES"}
    at = found.set_index(["problem", "tolerance", "solver"])

    def power(value: float, digits: int) -> str:
        mantissa, exponent = f"{value:.{digits}e}".split("e")
        return f"{mantissa}e{exponent}"

    for problem, title in titles.items():
        for tolerance in sorted(found.tolerance.unique(), reverse=True):
            own, other = at.loc[problem, tolerance, "BDF-2"], at.loc[problem, tolerance, "Radau"]
            counts = (int(own[name]) for name in ("steps", "jacobians", "factorizations"))
            ends = (power(one.end_error, 1) for one in (own, other))
            seconds = (f(one.seconds, 2) for one in (own, other))
            error, second = next(ends), next(seconds)
            yield row(
                title,
                f"1e-{-math.log10(tolerance):.0f}",
                *counts,
                error,
                second,
                int(other.steps),
                next(ends),
                next(seconds),
            )
    run = run_of("007_bdf2_stiff")
    tables = {
        name: frame.replace({np.nan: None}).to_dict("records")
        for name, frame in (("table", found), ("matrices", matrices), ("orders", table("007_bdf2_stiff", "orders.csv")))
    }
    told = run.summary(run.Options(), tables)
    orders = list(told["last_order"].values())
    yield (
        f"{f(orders[0], 3)} from an exact start, {f(orders[1], 3)} after a step of backward Euler, {f(orders[2], 3)} on "
        "steps"
    )
    assert f(orders[3], 3) == f(orders[4], 3)
    yield f"and {f(orders[3], 3)} on Prothero and Robinson's problem"
    constants = list(told["last_error_to_h2"].values())
    yield f"(error {f(constants[0], 4)} h² and {f(constants[1], 4)} h²)"
    exponents = told["tolerance_exponent"]
    yield (
        f"to the power {f(exponents['robertson'], 2)} (Robertson), {f(exponents['van_der_pol'], 2)} (van der Pol) and "
        f"{f(exponents['hires'], 2)} (HIRES)"
    )
    ours = found[found.solver == "BDF-2"].set_index(["problem", "tolerance"])
    radau = found[found.solver == "Radau"].set_index(["problem", "tolerance"])
    excess = (ours.end_error / ours.index.get_level_values("tolerance")).unstack()
    yield f"is {to(excess[1e-3], 0)} times the tolerance at 1e-3 and {to(excess[1e-7], 0)} times at 1e-7"
    steps, decades = ours.steps / radau.steps, np.log10(ours.end_error / radau.end_error)
    yield f"takes {to(steps, 1)} times fewer steps and ends closer to the reference by {to(decades, 1)} decades"
    largest, least = told["largest_real"], told["least_real"]
    end = matrices[matrices.problem == "robertson"]
    assert end.real.max() == end[end.t == end.t.max()].real.max()
    yield (
        (
            f"({power(largest['robertson'], 1)} at Robertson's end, {power(largest['van_der_pol'], 1)} for van der Pol, "
            f"{power(largest['hires'], 1)} for HIRES)"
        )
        .replace("e+0", "e")
        .replace("e+", "e")
    )
    assert least["robertson"] == least["hires"] == 1
    yield f"van der Pol's growing components, by {f(1 - least['van_der_pol'], 3)}"
    complex_ones = matrices[matrices.imag != 0]
    assert len(complex_ones) < 0.1 * len(matrices) and (complex_ones.real - 1).abs().max() < 0.02
    yield f"(imaginary part up to {f(complex_ones.imag.abs().max(), 3)})"
    yield f"(up to {power(told['largest_condition']['robertson'], 1)} for Robertson)".replace("e+", "e")
    one = at.loc["robertson", 1e-6, "BDF-2"]
    yield f"It took {one.jacobians:.0f} Jacobians for Robertson's {one.steps:.0f} steps at 1e-6"
    assert round(one.steps / one.factorizations) == 8
    yield "an LU for every eighth step"


@figures("008_reactor", "2.30278 0.2356 -0.3184 2.04 0.8 1.2 0.0145 0.00203 0.016 0.12 0.17 0.05 -0.02794 0.6709 1.0")
def reactor() -> Iterator[str]:
    """The trajectories are not in a table; `tests/experiments/test_experiments.py` runs some."""
    titles = {
        "brusselator, fed with its state": "Brusselator, fed with its state",
        "brusselator, fed with nothing": "Brusselator, fed with nothing",
        "gray_scott": "Gray–Scott",
    }
    found, branches = table("008_reactor"), table("008_reactor", "branches.csv")
    for one in found.itertuples():
        state = f"({one.x1:.5g}, {one.x2:.6g})"
        leading = f"± {one.imag:.4g}i".replace("0.866i", "0.8660i") if one.kind == "hopf" else f"{one.real:g}"
        kind = {"hopf": "Hopf", "fold": "fold"}[one.kind]
        yield row(titles[one.tank], kind, f"{one.dilution:.10g}", state, leading, "yes" if one.changes_stability else "no")
    nothing = found[found.tank == "brusselator, fed with nothing"].iloc[0]
    yield f"D_c = {f(nothing.dilution, 5)} at x* = ({f(nothing.x1, 5)}, {f(nothing.x2, 5)}): five times below"
    assert round(0.5 / nothing.dilution) == 5
    fixed = branches[branches.tank == "brusselator, fed with its state"]
    assert np.allclose(fixed.abscissa, 0.5 - fixed.dilution, atol=1e-9)  # the shift is all there is
    yield "α = 1/2 - D, and D_c = 0.5"
    folds = found[(found.tank == "gray_scott") & (found.kind == "fold")].dilution.to_numpy()
    hopf = found[(found.tank == "gray_scott") & (found.kind == "hopf")].dilution.item()
    yield f"between folds at D = {folds[0]:g} and {folds[1]:g}, and are stable between a Hopf point at D = {f(hopf, 6)}"
    vessel = branches[branches.tank == "van_de_vusse"]
    best = vessel.loc[vessel.x2.idxmax()]
    yield (
        f"with α below {f(vessel.abscissa.max(), 3)} at every D between {vessel.dilution.min():.0f} and "
        f"{vessel.dilution.max():.0f}"
    )
    yield f"b is greatest, {f(best.x2, 3)} mol/l, at D = {f(best.dilution, 1)} per hour"


@figures("009_preln_vs_postln")
def preln_vs_postln() -> Iterator[str]:
    run = run_of("009_preln_vs_postln")
    runs, norms = table("009_preln_vs_postln", "trainings.csv"), table("009_preln_vs_postln", "norms.csv")
    best = run.best(runs.to_dict("records"))
    at = {(b["layers"], b["branches"], b["warmup"], b["placement"]): b for b in best}
    for layers, branches, warmup in dict.fromkeys((b["layers"], b["branches"], b["warmup"]) for b in best):
        cells: list[str] = []
        for placement in ("pre", "post"):
            one = at[layers, branches, warmup, placement]
            cells += [f"{one['scale']:.3g}", f(one["mean_log"], 2), f(one["token_mean_log"], 2)]
            cells += [pm(one["loss"], one["spread"], 3)]
        yield row(layers, branches, f"{warmup:g}", *cells)

    yield f"at most {f(run.Options().matched, 2)} from 0"
    post, pre = (norms[norms.placement == placement] for placement in ("post", "pre"))
    of = norms.set_index(["kind", "placement", "layers"])
    yield f"stays within {f(math.ceil(10 * post.mean_log.abs().max()) / 10, 1)} nats of 0 at every depth"
    fallen, grown = ([of.loc[kind, p, 48].token_mean_log for kind in ("decoder", "encoder")] for p in ("post", "pre"))
    deepest = [of.loc[kind, "pre", 96].token_mean_log for kind in ("decoder", "encoder")]
    yield f"falls to {f(fallen[0], 0)} (decoder) and {f(fallen[1], 0)} (encoder) at 48 layers"
    yield f"to {f(grown[0], 1)} and {f(grown[1], 1)}, and to {f(deepest[0], 1)} and {f(deepest[1], 1)} at 96"
    pairs = (("mean_log", "closed_total"), ("token_mean_log", "closed_differential"))
    yield f"to within {f(max(((pre[a] - pre[b]) / pre[f'{a}_se']).abs().max() for a, b in pairs), 1)} standard errors"
    shallow = post[post.layers <= 48]
    yield f"above E log 𝒥 by {to(shallow.closed_total - shallow.mean_log, 2)} nats"
    decoder, encoder = (of.loc[kind, "post", 48] for kind in ("decoder", "encoder"))
    off = [one.closed_differential - one.token_mean_log for one in (decoder, encoder)]
    yield (
        f"it lies {f(off[0], 1)} above what is sampled (decoder), and {f(-off[1], 1)} below (encoder, "
        f"{f(-off[1] / encoder.token_mean_log_se, 1)} standard errors)"
    )
    yield f"e^{f(decoder.token_log_decorrelation, 0)} differs between tokens after 48 decoder layers"
    last = [of.loc[kind, "post", 96] for kind in ("decoder", "encoder")]
    yield f"(e^{f(last[0].token_log_decorrelation, 0)})"
    sampled, closed = ([f(one[name], 0) for one in last] for name in ("token_mean_log", "closed_differential"))
    yield f"sampled {sampled[0]} and {sampled[1]} are a floor: the closed form has {closed[0]} and {closed[1]}"

    slopes = table("009_preln_vs_postln", "gradients.csv")
    yield f"level over the branches ({to(slopes[slopes.placement == 'post'].weight_gradient, 1)} nats)"
    falls = slopes[slopes.placement == "pre"].weight_gradient.to_numpy()
    assert falls[0] > falls[-2] and falls[1] > falls[-1]
    yield (
        f"from {f(falls[0], 1)} to {f(falls[-2], 1)} in attention and from {f(falls[1], 1)} to {f(falls[-1], 1)} in FFN "
        "branches"
    )

    def loss(layers: int, branches: str, warmup: float, placement: str) -> float:
        return float(at[layers, branches, warmup, placement]["loss"])

    plain_post, plain_pre = ([f(loss(8, "plain", w, p), 2) for w in (0.0, 0.2)] for p in ("post", "pre"))
    yield (
        f"({plain_post[0]} without warm-up, {plain_post[1]} with it, against {plain_pre[0]} and {plain_pre[1]} for Pre-LN)"
    )
    matched = at[8, "matched", 0.0, "pre"]
    yield (
        f"bring them to {f(loss(8, 'matched', 0.0, 'post'), 2)}, but Pre-LN at the *same* norms "
        f"({f(matched['mean_log'], 1)} in "
        f"total, {f(matched['token_mean_log'], 2)} between tokens) to {f(matched['loss'], 2)}"
    )
    gap = {(g["layers"], g["branches"], g["warmup"]): pm(g["gap"], g["gap_se"], 2) for g in run.gaps(best)}
    yield f"is {gap[8, 'plain', 0.0]} plain and {gap[8, 'matched', 0.0]} with 𝒥 and 𝒥_⊥ matched"
    yield f"with warm-up {gap[8, 'plain', 0.2]} and {gap[8, 'matched', 0.2]}"
    rates = {case: one["learning_rate"] for case, one in at.items()}
    assert rates[8, "matched", 0.0, "post"] == 1e-3 and rates[8, "matched", 0.0, "pre"] == 1e-2
    seeds = runs[(runs.layers == 8) & (runs.branches == "matched") & (runs.warmup == 0.2) & (runs.placement == "post")]
    apart = seeds[seeds.learning_rate == rates[8, "matched", 0.2, "post"]].loss
    yield f"differ by {f(apart.max() - apart.min(), 2)}.)"
    scaled = [[f(loss(8, branches, w, "pre"), 2) for branches in ("plain", "matched")] for w in (0.0, 0.2)]
    yield f"({scaled[0][0]} to {scaled[0][1]} at 8 layers without warm-up, {scaled[1][0]} to {scaled[1][1]} with it)"
    helps = {case: loss(*case[:2], 0.0, case[2]) - loss(*case[:2], 0.2, case[2]) for case in
             ((layers, b, p) for layers in (2, 8) for b in ("plain", "matched") for p in ("pre", "post"))}  # fmt: skip
    yield f"(by {f(helps[8, 'plain', 'pre'], 2)} in pre, {f(helps[8, 'plain', 'post'], 2)} in post)"
    yield f"Post-LN of 2 (by {f(helps[2, 'plain', 'post'], 2)})"
    assert f(helps[2, "plain", "pre"], 2) == "0.00"
    assert all(helps[case] < 0 for case in ((2, "matched", "pre"), (8, "matched", "pre"), (8, "matched", "post")))
    assert at[2, "matched", 0.0, "post"]["scale"] == 1
    assert abs(at[2, "plain", 0.0, "post"]["token_mean_log"]) < run.Options().matched
    behind = {b: [f(loss(2, b, w, "post") - loss(2, b, w, "pre"), 2) for w in (0.0, 0.2)] for b in ("plain", "matched")}
    yield f"E log 𝒥_⊥ is within {f(run.Options().matched, 2)} as it is"
    yield (
        f"behind plain Pre-LN by {behind['plain'][0]} without warm-up and {behind['plain'][1]} with it, behind matched "
        "Pre-LN by "
        f"{behind['matched'][0]} and {behind['matched'][1]}"
    )
    agree = [
        max(
            abs(abs(at[layers, "matched", 0.0, "pre"][name]) - abs(at[layers, "matched", 0.0, "post"][name]))
            for layers in (2, 8)
        )
        for name in ("mean_log", "token_mean_log")
    ]
    yield f"agree in E log 𝒥 to {f(agree[0], 2)} and in |E log 𝒥_⊥| to {f(agree[1], 2)}"
    assert (pre.token_mean_log > 0).all()


@figures("010_leaky_blocks", "0.5 0.25 1.5")
def leaky_blocks() -> Iterator[str]:
    found, norms = table("010_leaky_blocks"), table("010_leaky_blocks", "norms.csv")
    at = found.set_index(["kind", "step"])

    def cell(kind: str, step: float) -> str:
        one = at.loc[kind, step]
        if not one.runs:
            return "refused, hD = 4" if kind == "leaky" else "not tried"
        if pd.isna(one.accuracy):
            return f"{int(one.diverged)} of {int(one.runs)} runs diverged"
        return pm(one.accuracy, one.half_interval, 3)

    titles = {"explicit": "explicit, D = 0", "leaky": "leaky, D = 1", "implicit": "implicit, D = 1"}
    for kind, title in {**titles, "implicit, no leak": "implicit, D = 0"}.items():
        yield row(title, *(cell(kind, step) for step in (0.25, 0.75, 4.0)))
    values = table("010_leaky_blocks", "eigenvalues.csv")
    spectra = {name: np.sort_complex((own.real + 1j * own.imag).to_numpy()) for name, own in values.groupby("matrix")}
    largest = {name: f(np.abs(own).max(), 4) for name, own in spectra.items()}
    yield (
        f"Largest moduli: J_F {largest['branch']}, explicit {largest['explicit']}, leaky {largest['leaky']}, implicit with "
        "the "
        f"leak {largest['implicit']}, implicit without it {largest['implicit, no leak']}"
    )
    assert np.abs(spectra["explicit"] - 0.5 - spectra["leaky"]).max() < 6e-14
    yield "are the explicit ones less 0.5, to 5e-14"
    of = norms.set_index(["kind", "step"])

    def norm(kind: str, step: float) -> str:
        return pm(of.loc[kind, step].mean_log, of.loc[kind, step].standard_error, 2)

    yield f"from {norm('explicit', 1.0)} at h = 1 to {norm('explicit', 4.0)} at h = 4 and {norm('explicit', 8.0)} at h = 8"
    yield f"falls: {f(of.loc['implicit', 1.0].mean_log, 2)}, {norm('implicit', 4.0)}, {norm('implicit', 8.0)}"
    known = norms[norms.closed_form.notna()]
    z = ((known.mean_log - known.closed_form) / known.standard_error).abs().max()
    yield f"the largest of {len(known)} deviations is {f(z, 1)} standard errors"
    yield f"{norm('implicit, no leak', 0.75)} at h = 0.75 against {norm('explicit', 0.75)} of explicit blocks"
    assert of.loc["implicit, no leak", 1.0].status == "diverged"
    yield f"{int(found.params.dropna().unique().item()):,} parameters"
    broken = at.loc["implicit", 4.0]
    yield f"the first after {broken.fewest_updates:.0f} updates"
    other = at.loc["implicit, no leak", 0.75]
    yield f"One of {int(other.runs)} runs at h = 0.75, D = 0 ended so too" if other.diverged == 1 else "?"
    seconds = found[found.kind.str.startswith("implicit")].seconds
    yield f"take {to(seconds.dropna(), 0)} s on a busy machine"
    yield f"of an explicit one take {f(at.loc['explicit', 0.25].seconds, 1)} s"


@figures("011_growing", "0.1")
def growing() -> Iterator[str]:
    found, bounds = table("011_growing"), table("011_growing", "bounds.csv")
    titles = {
        "shallow": "shallow, not grown",
        "zero_last": "zero_last",
        "rezero": "rezero (skipinit)",
        "small_gain": "small_gain",
        "copy": "copy",
        "naive": "naive",
    }
    arms = {name: own.set_index("seed").drop(columns="arm").sort_index() for name, own in found.groupby("arm")}

    def told(arm: str, figure: str, digits: int = 3) -> str:
        mean, half = interval(arms[arm][figure])
        return pm(mean, half, 2 if mean > 1 else digits)

    for arm, title in titles.items():
        losses = (told(arm, f"loss_{when}") for when in ("before", "grown", "end"))
        yield row(title, *losses, told(arm, "accuracy_grown"), told(arm, "accuracy_end"))
    scratch = "from_scratch"
    yield row("from_scratch (12 blocks, 400 steps)", "", "", told(scratch, "loss_end"), "", told(scratch, "accuracy_end"))

    mean = {arm: own.mean() for arm, own in arms.items()}
    for arm in ("zero_last", "rezero"):
        assert (arms[arm].loss_grown == arms[arm].loss_before).all()
    steps = [mean[arm].loss_grown - mean[arm].loss_before for arm in ("small_gain", "copy")]
    yield (
        f"small blocks within {f(math.ceil(100 * steps[0]) / 100, 2)}, copies within "
        f"{f(math.ceil(100 * steps[1]) / 100, 2)}"
    )
    yield f"multiplies the validation loss by {f(mean['naive'].loss_grown / mean['naive'].loss_before, 0)}"
    yield f"{told('zero_last', 'loss_end')} against {told('shallow', 'loss_end')})"
    behind = {arm: interval(arms[scratch].loss_end - arms[arm].loss_end) for arm in titles}
    assert [arm for arm, (gap, half) in behind.items() if gap > half] == ["zero_last", "rezero"]
    by = [pm(*behind[arm], 3) for arm in ("zero_last", "rezero")]
    yield f"whose {told(scratch, 'loss_end')} is behind `zero_last` by {by[0]} and `rezero` by {by[1]} (paired by network)"
    for arm in ("zero_last", "rezero", "small_gain", "copy"):
        gain, half = interval(arms["shallow"].loss_end - arms[arm].loss_end)
        assert gain < half, f"{arm} is better than the shallow network beyond the interval"

    medians = bounds.groupby("gain").median()
    for gain, one in medians.iterrows():
        epsilons = (
            f"{one.epsilon_spectral:#.3g}" if one.epsilon_spectral > 1 else f(one.epsilon_spectral, 3),
            f(one.epsilon_rms, 3),
        )
        counts = (one.worst_case, one.edge, one.rms, one.blocks_sigma_beyond_tau, one.blocks_loss_beyond_factor)
        yield row(gain, *epsilons, *(int(count) for count in counts))
    edge = (medians.blocks_sigma_beyond_tau / medians.edge)[medians.edge >= 5]
    yield f"passes 2 at {f(edge.min(), 2)} to {f(edge.max(), 1)} times its count wherever that is 5 or more"
    doubled = medians.blocks_loss_beyond_factor / medians.blocks_sigma_beyond_tau
    assert doubled.min() == 1 and doubled.max() <= 2
    assert (bounds.worst_case <= bounds.blocks_sigma_beyond_tau).all()
    yield f"{round((medians.blocks_sigma_beyond_tau / medians.worst_case).iloc[0], -1):.0f} times too careful at small ε"
    bears = medians.rms / medians.blocks_sigma_beyond_tau
    largest = sorted(bears.iloc[-2:])
    yield (
        f"allows {to(bears.iloc[:-2], 1)} times as many blocks as σ_max bears, at the two largest gains {f(largest[0], 1)} "
        f"and {f(largest[1], 1)}"
    )


@figures("012_pruning_trained")
def pruning_trained() -> Iterator[str]:
    run = run_of("012_pruning_trained")
    found = table("012_pruning_trained").replace({np.nan: None}).to_dict("records")
    assert {row["seed"] for row in found} == set(run.Options().seeds)

    def told(criterion: str, ratio: float, figure: str) -> str:
        own = [row[figure] for row in found if row["criterion"] == criterion and row["ratio"] == ratio]
        return pm(*interval(own), 3)

    columns = ("random", "alternate", "first", "last", "measured_energy", "output_damage", "taylor")
    for ratio in (0.25, 0.5, 0.75):
        yield row(int(16 * ratio), *(told(name, ratio, "accuracy") for name in columns))
    for ratio in (0.5, 0.75):
        yield row(f"{16 * ratio:.0f}, fine-tuned", *(told(name, ratio, "fine_tuned") for name in columns))
    same = run.same(found, "lowest_energy", "last")
    assert same[0] == same[1]
    yield "it prunes what `last` prunes in every network"
    yield "and what `measured_energy` prunes in {} of {}".format(*run.same(found, "measured_energy", "lowest_energy"))

    def points(pair: Sequence[float] | None) -> str:
        assert pair is not None
        return pm(100 * pair[0], 100 * pair[1], 1)

    half = {name: points(run.lost(found, name, 0.5)) for name in columns}
    yield f"{half['measured_energy']}, {half['output_damage']} and {half['last']} points of accuracy"
    yield f"a random half costs {half['random']}, every other branch {half['alternate']} and the first half {half['first']}"
    rivals = [points(run.lost(found, name, 0.5, than="measured_energy")) for name in ("random", "alternate")]
    yield f"A random half leaves {rivals[0]} points less than that of least measured energy, every other branch {rivals[1]}"
    for name in ("last", "measured_energy", "output_damage"):
        better, error = run.lost(found, "random", 0.25, than=name)
        assert better < error, f"{name} is better than a random quarter beyond the interval"
    tuned = [told("measured_energy", ratio, "fine_tuned") for ratio in (0.5, 0.75)]
    whole = told("first", 0.0, "accuracy")
    yield f"back to the whole network's {whole.split()[0]} ({tuned[0]})"
    short_by = points(run.lost(found, "measured_energy", 0.75, figure="fine_tuned"))
    yield f"branches left to {tuned[1]}, {short_by} points short of it"
    others = [
        [float(told(name, ratio, "fine_tuned").split()[0]) for name in ("random", "alternate", "first", "taylor")]
        for ratio in (0.5, 0.75)
    ]
    yield f"{to(others[0], 3)} with half of the branches, {to(others[1], 3)} with a quarter"
    yield f"the whole networks reach {whole}, fine-tuned {told('first', 0.0, 'fine_tuned')}"
    equal = {
        name: sorted(run.at_equal_depth(found, name, ratio) for ratio in (0.25, 0.375, 0.5, 0.625, 0.75))
        for name in ("first", "taylor")
    }
    yield f"the first branches leave {points(equal['first'][0])} to {points(equal['first'][-1])} points less"
    yield f"those of least Taylor value {points(equal['taylor'][0])} to {points(equal['taylor'][-1])}"
    behind = [points(run.lost(found, "taylor", ratio, than="random")) for ratio in (0.25, 0.5, 0.75)]
    yield f"({behind[0]}, {behind[1]} and {behind[2]} points less, of 4, 8 and 12 pruned)"


@figures("013_resnet_vs_densenet_vs_plain", "0.38")
def resnet_vs_densenet_vs_plain() -> Iterator[str]:
    found = table("013_resnet_vs_densenet_vs_plain").set_index(["norm", "network", "layers"])
    for norm, title in (("none", "none"), ("batchnorm", "BatchNorm")):
        for layers in (8, 16, 32, 64):
            values = [found.loc[norm, name, layers].per_unit for name in ("plain", "resnet", "scaled resnet", "densenet")]
            yield row(layers, title, *(f(x, 2) for x in (*values, found.loc[norm, "densenet", layers].raw)))

    def told(norm: str, network: str, digits: int, figure: str = "per_unit") -> str:
        one = found.loc[norm, network, 64]
        return pm(one[figure], one.standard_error, digits)

    yield (
        f"has {told('none', 'densenet', 2, 'raw')} after 64 layers, a scaled ResNet "
        f"{f(found.loc['none', 'scaled resnet', 64].raw, 2)}"
    )
    yield f"has {told('none', 'densenet', 2)}, the closest to 0 of all at every depth"
    closest = found.per_unit.abs().unstack("network").idxmin(axis=1)
    assert set(closest) == {"densenet"}
    assert (found.raw - found.per_unit).loc["none", "densenet", 64] == pytest.approx(math.log(17))
    yield f"272 channels instead of 16, which is {f(math.log(272 / 16), 2)} nats"
    resnet = found.loc["none", "resnet", 64].per_unit
    yield f"{told('none', 'resnet', 1)} nats at 64 layers, {f(math.exp(resnet / 32), 1)}-fold energy with each block"
    plain_one = found.loc["none", "plain", 64]
    yield f"A plain network loses {pm(-plain_one.per_unit, plain_one.standard_error, 1)}"
    yield f"{to([found.loc['none', 'scaled resnet', n].per_unit for n in (8, 16, 32, 64)], 2)} at every depth"
    exploding = found.loc["batchnorm", "plain", 64].per_unit
    yield f"explodes, {f(exploding / 64, 2)} nats a layer"
    assert f(math.log(math.pi / (math.pi - 1)), 2) == "0.38"
    yield (
        f"{told('batchnorm', 'plain', 1)} at 64 layers. A ResNet with BatchNorm grows like a power of depth, "
        f"{told('batchnorm', 'resnet', 1)}"
    )
    scaled, dense = (found.loc["batchnorm", name, 64] for name in ("scaled resnet", "densenet"))
    yield f"the scaled one has {f(scaled.per_unit, 1)}, the DenseNet {f(dense.per_unit, 1)} per unit, {f(dense.raw, 1)} raw"
    gap = (found.xs("scaled resnet", level="network") - found.xs("densenet", level="network")).per_unit
    yield (
        f"at 64 layers the two differ by {f(gap['batchnorm', 64], 2)} nats with BatchNorm ({f(scaled.per_unit, 2)} and "
        f"{f(dense.per_unit, 2)}; {f(gap['batchnorm', 8], 2)} at 8 layers) and by {f(gap['none', 64], 2)} without a norm"
    )


@figures("014_phase_diagram", "0.1 0.5 0.625 0.631 0.8 1.2")
def phase_diagram() -> Iterator[str]:
    run = run_of("014_phase_diagram")
    options, rows = run.Options(), table("014_phase_diagram").to_dict("records")
    groups = {name: [one for one in rows if one["placement"] == name] for name in options.placements} | {"all": rows}
    failure = {name: [1 - one["accuracy"] for one in own] for name, own in groups.items()}

    def ranks(predictor: str) -> list[str]:
        how = run.PREDICTORS[predictor]
        return [f(run.spearman([how(one) for one in own], failure[name]), 2) for name, own in groups.items()]

    titles = {
        "log_decorrelation": "-log (1 - c), closed form",
        "trainability_cost": "trainability cost, closed form",
        "abs_mean_log": "|E log 𝒥|, closed form",
        "depth": "depth",
        "s": "-s",
        "cut_blocks": "L (1 - s)",
    }
    for name, title in titles.items():
        yield row(title, *ranks(name))
    verdicts = {name: run.verdicts(options, own) for name, own in groups.items()}
    hindsight = f"best 1 - c in hindsight ({f(verdicts['all']['apart_in_hindsight'], 2)} over all)"
    for name, title in (
        ("norm", "|E log 𝒥| ≤ 5, stated beforehand"),
        ("correlation", "1 - c ≥ 0.1, stated beforehand"),
        ("both", "both"),
        ("correlation_in_hindsight", hindsight),
        ("depth_in_hindsight", "best depth in hindsight"),
    ):
        yield row(title, *(f(found[name], 2) for found in verdicts.values()))

    def with_interval(predictor: str) -> str:
        values = [run.PREDICTORS[predictor](one) for one in rows]
        low, high = run.bootstrap_interval(run.spearman, values, failure["all"], np.random.default_rng(0))
        return f"{ranks(predictor)[-1]} [{f(low, 2)}, {f(high, 2)}]"

    yield f"ranks the {len(rows)} cells of all three placements with a Spearman of {with_interval('log_decorrelation')}"
    yield f"]. |E log 𝒥| has {with_interval('abs_mean_log')}, depth alone {ranks('depth')[-1]}, s alone {ranks('s')[-1]}"
    yield f"L (1 - s), {with_interval('cut_blocks')}"
    yield f"Each placement by itself has {to([float(x) for x in ranks('log_decorrelation')[:-1]], 2)}"
    near = [one["accuracy"] for one in rows if abs(one["log_decorrelation"] - math.log(0.1)) < 0.3]
    yield f"near 1 - c = 0.1 they go from {to(near, 2)}"
    yield f"({f(float(np.mean(near)), 2)} in the mean of the {len(near)} cells within 0.3 nats of it)"
    at = {(one["placement"], one["depth"], one["s"]): one for one in rows}
    alone, less = at["pre", 64, 1.0], at["pre", 64, 0.875]
    yield (
        f"train at 64 blocks ({f(alone['accuracy'], 2)}), for there 1 - c falls slowest, to "
        f"e^{f(alone['log_decorrelation'], 1)}"
    )
    yield f"with s = 0.875 they do not ({f(less['accuracy'], 2)}), at e^{f(less['log_decorrelation'], 1)}"
    yield f"s = 1 fails at 64 blocks ({f(at['none', 64, 1.0]['accuracy'], 2)}, {f(at['post', 64, 1.0]['accuracy'], 2)})"
    critical = [at["none", depth, 0.625] for depth in options.depths]
    yield f"E log 𝒥 stays between {f(min(one['mean_log'] for one in critical), 1)} and 0 up to 64 blocks"
    assert max(one["mean_log"] for one in critical) < 0
    yield f"{', '.join(f(one['accuracy'], 2) for one in critical[2:])} at 8, 16, 32, 64"
    norm, apart, both = (verdicts["none"][name] for name in ("norm", "correlation", "both"))
    assert f(norm, 2) == f(apart, 2)
    yield (
        f"tells cells that train (balanced accuracy {f(norm, 2)}) about as well as 1 - c ≥ 0.1 does, and both together do "
        f"it best ({f(both, 2)})"
    )
    yield (
        f"({f(verdicts['pre']['norm'], 2)}, {f(verdicts['post']['norm'], 2)}), though in post the norm ranks cells as well "
        f"as 1 - c does ({ranks('abs_mean_log')[2]} and {ranks('log_decorrelation')[2]})"
    )
    low, high, higher = at["none", 16, 0.0], at["none", 32, 1.0], at["none", 64, 0.875]
    yield (
        f"(E log 𝒥 = {f(low['mean_log'], 1)} leaves {f(low['accuracy'], 2)}, +{f(high['mean_log'], 1)} leaves "
        f"{f(high['accuracy'], 2)}), but +{f(higher['mean_log'], 1)} leaves {f(higher['accuracy'], 2)}"
    )
    found = verdicts["all"]
    yield (
        f"({f(found['depth_in_hindsight'], 2)} against {f(found['correlation'], 2)} to {f(found['both'], 2)}), and the "
        f"best 1 - c is {f(found['apart_in_hindsight'], 2)}"
    )
    others = {gain: table("014_phase_diagram", f"gain_{gain}.csv").to_dict("records") for gain in (1.2, 0.8)}
    of_gain = {gain: run.verdicts(options, cells) for gain, cells in others.items()}
    yield "is {}, {} at gain 1.2, {} at gain 0.8".format(
        *(f(one["apart_in_hindsight"], 2) for one in (found, of_gain[1.2], of_gain[0.8]))
    )
    yield "tell cells that train with {} and {}".format(*(f(one["both"], 2) for one in of_gain.values()))
    single = run.at_one_depth(options, others[1.2])
    norms, outputs = (
        [f(single[name][depth], 2) for depth in (4, 8, 16, 32)] for name in ("abs_mean_log", "log_decorrelation")
    )
    yield f"({', '.join(norms[:3])} with failure over densities, where log (1 - c) has {', '.join(outputs[:3])})"
    yield f"At 32 blocks neither says much ({norms[3]}, {outputs[3]})"
    deep = [one for one in others[1.2] if one["depth"] == 64]
    yield f"E log 𝒥 goes up to {f(max(one['mean_log'] for one in deep), 0)} nats"
    yield f"nothing trains ({to([one['accuracy'] for one in deep], 2)})"
    told = {}
    for gain, cells in others.items():
        failed = [1 - one["accuracy"] for one in cells]
        names = ("log_decorrelation", "abs_mean_log", "depth")
        values = {name: [run.PREDICTORS[name](one) for one in cells] for name in names}
        told[gain] = [f(run.spearman(values[name], failed), 2) for name in names]
        if gain == 1.2:
            generator = np.random.default_rng(0)
            low, high = run.bootstrap_interval(run.spearman, values["log_decorrelation"], failed, generator)
            told[gain][0] += f" [{f(low, 2)}, {f(high, 2)}]"
    yield "Over all cells log (1 - c) has {}, |E log 𝒥| {}, depth {}".format(*told[1.2])
    yield f"where most chains vanish, they have {', '.join(told[0.8])}"
    assert sum(one["mean_log"] < 0 for one in others[0.8]) > len(others[0.8]) / 2
    single = run.at_one_depth(options, rows)
    shown = [value for name in ("s", "log_decorrelation") for value in single[name].values()]
    yield f"({to(shown, 2)} for either over the three placements"
    spread = [one["most"] - one["least"] for one in rows if one["wirings"] > 1]
    yield f"two wirings a cell, which differ by {f(float(np.mean(spread)), 2)} in the mean and {f(max(spread), 2)} at most"
    wirings = table("014_phase_diagram", "wirings.csv")
    yield f"two random wirings a cell, {len(wirings)} networks"
    assert wirings.diverged.sum() == 0


@figures("015_causality", "0.6 1.5 2.30 1.6 0.9 1.0")
def causality() -> Iterator[str]:
    run = run_of("015_causality")
    rows, found = table("015_causality").to_dict("records"), table("015_causality", "spearman.csv")
    at = found.set_index(["term", "among", "optimizer"])
    names = ("adamw", "sgd", "plain_sgd")
    losses = [f"{name}_loss" for name in names]

    def ranked(term: str, among: str) -> list[str]:
        own = (at.loc[term, among, name] for name in names)
        return [f"{f(one.rho, 2)} [{f(one.low, 2)}, {f(one.high, 2)}]" for one in own]

    for name, how in run.TERMS.items():  # the intervals were computed from these very rows
        for optimizer, loss in zip(names, losses, strict=True):
            rho = run.spearman([how(one) for one in rows], [one[loss] for one in rows])
            assert rho == pytest.approx(at.loc[name, "all", optimizer].rho)
    cost, norm = "trainability_cost", "abs_mean_log"
    for title, term, among in (
        ("cost S*", cost, "all"),
        ("-log (1 - c)", "log_decorrelation", "all"),
        ("-log r/N", "log_rank", "all"),
        ("sd log 𝒥", "sd_log", "all"),
        ("|E log 𝒥|", norm, "all"),
        ("-s, which needs no Jacobian", "s", "all"),
        ("gain", "gain", "all"),
        ("S* where the gain alone moves", cost, "gain moves"),
        ("S* where s alone moves", cost, "s moves"),
        ("S* where the placement alone moves", cost, "placement moves"),
        ("S* within a density (gain and placement move)", cost, "s held"),
        ("|E log 𝒥| where the gain alone moves, no norm", norm, "gain moves, none"),
    ):
        yield row(title, *ranked(term, among))
    placements = run.Options().placements
    within = [" / ".join(f(at.loc[cost, placement, name].rho, 2) for placement in placements) for name in names]
    yield row("S* within none / pre / post / res_post", *within)

    moved = {lever: [at.loc[cost, f"{lever} moves", name].rho for name in names] for lever in run.LEVERS}
    yield (
        f"the skip density ({to(moved['s'], 2)}), less where it is the gain ({to(moved['gain'], 2)}) or the placement "
        f"({to(moved['placement'], 2)})"
    )
    directions = run.gain_directions(run.Options(), rows)

    def three(one: Any) -> str:
        return ", ".join(f(one[loss] + 0.0, 1) for loss in losses)

    low, high = directions["none"]["0"], directions["none"]["1"]
    yield (
        f"raise the gain at s = 0 (Spearman {f(low[cost], 1)} of gain with cost) and to lower it at s = 1 "
        f"({f(high[cost], 1)})"
    )
    yield f"Loss has {three(low)} at s = 0, and {three(high)} at s = 1"
    assert max(abs(one["mean_log"]) for one in rows if one["placement"] == "post") < 1
    ends = [directions["post"][s][loss] for s in ("0.75", "1") for loss in losses]
    assert all(directions["post"][s][cost] == pytest.approx(1) for s in ("0.75", "1"))
    yield f"it goes with the cost at s = 0.75 and 1 ({to(ends, 1)})"
    between = [directions["none"][s] for s in ("0.25", "0.5", "0.75")]
    costs, adamw = (", ".join(f(one[name] + 0.0, 1) for one in between) for name in (cost, losses[0]))
    yield f"cost has {costs} at s = 0.25, 0.5, 0.75, AdamW's loss {adamw}"
    yield f"in pre at s = 1 cost has {f(directions['pre']['1'][cost], 1)}, loss {three(directions['pre']['1'])}"
    signs = [run.gain_signs(directions, loss) for loss in losses]
    settings = {sum(one.values()) for one in signs}
    same, other = ("{}, {} and {}".format(*(one[name] for one in signs)) for name in ("same", "other"))
    yield (
        f"Of the {settings.pop()} settings in which the gain moves the cost, loss has the cost's sign in {same}, the other "
        f"in {other}"
    )

    def gained(term: str, loss: str) -> str:
        one = run.against_adamw(rows, run.TERMS[term], loss)
        return f"{f(one['difference'], 2)} [{f(one['low'] + 0.0, 2).replace('-0.00', '0.00')}, {f(one['high'], 2)}]"

    yield f"to plain SGD |E log 𝒥| gains {gained(norm, losses[2])} and S* {gained(cost, losses[2])}"
    yield f"to SGD with momentum {gained(norm, losses[1])} and {gained(cost, losses[1])}"
    for term in ("sd_log", "log_rank", "log_decorrelation", "s"):
        assert at.loc[term, "all", "adamw"].rho > max(at.loc[term, "all", name].rho for name in names[1:])
    vanishing = [one for one in rows if one[cost] > 20]
    assert len(vanishing) == 5 and {one["placement"] for one in vanishing} == {"none"}
    assert all(one["mean_log"] < 0 and f(one[loss], 2) == "2.30" for one in vanishing for loss in losses[1:])
    assert sum(one["adamw_loss"] < 1.6 for one in vanishing) == 4
    told = {other: ", ".join(f(run.transfer(rows, loss, other), 2) for loss in losses) for other in (True, False)}
    yield f"Spearman {told[True]}, those of its own placement with {told[False]}".replace(
        "0.91, 0.88, 0.84", "0.91, 0.88, 0.84"
    )
    levers = ", ".join(f(run.transfer_by_levers(rows, loss), 2) for loss in losses)
    yield f"and gain tell it with {levers}, without any Jacobian"
    ranges = run.gain_ranges(run.Options(), rows)
    moves = [f(ranges[name][cost], 1) for name in ("none", "pre", "post")]
    logs = [f(ranges[name]["adamw_log_loss"], 2) for name in ("none", "pre", "post")]
    yield f"S* moves by {moves[0]}, {moves[1]} and {moves[2]} nats in none, pre and post"
    yield f"the log of AdamW's loss by {logs[0]}, {logs[1]} and {logs[2]}"
    apart = {name: float(np.median([one[f"{name}_seeds_apart"] for one in rows])) for name in names}
    yield f"two seeds are {f(apart['adamw'], 2)} apart"
    assert round(ranges["post"]["adamw_log_loss"] / ranges["pre"]["adamw_log_loss"]) == 5
    still = [[one for one in rows if (one["placement"], one["s"]) == ("res_post", s)] for s in run.Options().densities]
    most = max(
        np.ptp([one[term] for one in own])
        for own in still
        for term in ("mean_log", "sd_log", "log_rank", "log_decorrelation", cost)
    )
    yield f"(by {f(most, 4)} nats at most)"
    yield f"less loss at equal s: Spearman {', '.join(ranked('gain', 'gain moves, res_post'))}"
    effect = [f(ranges["res_post"][f"{name}_log_loss"], 2) for name in names]
    yield (
        f"({effect[0]} and {effect[1]} in log loss, which seeds do too), and larger under plain SGD ({effect[2]}, seeds "
        f"{f(apart['plain_sgd'], 2)})"
    )
    shares = [run.effects(rows, loss) for loss in losses]
    density, placement = (", ".join(f(one[lever], 2) for one in shares) for lever in ("s", "placement"))
    assert {f(one["gain"], 2) for one in shares} == {"0.03"}
    yield f"({density} of the variance of the loss's ranks; gain 0.03, placement {placement};"
    yield (
        f"under plain SGD (S* {f(at.loc[cost, 'all', 'plain_sgd'].rho, 2)} against "
        f"{f(at.loc['s', 'all', 'plain_sgd'].rho, 2)})"
    )
    terms = ("trainability_cost", "log_decorrelation", "log_rank", "sd_log", "abs_mean_log")
    assert all(max(at.loc[term, "all", n].rho for term in terms) <= at.loc["s", "all", n].rho for n in names[:2])
    edges = ", ".join(str(sum(one[f"{name}_at_edge"] for one in rows)) for name in names[:2])
    yield f"in {edges} and {sum(one['plain_sgd_at_edge'] for one in rows)} networks"
    yield f"{sum(one['plain_sgd_diverged'] for one in rows)} of 1,000 plain runs diverged"
    sizes = [sorted({one[name] for one in rows}) for name in ("flops", "params")]
    yield (
        f"{sizes[0][0]:,} FLOPs and {sizes[1][0]:,} parameters ({sizes[1][1]:,} with the norms' gains and biases, "
        f"{sizes[1][1] / sizes[1][0] - 1:.0%})"
    )


@figures("016_search_value", ".088 .151")
def search_value() -> Iterator[str]:
    """The two losses of former definitions are in no table."""
    arms, found = table("016_search_value", "arms.csv"), table("016_search_value")
    at = arms.set_index(["arm", "figure"])
    titles = {
        "merit": "merit, the default search",
        "jacobian": "search by cost and effective depth",
        "training": "random, each trained briefly",
        "halving": "successive halving",
        "largest": "the largest of 256",
        "random": "random",
    }

    def less(arm: str, figure: str) -> str:
        one = at.loc[arm, figure]
        return "" if arm == "merit" else f"{f(one.less_merit, 3, sign=True)} ± {f(one.half_interval, 3)}"

    for arm, title in titles.items():
        cells = []
        for setting in ("long", "wide"):
            means = (at.loc[arm, f"{setting}_{figure}"]["mean"] for figure in ("accuracy", "loss"))
            cells += [*(f(mean, 3) for mean in means), less(arm, f"{setting}_loss")]
        yield row(title, *cells)
    for arm in ("training", "halving", "random"):
        assert (at.loc[arm, "long_loss"].better, at.loc[arm, "long_loss"].equal) == (0, 0)
    for arm in ("jacobian", "training", "halving"):
        assert abs(at.loc[arm, "wide_loss"].less_merit) < at.loc[arm, "wide_loss"].half_interval
    assert at.loc["jacobian", "long_loss"].less_merit < at.loc["jacobian", "long_loss"].half_interval
    spread = [
        100 * np.ptp([at.loc[arm, f"{setting}_accuracy"]["mean"] for arm in ("merit", "jacobian", "training", "halving")])
        for setting in ("long", "wide")
    ]
    bounds = [f(math.ceil(10 * x) / 10, 1) for x in spread]
    yield f"within {bounds[0]} points after 600 steps, and within {bounds[1]} at four times the width"
    own = {arm: rows for arm, rows in found.groupby("arm")}
    looked = {arm: rows.looked_at.mean() for arm, rows in own.items()}
    yield f"looks at {looked['merit']:,.0f} architectures in the mean where training looks at {looked['training']:.0f}"
    yield f"which reach {to(own['largest'].long_accuracy, 2)} after 600 steps"
    merit = own["merit"]
    assert (merit.width == 32).all() and (merit.skip_density == 1).all() and (merit.activation == "tanh").all()
    assert (merit.branch == "two_matrix").all() and (merit.placement == "res_post").sum() == 4
    yield f"{merit.depth.min()} to {merit.depth.max()} blocks of 32 units, all with a skip, tanh"
    yield f"between {f(merit.weight_gain.min(), 2)} and the space's largest, 1.8"
    assert merit.weight_gain.max() <= 1.8
    sizes = {arm: f(rows.params.median() / 1000, 0) for arm, rows in own.items()}
    assert sizes["training"] == sizes["halving"]
    yield (
        f"have {sizes['merit']} thousand parameters in the median, those of training and of halving {sizes['training']} "
        "thousand"
    )


@figures("groundtruth")
def groundtruth() -> Iterator[str]:
    found, pilot = table("groundtruth", "groundtruth.csv.gz"), table("groundtruth", "pilot.csv")
    kinds = ("residual_mlp", "resnet", "transformer_lm")
    counts = found.groupby(["kind", "half"]).size()
    for kind in kinds:
        assert counts[kind, "choose"] == 2 * counts[kind, "report"]
        trials = (
            f"{int(one.steps)}: {short(one.accuracy)}, {short(one.loss)}" for one in pilot[pilot.kind == kind].itertuples()
        )
        yield row(f"`{kind}`", "; ".join(trials))
    headings = {
        "residual_mlp": ("4 to 32 blocks of 16 or 32 units, one or two matrices a branch", "digits", "100 x 64"),
        "resnet": ("two stages of 1 to 8 basic blocks, 8 channels at first", "digits", "60 x 64"),
        "transformer_lm": (
            "decoders of 1 to 6 layers, width 16 or 32, heads, FFN ratio, positions, logit scale",
            "help texts of CPython by characters, context 16",
            "240 x 16",
        ),
    }
    for kind, cells in headings.items():
        yield row(f"`{kind}`", counts[kind, "report"], *cells)
    assert found.key.nunique() == len(found)
    yield f"holds {len(found):,} random architectures of three kinds"
    run = run_of("groundtruth")
    rows = found.replace({np.nan: None})
    agreed = {
        (half, figure): [
            short(run.ceilings(rows[(rows.kind == kind) & (rows.half == half)].to_dict("records"))[figure])
            for kind in kinds
        ]
        for half in ("choose", "report")
        for figure in ("accuracy", "loss")
    }
    choose, report = ([", ".join(agreed[half, figure]) for figure in ("accuracy", "loss")] for half in ("choose", "report"))
    yield f"by accuracy {choose[0]}, loss {choose[1]}; of the one to report on accuracy {report[0]}, loss {report[1]}"
    assert (found.status == "ok").all()


@figures(
    "which_score", "1.4 0.3 .65 .77 .724 .696 .756 .712 .681 .745 .74 .73 .432 .918 .740 .853 .750 .549 -.012 -.130 .095"
)
def which_score() -> Iterator[str]:
    """What was found with other samples, formulas and numbers of architectures is in no table, and a setting here."""
    report, choose = (table("which_score", file).set_index(["table", "target"]) for file in ("table.csv", "choose.csv"))
    scores = table("which_score", "scores.csv").set_index(["case", "target", "score"])
    names = {
        ("residual_mlp", "accuracy"): "residual MLPs, accuracy, {}",
        ("resnet", "accuracy"): "ResNets, accuracy, {}",
        ("transformer_lm", "loss"): "decoders, loss, {}",
        ("nasbench201", "cifar10_test"): "NAS-Bench-201, CIFAR-10, {}",
        ("nasbench201", "cifar100_test"): "NAS-Bench-201, CIFAR-100, {}",
        ("nasbench_macro", "acc_mean"): "NAS-Bench-Macro, {}",
    }
    baselines = {"plain_blocks": "blocks without a skip", "params": "parameters", "depth": "depth"}
    for key, title in names.items():
        one, before = report.loc[key], choose.loc[key]
        published = key[0].startswith("nasbench")
        rho = f"{short(one.spearman)} [{short(one.spearman_low)}, {short(one.spearman_high)}]"
        tau = f", τ {short(one.kendall_tau)} [{short(one.tau_low)}, {short(one.tau_high)}]" if published else ""
        ahead = f"{short(one.difference, sign=True)} [{short(one.difference_low)}, {short(one.difference_high)}]"
        chosen = short(before.spearman) + (f" (τ {short(before.kendall_tau)})" if published else "")
        ceiling = "" if pd.isna(one.noise_ceiling) else short(one.noise_ceiling)
        size = f"{int(one.n):,}"
        yield row(title.format(size), chosen, rho + tau, f"{ahead}, {baselines[one.best_baseline]}", ceiling)
    keys = [key for key in names if key[1] != "cifar100_test"]
    for title, score in (
        ("merit", "merit"),
        ("expressivity alone", "expressivity"),
        ("penalty alone", "penalty"),
        ("their sum, E - P", "sum"),
        ("the smaller of both", "minimum"),
        ("`linear`: ½ |log(r/N)| and 2 |log(1 - c)| for the squares", "linear"),
        ("trainability cost S*", "trainability_cost"),
        ("flatness of the profile", "flatness"),
    ):
        cells = [short(scores.loc[(*key, score)].spearman) if (*key, score) in scores.index else "" for key in keys]
        yield row(title, *cells)
    ahead_by = {
        key[0]: " and ".join(
            short(report.loc[key][f"tau_{name}_difference"], 2) for name in ("params_within_10_percent", "equal_depth")
        )
        for key in keys
    }
    yield (
        f"ahead of the best baseline there by {ahead_by['residual_mlp']} on MLPs, {ahead_by['resnet']} on ResNets, "
        f"{ahead_by['nasbench201']} on NAS-Bench-201, {ahead_by['nasbench_macro']} on Macro; on decoders by "
        f"{ahead_by['transformer_lm']}"
    )

    def tau(key: tuple[str, str], score: str) -> str:
        return short(scores.loc[(*key, score)].kendall_tau, 2)

    cells, macro = keys[3], keys[4]
    yield (
        f"synflow has a τ of {tau(cells, 'synflow')}, jacob_cov {tau(cells, 'jacob_cov')}, NASWOT {tau(cells, 'naswot')}, "
        f"AZ-NAS {tau(cells, 'az_nas')}"
    )
    missing = scores.loc[(*cells, "az_nas")]
    yield f"(of {int(missing.n)}; at 16 images"
    yield (
        f"On NAS-Bench-Macro synflow has a τ of {tau(macro, 'synflow')}, jacob_cov {tau(macro, 'jacob_cov')}, AZ-NAS "
        f"{tau(macro, 'az_nas')}"
    )
    yield f"NASWOT is as good as merit: {tau(macro, 'naswot')} where"
    seconds = table("which_score", "seconds.csv").set_index(["case", "n", "score"]).seconds
    for case, text in (("nasbench201", "on NAS-Bench-201"), ("nasbench_macro", "on Macro")):
        some, many = ({name: seconds[case, n, name] for name in ("merit", "synflow")} for n in (100, 1000))
        yield (
            f"{text} {f(some['merit'], 2)} s and {f(some['synflow'], 2)} s of 100 architectures, {f(many['merit'], 2)} s "
            "and "
            f"{f(many['synflow'], 2)} s of 1,000"
        )

    def alone(key: tuple[str, str], score: str) -> str:
        return short(scores.loc[(*key, score)].spearman, 2)

    yield f"(FLOPs alone: {', '.join(alone(key, 'capacity alone') for key in keys[:3])})"
    yield f"nor on MLPs decorrelation ({alone(keys[0], 'decorrelation alone')} alone"
    published = [key for key in names if key[0].startswith("nasbench")]
    yield f"size says much ({', '.join(alone(key, 'capacity alone') for key in published)})"
    yield (
        f"({alone(published[0], 'penalty')}, {alone(published[1], 'penalty')}) or the wrong thing "
        f"({alone(macro, 'penalty')})"
    )
    parts = {name for *_, name in scores.index if name.startswith("merit without")}
    for part in parts:  # what is missed, and where
        drops = [scores.loc[(*key, part)].spearman - scores.loc[(*key, "merit")].spearman for key in names]
        assert min(drops) < -0.005 and max(drops) > 0, part
    yield f"token differential has {short(scores.loc[(*keys[2], 'token_differential')].spearman)} alone"
    penalty, merit = (scores.loc[(*keys[1], name)].spearman for name in ("penalty", "merit"))
    yield f"the penalty alone ranks better by {short(penalty - merit, 2)}"
    yield f"({alone(keys[1], 'capacity alone')} by itself)"
    falls = (report.noise_ceiling - report.spearman).dropna()
    yield f"It falls {short(falls.min(), 2)} to {short(falls.max(), 2)} short of what two seeds agree to"


@figures("017_few_draws", ".25")
def few_draws() -> Iterator[str]:
    found = table("017_few_draws").set_index("network")
    for network, line in found.iterrows():
        covered = [short(line[name]) for name in ("at_2", "at_3", "at_4", "at_8", "stopped")]
        lost = "0" if line.diverged == 0 else short(line.diverged)
        yield row(network, line.prior, *covered, lost, f(line.taken, 1))
    residual = found.loc["relu, residual, 8 x 8"]
    assert residual.at_2 > 0.99
    yield f"(residual relu: the variance is {short(residual.ratio, 2)}"
    yield f"plain relu network, of whose draws {f(100 * found.loc['relu, plain, 8 x 12'].dead, 0)}% are dead"


#: no table: what `scripts/bench_score.py` printed on one machine on one day
UNTABLED = {"005_population_engine"}


def decimals(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w.])-?\d*\.\d+(?![\w.])", text))


def uncovered(text: str, fragments: Sequence[str]) -> str:
    """The text with what any of the fragments says blanked out."""
    left = list(text)
    for part in fragments:
        for found in re.finditer(re.escape(part), text):
            left[found.start() : found.end()] = " " * len(part)
    return "".join(left)


def test_every_experiment_has_its_figures_checked() -> None:
    assert set(FIGURES) | UNTABLED == {folder.name for folder in EXPERIMENTS.iterdir() if folder.is_dir()}


def faults(name: str) -> dict[str, list[str]]:
    """What a README says otherwise than its tables."""
    said = [plain(text) for text in FIGURES[name]()]
    rows = {text for text in said if text.startswith("|")}
    fragments, text = [text for text in said if not text.startswith("|")], sentences(name)
    return {
        "rows missing": sorted(rows - set(rows_of_text(name))),
        "rows of no table": sorted(set(rows_of_text(name)) - rows),
        "sentences missing": [part for part in fragments if part not in text],
        "figures from nowhere": sorted(decimals(uncovered(text, fragments)) - SETTINGS[name]),
    }


@pytest.mark.parametrize("name", FIGURES)
def test_the_readme_says_what_the_tables_hold(name: str) -> None:
    found = faults(name)
    assert not any(found.values()), json.dumps(found, indent=1, ensure_ascii=False)


def test_times_are_of_the_scores_that_correlate_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """synflow was once timed on a batch of 64 in float32, where the score passes one input in float64."""
    run = run_of("which_score")
    asked: list[tuple[Any, int]] = []

    def judged(case: Any, target: str, score: Any, options: Any, data: Any, n: int, resamples: int) -> dict[str, Any]:
        asked.append((score, n))
        return {"n": n, "seconds_per_architecture": 0.5}

    monkeypatch.setattr(run, "judged", judged)
    case = run.Case("cells", None, "table.csv", dict, ("accuracy",), True)
    rows = list(run.timings(case, run.Options(timed=[3])))
    merit, synflow = TABLE_SCORES["merit"], TABLE_SCORES["synflow"]
    assert isinstance(merit, type) and isinstance(synflow, type)
    assert asked == [(merit(), 3), (synflow(), 3)]
    assert [(row["score"], row["n"], row["seconds"]) for row in rows] == [("merit", 3, 0.5), ("synflow", 3, 0.5)]


def test_a_changed_table_or_sentence_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the check is for: a table written anew, a row and a sentence changed, and a figure that no table holds."""
    name, here = "012_pruning_trained", sys.modules[__name__]
    whole, text = table(name), readme(name)
    with monkeypatch.context() as changed:
        changed.setattr(here, "table", lambda *_: whole.assign(accuracy=whole.accuracy - 0.01))
        found = faults(name)
        assert found["rows missing"] and found["rows of no table"] and found["sentences missing"]
    for old, new, kind in (
        ("0.905 ± 0.030", "0.906 ± 0.030", "rows of no table"),
        ("costs 6.8 ± 3.2", "costs 6.9 ± 3.2", "sentences missing"),
        ("**What fell short.**", "That is 4.25 points.", "figures from nowhere"),
    ):
        assert old in text
        monkeypatch.setattr(here, "readme", lambda _, old=old, new=new: text.replace(old, new))
        assert faults(name)[kind], new
