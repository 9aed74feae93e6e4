"""Prescriptions: derivatives, the smallest change to criticality, and `nasjac prescribe` as a user meets it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasjac.architecture.block import Block
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.spec import Spec
from nasjac.kinds.facts import columns
from nasjac.kinds.residual_mlp.spec import ResidualMLP
from nasjac.mathematics.activations import ACTIVATIONS
from nasjac.mathematics.meanfield import Columns, block_energies, expected_norms
from nasjac.mathematics.meanfield.moments import DERIVATIVE_SLOPES, MOMENTS
from nasjac.mathematics.meanfield.sensitivity import Direction, log_norm_slopes
from nasjac.mathematics.roots import newton
from nasjac.models.prescribe import prescribe
from nasjac.models.prescribe_spec import prescriptions
from nasjac.models.prescription.band import Band, Prescription, log_norms
from nasjac.models.prescription.dials import GAINS, weight_gain
from nasjac.models.prescription.switches import skip_pattern
from tests.cli.test_cli import Run, run  # noqa: F401 - a fixture

Array = np.ndarray[Any, np.dtype[np.float64]]


def derivative(function: Callable[[float], float], step: float = 1e-4) -> float:
    """By differences of fourth order about 0."""
    one, two = function(step) - function(-step), function(2 * step) - function(-2 * step)
    return (8 * one - two) / (12 * step)


def by_knob(spec: Spec, **options: float) -> dict[str, Prescription]:
    found = prescriptions(spec, **options)
    return {p.knob: p for p in reversed(found)}  # of the placements the first


@pytest.mark.parametrize("name", MOMENTS)
def test_slopes_of_the_mean_squared_derivative(name: str) -> None:
    q = np.array([1e-9, 1e-6, 1e-3, 0.3, 1.0, 5.0, 100.0, 1e5])

    def energies(log: float) -> Array:
        return np.asarray(MOMENTS[name](q * math.exp(log)).derivative_second)

    slopes = (energies(1e-4) - energies(-1e-4)) / 2e-4
    np.testing.assert_allclose(q * DERIVATIVE_SLOPES[name](q), slopes, atol=3e-8 * energies(0.0).max())


@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("activation", MOMENTS)
def test_derivatives_are_the_limit_of_differences(activation: str, placement: str, random: bool) -> None:
    """With biases, norm gains, strengths and a large ε; a pruned block; gates certain, or random and coupled."""
    rng = np.random.default_rng(0)
    on = dict(zip(("on_input", "on_branch", "on_sum"), PLACEMENTS[placement][:3], strict=True))
    skip = rng.uniform(0.2, 0.8, (1, 5)) if random else np.array([[1.0, 0, 1, 0, 1]])
    scale, gains = rng.uniform(0.4, 1.2, (1, 5)), rng.uniform(0.5, 1.5, (1, 5))
    more = {"strength": 0.9, "norm_gain": gains, "outer_bias": 0.05, "inner_bias": 0.1, "norm_eps": 1e-2}
    rates = rng.uniform(0.5, 1.0, (3, 5))
    for two_matrix in (True, False):
        chain = Columns(
            [activation], two_matrix, 1.3, **on, keep=np.array([[1.0, 1, 0, 1, 1]]), skip=skip, scale=scale, **more
        )
        moves: dict[str, tuple[Direction, Callable[[float], dict[str, Any]]]] = {
            "scale": (Direction(log_scale=rates[0]), lambda x: {"scale": scale * np.exp(x * rates[0])}),
            "gain": (Direction(log_gain=0.7), lambda x: {"weight_gain": 1.3 * math.exp(0.7 * x)}),
        }
        if random:
            moves["skip"] = (Direction(skip=rates[2]), lambda x: {"skip": skip + x * rates[2]})
        for name, (direction, moved) in moves.items():

            def whole(x: float, chain: Columns = chain, moved: Callable[[float], dict[str, Any]] = moved) -> float:
                return float(expected_norms(replace(chain, **moved(x)), 0.7).forward_typical[0, -1])

            assert log_norm_slopes(chain, direction, 0.7)[0] == pytest.approx(derivative(whole), rel=1e-8, abs=1e-8), name


def test_an_e_fold_of_scale_is_worth_twice_the_effective_depth() -> None:
    """Where the stream's size does not matter; one of gain four times with two matrices."""
    chain = columns([Spec.of(width=8, blocks=tuple(Block(scale=s) for s in (0.3, 1.0, 2.0)))])
    depth = block_energies(chain).share.sum()
    assert log_norm_slopes(chain, Direction(log_scale=1.0))[0] == pytest.approx(2 * depth, rel=1e-12)
    assert log_norm_slopes(chain, Direction(log_gain=1.0))[0] == pytest.approx(4 * depth, rel=1e-12)


@pytest.mark.parametrize("end", [0.0, 1.0])
@pytest.mark.parametrize("placement", ["none", "pre"])
def test_the_derivative_at_a_certain_skip_is_that_from_inside(placement: str, end: float) -> None:
    """log 𝒥 is linear in one gate's probability."""
    specs = [
        Spec.of(width=8, blocks=(Block(), Block(skip=s), Block(scale=0.5)), placement=placement, activation="gelu")
        for s in (0.0, 1.0)
    ]
    cut, kept = log_norms(specs, 1.0)
    chain = columns([specs[int(end)]])
    assert log_norm_slopes(chain, Direction(skip=np.array([0.0, 1.0, 0.0])))[0] == pytest.approx(kept - cut, abs=1e-9)


def test_newton_bisects_where_a_step_leaves_the_bracket() -> None:
    root = newton(lambda x: (math.atan(x - 3), 1 / (1 + (x - 3) ** 2)), -40.0, 50.0)  # diverges from beyond ±1.39
    assert root == pytest.approx(3, abs=1e-12)
    assert newton(lambda x: (x**3 - 8, 0.0), 0.0, 5.0) == pytest.approx(2, abs=1e-12)


@pytest.mark.parametrize(("gain", "depth", "tolerance"), [(1.0, 32, 1.0), (1.4, 10, 0.25), (1.1, 3, 0.01)])
def test_a_relu_chain_is_prescribed_what_the_formula_says(gain: float, depth: int, tolerance: float) -> None:
    """(1 + α² χ)^L = e^tolerance, χ = σ_w⁴ / 2."""
    found = by_knob(Spec.of(width=16, blocks=(Block(),) * depth, weight_gain=gain), tolerance=tolerance)
    chi, wanted = gain**4 / 2, math.expm1(tolerance / depth)
    assert found["branch_scale"].after == pytest.approx(math.sqrt(wanted / chi), rel=1e-11)
    assert found["weight_gain"].after == pytest.approx((2 * wanted) ** 0.25, rel=1e-11)
    assert found["branch_scale"].change == pytest.approx(abs(math.log(wanted / chi)) / 2, rel=1e-10)
    assert found["weight_gain"].nats_per_percent == pytest.approx(0.04 * depth * chi / (1 + chi))


@pytest.mark.parametrize("skip", [0.5, 0.9])
def test_the_skip_density_of_an_ensemble_is_that_of_typical_patterns(skip: float) -> None:
    """L [s ln(1 + χ) + (1 − s) ln χ] = ±1, and with no tolerance the quenched critical density."""
    depth, chi = 40, 0.5
    spec, edge = Spec.of(width=16, blocks=(Block(skip=skip),) * depth), math.copysign(1.0, skip - 0.63)
    at_zero = math.log(1 / chi) / math.log((1 + chi) / chi)
    density = at_zero + edge / depth / math.log((1 + chi) / chi)
    found = by_knob(spec)["skip_density"]
    assert found.after == pytest.approx(density, rel=1e-11) and found.change == pytest.approx(abs(density - skip), rel=1e-9)
    assert found.slope == pytest.approx(depth * math.log((1 + chi) / chi), rel=1e-11)
    assert found.spec is not None and [block.skip for block in found.spec.blocks] == pytest.approx([density] * depth)
    assert by_knob(spec, tolerance=0.0)["skip_density"].after == pytest.approx(at_zero, rel=1e-11)


def test_mixed_probabilities_keep_their_order_and_reach_the_density() -> None:
    spec = Spec.of(
        width=16, blocks=tuple(Block(skip=s) for s in (0.2, 0.5, 1.0, 0.9) * 6), activation="tanh", weight_gain=1.2
    )
    for target in (3.0, 6.2):  # below and above its 5.4
        found = by_knob(spec, target=target, tolerance=0.1)["skip_density"]
        assert found.spec is not None and found.log_norm_after == pytest.approx(target + math.copysign(0.1, 5 - target))
        skips = [block.skip for block in found.spec.blocks]
        assert np.mean(skips) == pytest.approx(found.after) and skips[0] < skips[1] < skips[3] <= skips[2]


HARD = [
    Spec.of(width=32, blocks=(Block(),) * 24, activation=a, placement=p, weight_gain=1.6, branch=b)
    for a in ("relu", "gelu", "tanh")
    for p in PLACEMENTS
    for b in ("two_matrix", "one_matrix")
]
HARD += [
    Spec.of(width=32, blocks=(Block(skip=0.8, scale=0.9),) * 12, activation="gelu", placement=p, weight_gain=1.5)
    for p in PLACEMENTS
]
HARD += [
    Spec.of(width=32, blocks=(Block(skip=0.0, scale=0.4), Block(scale=1.3)) * 8, activation=a, weight_gain=1.3)
    for a in ACTIVATIONS
]


@pytest.mark.parametrize("spec", HARD, ids=lambda spec: f"{spec.activation}-{spec.placement}-{spec.branch}-{spec.key[:4]}")
def test_a_change_ends_on_the_nearest_edge_and_none_smaller_does(spec: Spec) -> None:
    """A dial to 1e-9 of the edge; at 90 percent and less of the turn, either way, the network is outside still."""
    [before] = log_norms([spec], 1.0)
    edge = math.copysign(1.0, before)
    found = prescriptions(spec)
    assert bool(found) == (abs(before) > 1)
    for p in found:
        assert p.log_norm_before == before
        if p.spec is None:
            assert p.reason and p.after is None and p.change is None and p.log_norm_after is None
            continue
        assert p.reason is None and p.log_norm_after == log_norms([p.spec], 1.0)[0] and abs(p.log_norm_after) <= 1 + 1e-9
        assert prescriptions(p.spec) == [], "critical now"
        if p.knob == "placement" or (p.knob == "skip_density" and not spec.is_ensemble):
            continue
        assert p.log_norm_after == pytest.approx(edge, abs=1e-9)
        assert isinstance(p.change, float)
        turns = [sign * share * p.change for share in (0.2, 0.5, 0.9) for sign in (-1, 1)]
        smaller = [turned for x in turns if (turned := moved(spec, p.knob, x)) is not None]
        assert (np.abs(log_norms(smaller, 1.0)) > 1).all()


def moved(spec: Spec, knob: str, x: float) -> Spec | None:
    if knob == "weight_gain":
        return replace(spec, weight_gain=spec.weight_gain * math.exp(x))
    if knob == "branch_scale":
        return replace(spec, blocks=tuple(replace(b, scale=b.scale * math.exp(x)) for b in spec.blocks))
    skips = [block.skip + x for block in spec.blocks]
    inside = all(0 <= skip <= 1 for skip in skips)
    blocks = (replace(block, skip=skip) for block, skip in zip(spec.blocks, skips, strict=True))
    return replace(spec, blocks=tuple(blocks)) if inside else None


def test_a_fixed_pattern_takes_the_fewest_switches_spread_over_depth() -> None:
    """k skips of L equal relu blocks: k ln(1 + χ) + (L − k) ln χ; the largest k with at most 1 nat."""
    depth, chi = 32, 0.5
    found = by_knob(Spec.of(width=16, blocks=(Block(),) * depth))["skip_density"]
    most = max(k for k in range(depth) if k * math.log(1 + chi) + (depth - k) * math.log(chi) <= 1)
    assert found.after == most / depth and found.change == (depth - most) / depth and found.spec is not None
    assert found.slope == pytest.approx(depth * math.log((1 + chi) / chi))
    off = [number for number, block in enumerate(found.spec.blocks) if block.skip == 0]
    assert max(np.diff([-1, *off, depth])) <= 2 * depth / len(off)
    up = by_knob(Spec.of(width=16, blocks=(Block(skip=0),) * depth))["skip_density"]
    fewest = min(k for k in range(depth) if k * math.log(1 + chi) + (depth - k) * math.log(chi) >= -1)
    assert up.before == 0 and up.after == fewest / depth


def test_a_single_switch_is_found_wherever_there_is_one() -> None:
    """Beside all single switches by enumeration, in patterns whose blocks couple through the stream."""
    rng, band, met = np.random.default_rng(3), Band(0.0, 0.3), 0
    for _ in range(120):
        blocks = tuple(Block(skip=float(rng.random() < 0.6), scale=float(rng.uniform(0.3, 1.5))) for _ in range(6))
        spec = Spec.of(
            width=16, blocks=blocks, activation="tanh", placement=str(rng.choice(list(PLACEMENTS))), weight_gain=1.5
        )
        singles = [
            replace(spec, blocks=(*blocks[:i], replace(b, skip=1 - b.skip), *blocks[i + 1 :])) for i, b in enumerate(blocks)
        ]
        [before] = log_norms([spec], 1.0)
        if band.contains(before):
            continue
        found = skip_pattern(spec, band, before, 1.0)
        exists = any(band.contains(value) for value in log_norms(singles, 1.0))
        assert exists == (found.change is not None and round(found.change * 6) == 1)
        met += exists
    assert met > 5


def test_what_no_knob_can_do_has_its_reason() -> None:
    found = by_knob(Spec.of(width=16, blocks=(Block(),) * 8), target=-5.0)
    for knob in ("branch_scale", "weight_gain"):
        assert found[knob].after is None and "a block's factor is 1 + χ > 1" in str(found[knob].reason)
    assert "post" in str(found["placement"].reason) and "[-6, -4]" in str(found["placement"].reason)
    stiff = by_knob(Spec.of(width=16, blocks=(Block(),) * 64, placement="sandwich"))
    assert stiff["branch_scale"].after is not None
    few = by_knob(Spec.of(width=16, blocks=(Block(skip=0),), weight_gain=0.5), tolerance=0.05, target=0.9)["skip_density"]
    assert "no nearer than" in str(few.reason)
    pruned = prescriptions(Spec.of(width=16, blocks=(Block(keep=False),)), target=3.0)
    assert {p.knob for p in pruned} == {"branch_scale", "weight_gain", "skip_density", "placement"}
    assert all("every branch is pruned" in str(p.reason) for p in pruned)
    deep = by_knob(Spec.of(width=16, blocks=(Block(),) * 600))
    assert "more than 512 blocks" in str(deep["skip_density"].reason) and deep["branch_scale"].after is not None


def test_placements_come_after_what_can_be_small() -> None:
    found = prescriptions(
        Spec.of(width=64, blocks=(Block(scale=0.5, skip=0.5),) * 24, activation="tanh", placement="sandwich")
    )
    feasible = [p for p in found if p.after is not None]
    assert found[: len(feasible)] == feasible and [p.knob for p in feasible[-2:]] == ["placement"] * 2
    changes = [p.change for p in feasible if p.knob != "placement"]
    assert changes == sorted(changes, key=float) and {p.change for p in feasible[-2:]} == {1.0}  # type: ignore[arg-type]


def test_a_critical_architecture_is_left_alone() -> None:
    critical = Spec.of(width=16, blocks=(Block(scale=0.1),) * 8)
    assert prescriptions(critical) == []
    found = prescribe(critical)
    assert found.to_json()["critical"] is True and found.to_json()["recommended"] is None and not found.files
    assert "nothing to change" in found.as_text()


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_sampling_finds_what_the_closed_form_prescribes(activation: str) -> None:
    """Exact chains: E log 𝒥 before and after within 4 standard errors and the log-normal law's error."""
    spec = Spec.of(width=32, blocks=(Block(), Block(scale=1.2)) * 6, activation=activation)
    summary = prescribe(spec, stream_variance=4.0, seed=1).to_json()
    dials = [p for p in summary["prescriptions"] if p["knob"] in ("branch_scale", "weight_gain")]
    assert summary["agrees_before"] is True and len(dials) == 2
    for p in dials:
        error = abs(p["sampled_mean_log_after"] - p["expected_mean_log_after"])
        assert p["agrees_after"] is True and p["sampled_mean_log_error_after"] <= 0.1
        assert error < 4 * p["sampled_mean_log_error_after"] + 0.02
        assert p["log_norm_after"] == pytest.approx(1) == p["forward_log_norm_after"][-1] == p["backward_log_norm_after"][0]


@pytest.mark.parametrize(
    "spec",
    [
        Spec.of(width=64, blocks=(Block(skip=0.345),) * 8, activation="gelu", placement="pre", weight_gain=1.5),
        Spec.of(width=16, blocks=(Block(),) * 24, placement="post", activation="tanh"),
        Spec.of(width=16, blocks=(Block(),) * 12, branch="one_matrix"),
    ],
    ids=["pre", "post", "one_matrix"],
)
def test_what_a_finite_width_usually_adds_decides_nothing(spec: Spec) -> None:
    """1.5 L/N is no bound: where the closed form holds for N → ∞ alone, sampling neither confirms nor refutes it."""
    found = prescribe(spec, target=-3.0)
    summary, depth = found.to_json(), len(spec.blocks)
    assert summary["exact"] is False and summary["agrees_before"] is None
    assert summary["stated_error_before"] == pytest.approx(1.5 * depth / spec.width)
    assert f"(usually to {1.5 * depth / spec.width:.2g})" in found.as_text() and "do not agree" not in found.as_text()
    assert {p["agrees_after"] for p in summary["prescriptions"]} <= {None, True}
    assert all((p["confirmed"] is None) == (p["after"] is None) for p in summary["prescriptions"])


def test_an_ensemble_whose_mean_is_exact_is_held_against_sampling() -> None:
    """relu without norms: the mean over weights is exact pattern by pattern, so that 1.5 L/N has no part in the verdict."""
    summary = prescribe(Spec.of(width=32, blocks=(Block(skip=0.9),) * 12)).to_json()
    gap = summary["log_norm_before"] - summary["expected_mean_log_before"]
    assert summary["agrees_before"] is True and summary["stated_error_before"] == pytest.approx(0.1 * gap)
    assert gap < 0.5


def test_what_sampling_does_not_confirm_is_not_recommended_before_what_it_does() -> None:
    """Where depth exceeds width many times and skips are cut, log E 𝒥 may be critical and E log 𝒥 far below."""
    found = prescribe(Spec.of(width=8, blocks=(Block(),) * 48, activation="tanh"))
    first, second = found.to_json()["prescriptions"][:2]
    assert first["knob"] == "skip_density" and first["confirmed"] is False and abs(first["log_norm_after"]) <= 1
    assert second["confirmed"] is True and found.to_json()["recommended"]["key"] == second["key"]
    assert "Smallest change that sampling confirms: weight_gain" in found.as_text()
    narrow = prescribe(Spec.of(width=16, blocks=(Block(skip=0),) * 60, activation="tanh", weight_gain=1.4))
    assert narrow.to_json()["recommended"]["confirmed"] is False
    assert narrow.to_json()["recommended"]["key"] == narrow.to_json()["prescriptions"][0]["key"]
    assert "which sampling does not confirm" in narrow.as_text()


def test_bad_numbers_and_specs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Spec.of(width=8, blocks=(Block(),))
    with pytest.raises(ValueError, match=r"`tolerance` must be a finite number of at least 0, got -1"):
        prescriptions(spec, tolerance=-1)
    with pytest.raises(ValueError, match=r"`target` must be a finite number, got nan"):
        prescriptions(spec, target=math.nan)
    with pytest.raises(ValueError, match=r"`spec` must have a finite log 𝒥 in closed form, got -inf"):
        prescriptions(Spec.of(width=8, blocks=(Block(skip=0, scale=1e-200),)))
    with pytest.raises(ValueError, match=r"`stream_variance` must hold finite numbers greater than 0, got 0"):
        prescriptions(spec, stream_variance=0.0)
    monkeypatch.setitem(ACTIVATIONS, "swish", ACTIVATIONS["gelu"])
    with pytest.raises(ValueError, match=r"`activation` must be one of .*gelu.* for a closed form, got 'swish'"):
        prescriptions(Spec.of(width=8, blocks=(Block(),), activation="swish"))


def test_prescribe_prints_a_table_and_draws(run: Run) -> None:  # noqa: F811
    code, out, err = run("prescribe", "depth=16", "width=32")
    assert code == 0 and err == ""
    for words in (
        ["log 𝒥 = 6.487", "not critical"],
        ["branch_scale", "yes"],
        ["Smallest change that sampling confirms:", "→"],
    ):
        assert any(all(word in line for word in words) for line in out.splitlines()), words
    [folder] = Path("reports/prescribe").iterdir()
    assert {path.name for path in folder.iterdir()} == {"profiles.png", "profiles.svg"}
    assert all(path.stat().st_size for path in folder.iterdir())


def test_prescribe_as_json(run: Run) -> None:  # noqa: F811
    words = (
        "prescribe",
        "depth=12",
        "width=32",
        "skip_density=0.9",
        "target=0.5",
        "tolerance=0.25",
        "out=null",
        "format=json",
    )
    code, out, _ = run(*words)
    summary = json.loads(out)
    assert code == 0 and not Path("reports").exists() and run(*words)[1] == out, "the same draws"
    first = summary["prescriptions"][0]
    assert summary["recommended"].items() <= first.items() and first["confirmed"] is True
    for p in summary["prescriptions"]:
        assert p["log_norm_before"] == summary["log_norm_before"] and len(p["forward_log_norm_before"]) == 13
        if p["after"] is not None:
            assert abs(p["log_norm_after"] - 0.5) <= 0.25 + 1e-9 and p["agrees_after"] is True
            assert Spec.from_json(json.dumps(p["spec"])).key == p["key"] and len(p["backward_log_norm_after"]) == 13
    code, out, _ = run(
        "prescribe", "depth=4", "branch_scale=inverse_sqrt_depth", "weight_gain=0.8", "out=null", "format=json"
    )
    assert code == 0 and json.loads(out)["critical"] is True and json.loads(out)["prescriptions"] == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["depht=3"], ["depht", "depth", "weight_gain"]),
        (["tolerance=-1"], ["`tolerance`", "at least 0", "-1"]),
        (["seed=-1"], ["`seed`", "at least 0", "-1"]),
        (["placement=preln"], ["`placement`", "preln", "sandwich"]),
        (["3f2a", "depth=3"], ["`key`", "depth"]),
        (["3f2a"], ["database", "nasjac.db"]),
        (["out=/proc/none", "depth=2", "weight_gain=2"], ["`out`", "/proc/none"]),
    ],
)
def test_what_is_wrong_is_one_sentence(run: Run, words: list[str], parts: list[str]) -> None:  # noqa: F811
    code, out, err = run("prescribe", *words)
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert all(part in err for part in parts), err


@pytest.mark.parametrize("gain", [1e8, 3e8, 1e9, 3e-9])
def test_the_sweep_of_the_weight_gain_stays_within_its_bounds(gain: float) -> None:
    """Its ends are exponentials of logarithms, which may round to beyond the bounds that closed forms have."""
    spec = ResidualMLP(width=8, blocks=(Block(scale=1.0),), weight_gain=gain)
    swept = [weight_gain(spec).spec(x).weight_gain for side in weight_gain(spec).sides() for x in side]
    assert GAINS[0] <= min(swept) and max(swept) <= GAINS[1]
    assert prescriptions(spec, target=9.0)
