"""merit is what its definition says, of each architecture alone; the population is part of a search's score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import optuna
import pytest
import torch
from torch import Tensor

from nasjac.architecture.block import Block
from nasjac.architecture.ensemble import members
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.datasets import Data
from nasjac.kinds.common_probe import input_correlations
from nasjac.kinds.facts import facts
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.mathematics.log_percentile import LogPercentile
from nasjac.mathematics.trainability import TOLERANCE, merit, penalties, trainability_penalty
from nasjac.samplers.random_specs import random_specs
from nasjac.sampling.draws import Draws
from nasjac.scores.apjn import Apjn
from nasjac.scores.merit import BoundMerit, Merit
from nasjac.searching.search import Search
from nasjac.testing.scores import without_time

optuna.logging.set_verbosity(optuna.logging.WARNING)
CPU = torch.device("cpu")
MERIT = Merit(rel_error=None, patterns=3, decorrelation_draws=3, images=6)
SPACE = ResidualMlpSpace(depth_max=6, widths=(8, 16), skip_density_min=0.5)
POPULATION = random_specs(SPACE, 24)
SPECS = [
    Spec.of(width=16, blocks=(Block(), Block(skip=0), Block(scale=0.5)), placement=placement, activation=activation)
    for placement, activation in (("none", "relu"), ("pre", "gelu"), ("post", "tanh"), ("sandwich", "relu"))
]
ENSEMBLE = Spec.of(width=16, blocks=(Block(skip=0.5),) * 4, placement="pre")


def inputs() -> Tensor:
    return torch.randn(60, 10, generator=torch.Generator().manual_seed(1))


def merit_of(measurement: Measurement) -> float:
    value = measurement.terms["merit"].value
    assert value is not None
    return value


def expressivity_of(measurement: Measurement) -> float:
    """What is left of merit without the penalty."""
    penalty = measurement.terms["trainability_penalty"].value
    assert penalty is not None
    return -math.log(math.exp(-merit_of(measurement)) - math.exp(penalty))


def decorrelations(specs: Sequence[Spec]) -> np.ndarray:
    """[n, draws] by numpy, from the correlations, by input."""
    draws = Draws(MERIT.seed, range(MERIT.decorrelation_draws), torch.float32, CPU)
    found = input_correlations([spec.canonical for spec in specs], inputs(), draws, MERIT.images)
    values = [np.linalg.eigvalsh(one.numpy()).clip(0) + 1e-5 for one in found if one is not None]
    return np.array([-(np.log(each) + 1 / each).mean(axis=-1) for each in values])


def test_the_penalty_is_nothing_where_nothing_harms_training_and_grows_with_each_term() -> None:
    assert trainability_penalty(*np.zeros(4)) == 0
    harms = np.array([1.0, 1.0, -1.0, -1.0])  # which way each term gets worse
    base = np.array([0.5, 0.3, -0.4, -0.2])
    for term, harm in enumerate(harms):
        steps = base + np.outer(np.linspace(0, 3, 7), np.eye(4)[term] * harm)
        assert (np.diff(trainability_penalty(*steps.T)) > 0).all()
    vanishing = trainability_penalty(*np.array([[-0.5, 0, 0, 0], [-3, 0, 0, 0]]).T)
    exploding = trainability_penalty(*np.array([[1.0, 0, 0, 0], [6, 0, 0, 0]]).T)
    assert vanishing == pytest.approx([(0.5 / TOLERANCE) ** 2, 0.25]) and exploding == pytest.approx(vanishing)
    parts = penalties(*base)
    assert float(trainability_penalty(*base)) == pytest.approx((0.25 / 6) ** 2 + 0.09**2 + 0.02 + 0.04)
    assert parts["spread"] == pytest.approx(0.09**2) and len(parts) == 4


def test_merit_is_the_weaker_of_expressivity_and_trainability() -> None:
    rng = np.random.default_rng(0)
    expressivity, penalty = -rng.exponential(2, 200), rng.exponential(2, 200)
    found, weaker = merit(expressivity, penalty), np.minimum(expressivity, -penalty)
    assert (found < weaker).all() and (found >= weaker - math.log(2)).all()
    assert (merit(expressivity + 0.1, penalty) > found).all() and (merit(expressivity, penalty + 0.1) < found).all()
    assert merit([-math.inf, 0.0, -2.0], [0.0, math.inf, 900.0]) == pytest.approx([-math.inf, -math.inf, -900])
    assert merit(0, 0) == pytest.approx(-math.log(2))


def test_the_identity_has_no_penalty_but_for_the_inputs_correlation() -> None:
    [found] = MERIT.bind(POPULATION).measure([Spec.of(width=16, blocks=(Block(keep=False),) * 3)], inputs(), CPU)
    penalty, decorrelation = (found.terms[name].value for name in ("trainability_penalty", "log_decorrelation"))
    assert penalty is not None and decorrelation is not None
    assert penalty == pytest.approx(decorrelation**2, abs=0.02)


def test_merit_is_log_ranks_of_capacity_and_decorrelation_or_the_penalty() -> None:
    found = MERIT.bind(POPULATION).measure(SPECS, inputs(), CPU)
    plain = Apjn(rel_error=None, patterns=3).measure(SPECS, inputs(), CPU)
    capacity = LogPercentile([fact.flops for fact in facts(POPULATION)])([fact.flops for fact in facts(SPECS)])
    reference, own = decorrelations(POPULATION), decorrelations(SPECS)
    ranks = np.array([LogPercentile(reference[:, draw])(own[:, draw]) for draw in range(own.shape[1])])
    for number, (item, terms) in enumerate(zip(found, plain, strict=True)):
        penalty = terms.terms["trainability_penalty"]
        assert penalty.value is not None and penalty.standard_error is not None
        expressive, harm = math.exp(-capacity[number] - ranks[:, number].mean()), math.exp(penalty.value)
        assert merit_of(item) == pytest.approx(-math.log(expressive + harm), abs=1e-9)
        errors = expressive * ranks[:, number].std(ddof=1) / math.sqrt(3), harm * penalty.standard_error
        error = math.hypot(*errors) / (expressive + harm)
        assert item.terms["merit"].standard_error == pytest.approx(error, abs=1e-9)
        assert item.terms["jacobian_decorrelation"].value == pytest.approx(own[number].mean(), abs=1e-9)
        changed = {"merit": None, "jacobian_decorrelation": None}
        assert {**item.terms, **changed} == {**terms.terms, **changed}, "all else is as the sampled score has it"


def test_merit_depends_on_the_inputs() -> None:
    score = MERIT.bind(POPULATION)
    other, again = (score.measure(SPECS, at, CPU) for at in (3 * inputs().flip(0), inputs()))
    assert [merit_of(m) for m in other] != [merit_of(m) for m in again]


def test_an_ensemble_has_the_mean_of_its_patterns_and_keeps_the_one_of_most_merit() -> None:
    score = MERIT.bind(POPULATION)
    [found] = score.measure([ENSEMBLE], inputs(), CPU)
    drawn = members(ENSEMBLE, MERIT.patterns, MERIT.seed)
    alone = {m.key: m for m in score.measure([Spec.from_json(text) for text, _ in found.patterns], inputs(), CPU)}
    assert {key: without_time(m) for key, m in alone.items()} == {m.key: without_time(m) for _, m in found.patterns}
    ranked = np.mean([expressivity_of(alone[member.key]) for member in drawn])
    assert expressivity_of(found) == pytest.approx(ranked)
    assert len(alone) > 1 and found.kept_key == max(alone, key=lambda key: merit_of(alone[key]))


def test_where_all_have_equal_flops_the_others_terms_decide() -> None:
    population = [replace(spec, weight_gain=0.5 + 0.1 * number) for number, spec in enumerate(SPECS[:1] * 12)]
    specs = [replace(SPECS[0], weight_gain=gain) for gain in (0.8, 1.6)]
    assert len({fact.flops for fact in facts([*population, *specs])}) == 1
    found = MERIT.bind(population).measure(specs, inputs(), CPU)
    assert merit_of(found[0]) != merit_of(found[1])
    capacity, own = math.log(0.5), decorrelations(specs)
    reference = decorrelations(population)
    ranked = np.mean([LogPercentile(reference[:, draw])(own[:, draw]) for draw in range(own.shape[1])], axis=0)
    assert expressivity_of(found[0]) == pytest.approx(capacity + ranked[0], abs=1e-9)


def test_what_diverges_has_no_merit_and_touches_no_one_else() -> None:
    overflow = Spec.of(width=16, blocks=(Block(),) * 60, activation="gelu", weight_gain=9.0)
    dead = Spec.of(width=2, blocks=(Block(skip=0),) * 6)
    score = MERIT.bind(POPULATION)
    calm = [without_time(m) for m in score.measure(SPECS, inputs(), CPU)]
    *mixed, one, other = score.measure([*SPECS, overflow, dead], inputs(), CPU)
    assert [without_time(m) for m in mixed] == calm
    assert (one.status, other.status) == ("diverged", "diverged")
    assert one.terms["merit"].value is None and other.terms["merit"].value is None


def test_racing_leaves_the_merit_of_what_is_not_raced() -> None:
    cheap, costly = (
        Spec.of(width=16, blocks=(Block(scale=0.3),) * 8),
        Spec.of(width=16, blocks=(Block(skip=0), Block()) * 4, weight_gain=1.8),
    )
    score = replace(MERIT, rel_error=0.02, max_draws=128).bind(POPULATION)
    [alone] = score.measure([costly], inputs(), CPU)
    raced, free = score.race([costly, costly], inputs(), CPU, [cheap, None])
    assert raced.raced and raced.draws < free.draws and math.isfinite(merit_of(raced))
    assert without_time(free) == without_time(alone)


def test_implicit_blocks_and_images_have_a_merit() -> None:
    implicit = Spec.of(width=6, blocks=(Block(),) * 2, block="implicit", step=0.3, leak=0.5)
    ops = (Block(op="basic"), Block(op="basic", stage=1))
    resnet = Spec.of(width=4, blocks=ops, kind="resnet", shape=(1, 4, 4), norm="batchnorm")
    pictures = torch.randn(60, 16, generator=torch.Generator().manual_seed(1))
    for spec, data in ((implicit, inputs()), (resnet, pictures)):
        gains = [replace(spec, weight_gain=0.8 + 0.1 * number) for number in range(8)]
        [found] = replace(MERIT, decorrelation_draws=2).bind(gains).measure([spec], data, CPU)
        assert math.isfinite(merit_of(found))


def job(score: BoundMerit) -> Search:
    rows = torch.randn(40, 10, generator=torch.Generator().manual_seed(2))
    data = Data(rows[:30], torch.zeros(30, dtype=torch.int64), rows[30:], torch.zeros(10, dtype=torch.int64), 2)
    names = {part: {"name": part} for part in ("space", "score", "sampler", "dataset")}
    return Search(SPACE, score, partial(optuna.samplers.RandomSampler), data, names)


def test_the_population_is_part_of_what_a_measurement_depends_on() -> None:
    one, same, other = (MERIT.bind(population) for population in (POPULATION, list(POPULATION), POPULATION[1:]))
    assert one.digest == same.digest != other.digest
    ids = [job(score).score_id for score in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]
    assert random_specs(SPACE, 24) == POPULATION != random_specs(SPACE, 24, seed=1)
    assert all(not spec.is_ensemble for spec in random_specs(replace(SPACE, skip_mode="ensemble"), 8))


def test_a_search_is_for_merit_unless_told() -> None:
    made = job(MERIT.bind(POPULATION))
    assert made.objectives == ("merit",) and made.identity["search"]["objectives"] == ["merit"]
    told = replace(made, options=replace(made.options, objectives=("params", "merit")))
    assert told.objectives == ("params", "merit") and told.score_id == made.score_id
    assert job(MERIT.bind(POPULATION)).objectives != replace(made, score=Apjn()).objectives


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reference": 255}, "`score.reference` must be a whole number of at least 256, got 255"),
        ({"images": 1}, "`score.images` must be a whole number of at least 2, got 1"),
        ({"decorrelation_draws": 1}, "`score.decorrelation_draws` must be a whole number of at least 2, got 1"),
        ({"plan": "forward"}, "`score.plan` must be independent for merit, got 'forward'"),
        ({"draws": 8}, "`score.draws` must be a whole number of at least 16"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Merit(**options)  # type: ignore[arg-type]
