"""Moments against quadrature; random gates against enumeration of patterns; limits, depth and bad input of chains."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.mathematics.activations import ACTIVATIONS
from nasjac.mathematics.meanfield import Columns, block_energies, expected_norms, fluctuations
from nasjac.mathematics.meanfield.correlation import output_decorrelation
from nasjac.mathematics.meanfield.critical import annealed_density, critical_densities, critical_gain, quenched_density
from nasjac.mathematics.meanfield.law import by_quadrature
from nasjac.mathematics.meanfield.moments import (
    DERIVATIVE_FOURTHS,
    DERIVATIVE_SLOPES,
    MEANS,
    MOMENTS,
    VARIANCE_SLOPES,
    Array,
    nonlinearity,
)
from tests.mathematics.closed_forms import gated_chain
from tests.mathematics.test_golden import chain

NAMES = sorted(MOMENTS)


def quadrature(name: str, q: float, power: int, slope: bool) -> float:
    """E phi(x)^power or E phi'(x)^power: Gauss-Legendre on panels that shrink towards the kink."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    edges = np.concatenate([[0.0], 2.0 ** np.arange(-12, 4), [12.0]])
    half = np.concatenate([low + (high - low) * (nodes + 1) / 2 for low, high in itertools.pairwise(edges)])
    weight = np.concatenate([(high - low) / 2 * weights for low, high in itertools.pairwise(edges)])
    x = np.concatenate([-half[::-1], half])
    weight = np.concatenate([weight[::-1], weight]) * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    phi, derivative = ACTIVATIONS[name]
    function = (lambda x: derivative(x, phi(x))) if slope else phi
    return float(weight @ function(torch.from_numpy(math.sqrt(q) * x)).numpy() ** power)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("q", [1e-6, 0.01, 0.3, 1.0, 4.0, 300.0])
def test_moments(name: str, q: float) -> None:
    point = np.array([q])
    found = [*MOMENTS[name](point), *MEANS[name](point), DERIVATIVE_FOURTHS[name](point)]
    expected = [quadrature(name, q, *case) for case in ((2, False), (2, True), (1, False), (1, True), (4, True))]
    np.testing.assert_allclose([float(column[0]) for column in found], expected, rtol=1e-10, atol=1e-14 * max(1, q))


@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "erf"])
def test_an_activation_without_closed_forms_has_them_by_quadrature(name: str) -> None:
    q, found = np.array([1e-3, 0.3, 1.0, 4.0, 300.0]), by_quadrature(name)
    for ours, table, tolerance in (
        (found.moments, MOMENTS, 1e-10),
        (found.means, MEANS, 1e-10),
        (found.variance_slope, VARIANCE_SLOPES, 1e-10),
        (found.derivative_fourth, DERIVATIVE_FOURTHS, 1e-10),
        (lambda q, law=found.derivative_slope: q * law(q), {name: lambda q: q * DERIVATIVE_SLOPES[name](q)}, 1e-9),
    ):
        np.testing.assert_allclose(ours(q), table[name](q), rtol=tolerance, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_variance_slope_is_the_derivative_of_the_variance(name: str) -> None:
    q = np.array([0.01, 0.3, 1.0, 3.56, 40.0])
    step = 1e-4 * q
    slope = (MOMENTS[name](q + step).second - MOMENTS[name](q - step).second) / (2 * step)
    np.testing.assert_allclose(VARIANCE_SLOPES[name](q), slope, rtol=1e-7)


def test_tanh_table_meets_its_series_at_both_ends() -> None:
    for end in (1e-8, 1e8):
        inside, outside = (MOMENTS["tanh"](np.array([end * factor])) for factor in (1, 1 + 1e-13))
        below = MOMENTS["tanh"](np.array([end * (1 - 1e-13)]))
        np.testing.assert_allclose([inside, outside, below], [inside] * 3, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_nonlinearity_is_the_residual_of_the_best_linear_fit(name: str) -> None:
    g = np.random.default_rng(0).standard_normal(200_000) * 1.3
    y = ACTIVATIONS[name].function(torch.from_numpy(g)).numpy()
    residual = y - np.polyval(np.polyfit(g, y, 1), g)
    assert nonlinearity(name, np.array([1.69]))[0] == pytest.approx(residual.var() / y.var(), abs=0.004)


def patterns(columns: Columns) -> tuple[Columns, Array]:
    """Every gate pattern of one chain with its probability; a dropped branch forces its skip."""
    states = list(itertools.product([(1, 1), (1, 0), (0, 1)], repeat=columns.depth))
    keep, skip = (np.array([[gate[i] for gate in state] for state in states], dtype=float) for i in (0, 1))
    p = np.where(keep > 0, columns.keep * np.where(skip > 0, columns.skip, 1 - columns.skip), 1 - columns.keep)
    rows = columns.take(np.zeros(len(states), dtype=np.intp))
    every = {name: getattr(rows, name) for name in rows.__dataclass_fields__}
    return Columns(**{**every, "keep": keep, "skip": skip}), p.prod(axis=1)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("activation", NAMES)
def test_random_gates_are_the_average_over_all_patterns(placement: str, activation: str) -> None:
    """Means, typical values and the variance over patterns, in both directions, to round-off of the enumeration."""
    rng = np.random.default_rng(0)
    on = dict(zip(("on_input", "on_branch", "on_sum"), PLACEMENTS[placement][:3], strict=True))
    gates: dict[str, Any] = {name: rng.random((1, 5)) for name in ("keep", "skip", "scale")}
    more = {"strength": 0.9, "outer_bias": 0.05, "inner_bias": 0.1, "norm_eps": 1e-3}
    for two_matrix in (True, False):
        columns = chain(5, activation=[activation], two_matrix=two_matrix, weight_gain=1.3, **on, **gates, **more)
        every, p = patterns(columns)
        assert p.sum() == pytest.approx(1)
        found, each = expected_norms(columns, 0.7), expected_norms(every, 0.7)
        np.testing.assert_allclose(found.forward[0], np.log(p @ np.exp(each.forward)), atol=1e-11)
        np.testing.assert_allclose(found.backward[0], np.log(p @ np.exp(each.backward)), atol=1e-11)
        np.testing.assert_allclose(found.forward_typical[0], p @ each.forward, atol=1e-11)
        np.testing.assert_allclose(found.backward_typical[0], p @ each.backward, atol=1e-11)
        variance = p @ (each.forward[:, -1] - p @ each.forward[:, -1]) ** 2
        assert found.gate_variance[0] == pytest.approx(variance, abs=1e-10)


def test_one_chain_does_not_depend_on_its_company() -> None:
    rng = np.random.default_rng(1)
    rows, depth = 40, 9
    on = rng.random((3, rows)) < 0.4
    keep, skip = rng.random((rows, depth)) < 0.8, np.where(rng.random((rows, 1)) < 0.5, 1.0, rng.random((rows, depth)))
    two_matrix, gain = rng.random(rows) < 0.5, rng.uniform(0.7, 1.8, rows)
    columns = Columns(rng.choice(NAMES, rows), two_matrix, gain, *on, keep, skip, 1.0)  # type: ignore[arg-type]
    together, spread = expected_norms(columns), fluctuations(columns, 32)
    for row in range(rows):
        alone = columns.take(np.array([row]))
        for one, all_rows in zip(vars(expected_norms(alone)).values(), vars(together).values(), strict=True):
            np.testing.assert_array_equal(one[0], all_rows[row])
        for one, all_rows in zip(fluctuations(alone, 32), spread, strict=True):
            np.testing.assert_array_equal(one[0], all_rows[row])


def test_ten_thousand_blocks_do_not_overflow() -> None:
    """Of every placement and activation, with all skips and with none, exploding and vanishing."""
    cases = [(a, *placement[:3], g, s) for a in NAMES for placement in PLACEMENTS.values() for g, s in ((1.4, 1), (0.3, 0))]
    names, on_input, on_branch, on_sum, gain, skip = (np.array(column) for column in zip(*cases, strict=True))
    blocks = np.ones((len(cases), 10_000))
    columns = Columns(
        names.tolist(), np.ones_like(on_input), gain, on_input, on_branch, on_sum, blocks, skip[:, None], blocks
    )
    found, spread = expected_norms(columns), fluctuations(columns, 8)
    for values in (found.forward, found.backward, spread.forward, spread.backward, spread.log_effective_rank):
        assert np.isfinite(values).all()
    np.testing.assert_allclose(found.forward[:, -1], found.backward[:, 0], rtol=1e-10)
    assert found.forward[:, -1].max() > 4000 and found.forward[:, -1].min() < -10_000


def test_a_chain_of_identities_is_legal() -> None:
    for columns in (chain(3, keep=np.zeros((1, 3))), chain(0)):
        found, spread = expected_norms(columns), fluctuations(columns, 16)
        assert not found.forward.any() and not found.backward.any() and found.exact.all()
        assert not spread.forward.any() and spread.log_effective_rank[0] == pytest.approx(0)
        assert not block_energies(columns).share.any()
        assert [critical.density for critical in critical_densities(columns)] == [None, None]


def test_special_cases_of_columns() -> None:
    """LayerNorm scaling is a norm gain; DeepNorm is post-norm with strength and gain; SkipInit is scale 0."""
    blocks = np.arange(1, 31)
    scaled = expected_norms(chain(30, on_input=True, norm_gain=1 / np.sqrt(blocks)[None]))
    harmonic = np.concatenate([[0], np.cumsum(1 / blocks)])
    np.testing.assert_allclose(scaled.forward[0], np.log1p(0.5 * harmonic), rtol=1e-12)
    alpha, beta = (2 * 4) ** 0.25, (8 * 4) ** -0.25
    deep = expected_norms(chain(8, activation=["gelu"], on_sum=True, strength=alpha, weight_gain=beta))
    v, s = (float(m[0]) for m in MOMENTS["gelu"](np.array([beta**2])))
    factor = (alpha**2 + beta**4 * s) / (alpha**2 + beta**2 * v)
    assert deep.forward[0, -1] == pytest.approx(8 * math.log(factor), rel=1e-12)
    assert not expected_norms(chain(5, scale=0.0)).forward.any()
    by_depth = expected_norms(chain(400, activation=["linear"], scale=1 / math.sqrt(400)))
    assert by_depth.forward[0, -1] == pytest.approx(1, abs=2e-3)  # (1 + 1/L)^L


def test_exactness_is_said() -> None:
    assert expected_norms(chain(3, skip=0.4)).exact[0]
    assert expected_norms(chain(3, two_matrix=False, skip=0.0)).exact[0]
    assert expected_norms(chain(3, two_matrix=False, activation=["linear"])).exact[0]
    for inexact in ({"two_matrix": False}, {"activation": ["gelu"]}, {"on_input": True}, {"on_sum": True}):
        assert not expected_norms(chain(3, **inexact)).exact[0]


@pytest.mark.parametrize(
    ("chi", "annealed", "quenched"), [(0.5, 0.5, 0.630930), (0.25, 0.75, 0.861353), (0.9, 0.1, 0.141004)]
)
def test_critical_densities(chi: float, annealed: float, quenched: float) -> None:
    found = critical_densities(chain(12, weight_gain=(2 * chi) ** 0.25))
    assert [critical.density for critical in found] == pytest.approx([annealed, quenched], abs=1e-6)
    assert [annealed_density(chi), quenched_density(chi)] == pytest.approx([annealed, quenched], abs=1e-6)
    assert annealed_density(1.5) is None and quenched_density(1.5) is None
    assert annealed_density(0.0) == quenched_density(0.0) == 1.0
    explodes, _ = critical_densities(chain(12, weight_gain=1.5))
    assert explodes.density is None and "at every density" in str(explodes.reason)


def test_critical_gains_of_plain_networks() -> None:
    """chi_J = 1 at the fixed point; where there is no bias, the known gains."""
    for name, gain in (("relu", 2.0), ("linear", 1.0), ("tanh", 1.0), ("erf", math.pi / 4)):
        found = critical_gain(name)
        assert found is not None and found.weight_variance == pytest.approx(gain, rel=1e-12)
    for name in ("tanh", "erf", "gelu"):
        found = critical_gain(name, 0.1)
        assert found is not None and found.fixed_point is not None
        second, slope = (float(m[0]) for m in MOMENTS[name](np.array([found.fixed_point])))
        assert found.weight_variance * slope == pytest.approx(1, rel=1e-9)
        assert found.weight_variance * second + 0.1 == pytest.approx(found.fixed_point, rel=1e-9)
        weights = {"two_matrix": False, "skip": 0.0, "weight_gain": math.sqrt(found.weight_variance), "outer_bias": 0.1}
        along = expected_norms(chain(50, activation=[name], **weights), found.fixed_point)
        assert np.abs(along.forward).max() < 1e-7
    assert critical_gain("relu", 0.1) is None


@pytest.mark.parametrize("two_matrix", [False, True])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_a_plain_chain_does_not_grow_at_its_critical_gain(name: str, two_matrix: bool, scale: float) -> None:
    """By the chain's own recursion, for a branch of one matrix and of two: of two each has the square root, relu's √2.

    Without bias tanh, erf, gelu and silu are critical at K* = 0, so the stream is small there; with a bias at their K*.
    """
    powers = {"relu": 2.0, "linear": 1.0, "tanh": 1.0, "erf": math.pi / 4, "gelu": 4.0, "silu": 4.0}
    expected = (powers[name] / scale**2) ** (1 / 2 if two_matrix else 1)
    for bias in (0.0, 0.1):
        found = critical_gain(name, bias, two_matrix, scale)
        if found is None:
            assert bias and name in ("relu", "linear")
            continue
        assert bias or found.weight_variance == pytest.approx(expected, rel=1e-12)
        gains = {"weight_gain": math.sqrt(found.weight_variance), "outer_bias": bias, "scale": scale}
        start = {None: 0.7, 0.0: 1e-12}.get(found.fixed_point, found.fixed_point)
        along = expected_norms(chain(40, activation=[name], two_matrix=two_matrix, skip=0.0, **gains), start)
        assert np.abs(along.forward).max() < 1e-7
        more = chain(
            40, activation=[name], two_matrix=two_matrix, skip=0.0, **{**gains, "weight_gain": 1.1 * gains["weight_gain"]}
        )
        assert expected_norms(more, start).forward[0, -1] > 1


def test_independent_gates_may_lose_both_paths() -> None:
    """s + p chi in the mean; E log is −∞, said and not computed."""
    found = gated_chain(0.4, 6, skip=0.6, branch=0.5, independent=True)
    assert found.log_mean == pytest.approx(6 * math.log(0.8)) and found.mean_log is None
    tied = gated_chain(0.4, 6, skip=0.6, branch=0.5)
    same = expected_norms(chain(6, weight_gain=0.8**0.25, skip=0.6, keep=np.full((1, 6), 0.5)))
    assert tied.log_mean == pytest.approx(same.forward[0, -1])
    assert [tied.mean_log, tied.variance_log] == pytest.approx([same.forward_typical[0, -1], same.gate_variance[0]])


def test_inputs_decorrelate_by_the_nonlinearity_alone() -> None:
    assert output_decorrelation(chain(9, activation=["linear"]), 0.3)[0] == pytest.approx(0.7)
    relu = output_decorrelation(chain(9), 0.3)[0]
    assert (np.diff(relu) < 0).all()
    kernel = (math.sqrt(1 - 0.09) + (math.pi - math.acos(0.3)) * 0.3) / math.pi  # arc-cosine, Cho & Saul 2009
    assert output_decorrelation(chain(1, skip=0.0), 0.3)[0, 1] == pytest.approx(1 - kernel, rel=1e-12)


@pytest.mark.parametrize("activation", NAMES)
def test_decorrelation_of_random_gates_is_the_average_over_patterns(activation: str) -> None:
    """Of 1 − c, up to its curvature in one block: within 5% of the enumeration."""
    for on_input in (False, True):
        columns = chain(6, activation=[activation], scale=0.9, skip=0.6, keep=np.full((1, 6), 0.8), on_input=on_input)
        every, p = patterns(columns)
        expected = p @ output_decorrelation(every, 0.2)
        np.testing.assert_allclose(output_decorrelation(columns, 0.2)[0], expected, rtol=0.05)


@pytest.mark.parametrize("activation", NAMES)
def test_decorrelation_survives_streams_of_any_size(activation: str) -> None:
    for gain, skip in ((0.3, 0.0), (1.8, 1.0)):
        apart = output_decorrelation(chain(1000, activation=[activation], weight_gain=gain, skip=skip), 0.2)
        assert np.isfinite(apart).all() and (apart >= 0).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"activation": ["swish"]}, "`activation` must be one of linear, relu, erf, gelu, tanh, silu, got 'swish'"),
        ({"skip": 1.2}, "`skip` must hold numbers in \\[0, 1\\], got 1.2"),
        ({"keep": np.full((1, 4), -0.1)}, "`keep` must hold numbers in \\[0, 1\\], got -0.1"),
        ({"scale": -1.0}, "`scale` must hold finite numbers of at least 0"),
        ({"weight_gain": 0.0}, "`weight_gain` must hold numbers in \\[1e-09, 1e\\+09\\], got 0.0"),
        ({"strength": math.nan}, "`strength` must hold finite numbers"),
        ({"scale": 0.0, "skip": 0.5}, "`scale` must be greater than 0 where the identity path may be cut"),
        ({"skip": np.ones((1, 3))}, "`skip` must have a shape that fits \\[1, 4\\], got \\[1, 3\\]"),
    ],
)
def test_bad_columns_are_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        chain(4, **wrong)


def test_other_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"`stream_variance` must hold finite numbers greater than 0, got 0\.0"):
        expected_norms(chain(2), 0.0)
    with pytest.raises(ValueError, match=r"`chi` must be a finite number of at least 0, got -0\.1"):
        annealed_density(-0.1)
    with pytest.raises(ValueError, match="`activation` must be one of"):
        critical_gain("swish")
    with pytest.raises(ValueError, match="`width` must hold numbers of at least 2"):
        fluctuations(chain(2), 1)
    with pytest.raises(ValueError, match="`correlation` must hold numbers in"):
        output_decorrelation(chain(2), 1.5)
