"""A Jacobian that is zero in few draws changes nothing; in more than a tenth of them the architecture is diverged."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from nasjac import Block, Spec
from nasjac.kinds.common_probe import independent_inputs, input_correlations
from nasjac.kinds.population import sample
from nasjac.sampling.draws import Draws
from nasjac.sampling.estimators import NAMES, terms
from nasjac.sampling.samples import Samples
from nasjac.scores.apjn import Apjn
from nasjac.scores.merit import Merit
from nasjac.scores.sampled_terms import DEAD_DRAWS, measured_at

CPU = torch.device("cpu")
SPEC = Spec.of(width=24, blocks=(Block(), Block(skip=0), Block()), activation="gelu")


def inputs() -> torch.Tensor:
    return torch.randn(200, 10, generator=torch.Generator().manual_seed(1))


def samples_with_dead(draws: int, dead: list[int]) -> tuple[Samples, Samples]:
    """Samples of so many draws, those of `dead` with a zero Jacobian at one input; and the others alone."""
    [whole] = sample([SPEC], inputs(), Draws(0, range(draws), torch.float64, CPU))
    changed = {name: getattr(whole, name).copy() for name in ("forward", "backward", "round_trip")}
    for values in changed.values():
        values[dead, 1] = -np.inf
    living = np.delete(np.arange(draws), dead)
    rest = Samples(**{item.name: getattr(whole, item.name)[living] for item in fields(Samples)})
    return replace(whole, **changed), rest


@pytest.mark.parametrize(("draws", "dead"), [(16, [3]), (64, [0, 9, 41]), (256, [100])])
def test_a_rare_dead_draw_leaves_the_terms_of_the_others(draws: int, dead: list[int]) -> None:
    whole, rest = samples_with_dead(draws, dead)
    found, expected = measured_at("k", whole), measured_at("k", rest)
    assert found.status == "ok" and found.draws == draws
    assert found.terms["dead_fraction"].value == pytest.approx(len(dead) / draws / 2)
    assert expected.terms["dead_fraction"].value == 0
    for name in NAMES[:-1]:
        one, other = found.terms[name], expected.terms[name]
        assert one.value == pytest.approx(other.value, rel=1e-12)
        # of n draws, of which one says nothing, the jackknife's factor is (n - 1) / n of n, not of n - 1
        assert one.standard_error == pytest.approx(other.standard_error, rel=0.05)
    assert found.profile == expected.profile


def test_many_dead_draws_are_a_divergence_with_a_reason() -> None:
    """The share that decides is that of draws, so more draws only say it more precisely."""
    for draws in (20, 200):
        few, many = (samples_with_dead(draws, list(range(count)))[0] for count in (draws // 10, draws // 10 + 1))
        assert measured_at("k", few).status == "ok"
        found = measured_at("k", many)
        assert found.status == "diverged" and f"more than {DEAD_DRAWS:g}" in str(found.reason)
        assert found.terms["mean_log"].value is None and found.profile == ()


def test_racing_pairs_the_same_draws_where_some_are_dead() -> None:
    """A draw that is left out of one of two architectures changes nothing when it is left out of both."""
    whole, rest = samples_with_dead(32, [5])
    living = np.arange(32) != 5
    found, alone = terms([whole], living[None]), terms([rest])
    assert found.left_out.shape == (32, len(NAMES))
    np.testing.assert_allclose(found.left_out[living, :-1], alone.left_out[:, :-1], rtol=1e-12)
    np.testing.assert_allclose(found.left_out[5, :-1], found.values[:-1], rtol=1e-12)


def test_the_status_of_an_architecture_does_not_hang_on_the_number_of_draws() -> None:
    """Of a plain relu network of 6 units some 3% of draws are dead: at many draws too it is measured."""
    spec = Spec.of(width=6, blocks=(Block(), Block(skip=0), Block()))
    measured = [
        Apjn(draws=draws, rel_error=None, dtype="float64").measure([spec], inputs(), CPU)[0] for draws in (16, 256, 1024)
    ]
    assert [item.status for item in measured] == ["ok"] * 3
    assert 0.005 < float(measured[-1].terms["dead_fraction"].value or 0) < 0.08
    values = [item.terms["mean_log"] for item in measured]
    for one, other in pairwise(values):
        assert one.value is not None and other.value is not None
        assert abs(one.value - other.value) < 4 * math.hypot(one.standard_error or 0, other.standard_error or 0)


def test_the_status_of_an_ensemble_does_not_hang_on_the_number_of_patterns() -> None:
    """Some 3% of its patterns' draws are dead, and many patterns have one such draw among them."""
    spec = Spec.of(width=8, blocks=(Block(skip=0.5),) * 10, branch="one_matrix", weight_gain=1.4)
    for patterns in (3, 8, 24):
        [found] = Apjn(draws=64, rel_error=None, patterns=patterns, dtype="float64").measure([spec], inputs(), CPU)
        assert found.status == "ok" and found.terms["mean_log"].value is not None, found.reason
        assert 0 < float(found.terms["dead_fraction"].value or 0) < DEAD_DRAWS


def test_a_dead_draw_of_one_pattern_leaves_the_draws_of_the_others() -> None:
    """Terms of two patterns are the mean of their own, of which one has a draw fewer."""
    (one, rest), (other, _) = samples_with_dead(32, [5]), samples_with_dead(32, [])
    living = np.array([np.arange(32) != 5, np.ones(32, dtype=bool)])
    found = terms([one, other], living)
    index = NAMES.index("mean_log")
    means = [terms([each]).values[index] for each in (rest, other)]
    assert found.values[index] == pytest.approx(np.mean(means), rel=1e-12)


def test_merit_is_of_the_living_inputs_and_draws() -> None:
    """A plain relu chain of 6 units has zero Jacobians now and then, and a merit all the same; a dead one has none."""
    specs = [
        Spec.of(width=6, blocks=(Block(), Block(skip=0), Block(skip=0))),
        Spec.of(width=6, blocks=(Block(skip=0),) * 40),
    ]
    population = [Spec.of(width=width, blocks=(Block(),) * depth) for width in (6, 8) for depth in range(1, 9)] * 16
    with_none = 0
    for seed in range(6):
        score = Merit(seed=seed, rel_error=None, dtype="float64", decorrelation_draws=8)
        plain, dead = score.bind(population).measure(specs, inputs(), CPU)
        with_none += int((~np.isfinite(score.decorrelations([specs[0].canonical], inputs(), CPU))).any())
        assert (plain.status == "ok") == (plain.terms.get("merit") is not None and plain.terms["merit"].value is not None)
        assert dead.status == "diverged" and dead.terms["merit"].value is None
        value, error = (plain.terms["jacobian_decorrelation"].value, plain.terms["jacobian_decorrelation"].standard_error)
        assert value is not None and error is not None and math.isfinite(value)
    assert with_none, "a draw without a value is among them"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Spec.of(width=3, blocks=(Block(),) * 2), 2),
        (Spec.of(width=8, blocks=(Block(),) * 2), 4),
        (Spec.of(width=40, blocks=(Block(),) * 2), 16),
        (Spec.of(width=4, blocks=(Block(op="attention"),), kind="vit", context=4, shape=(1, 4, 4), patch=2), 8),
        (Spec.of(width=2, blocks=(Block(op="basic"),), kind="resnet", norm="none", shape=(1, 2, 2)), 4),
    ],
)
def test_there_are_never_more_images_than_units(spec: Spec, expected: int) -> None:
    """So that no eigenvalue of the correlations is zero because the network is narrow."""
    assert independent_inputs(spec, 16) == expected
    x = torch.randn(64, spec.inputs.features or 10, generator=torch.Generator().manual_seed(2))
    [found] = input_correlations([spec], x, Draws(0, range(3), torch.float64, CPU), 16)
    assert found is not None and found.shape == (3, expected, expected)


def test_decorrelation_does_not_measure_the_width() -> None:
    """Of narrow networks it is like that of wide ones, far above the −6,250 of a zero eigenvalue; what was used is said."""
    specs = [Spec.of(width=width, blocks=(Block(),) * 3, activation="gelu").canonical for width in (8, 12, 64)]
    found = Merit(decorrelation_draws=16).decorrelations(specs, inputs(), CPU)
    median = np.median(found, axis=1)
    assert (found > -1000).all() and (np.abs(np.log(median / median[-1])) < np.log(6)).all()
    assert Merit().bind(specs * 86).provenance["least_images"] == 4
