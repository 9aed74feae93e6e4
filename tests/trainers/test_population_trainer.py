"""A population's training is that of its ordinary modules one by one; no network feels its neighbours."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from nasjac.architecture.block import Block
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.spec import Spec
from nasjac.datasets import Data, Digits
from nasjac.kinds.build import build
from nasjac.kinds.options.units import NORMS
from nasjac.kinds.residual_mlp.spec import BRANCHES
from nasjac.mathematics.activations import ACTIVATIONS
from nasjac.testing.inputs import clusters
from nasjac.trainers import AdamW, Run
from nasjac.trainers.population import fit, fit_population

OPTIONS = AdamW(steps=3, batch=16, learning_rates=(0.003, 0.01), seeds=(0, 3))
EXPLODES = Spec.of(width=8, blocks=(Block(),) * 4, weight_gain=1e12)


def mixed(width: int, deepest: int) -> list[Spec]:
    """Every placement, norm, activation and branch, of random depths, skips, scales and gains, and one without blocks."""
    draw = random.Random(width)
    specs = [Spec.of(width=width, blocks=())]
    for placement, norm, activation, branch in itertools.product(PLACEMENTS, NORMS, ACTIVATIONS, BRANCHES):
        gates = [(float(draw.random() < 0.6), draw.choice([1.0, 0.5, 0.2])) for _ in range(draw.randint(1, deepest))]
        blocks = tuple(Block(skip=skip, scale=scale) for skip, scale in gates)
        gain = draw.uniform(0.7, 1.5)
        specs.append(
            Spec.of(
                width=width,
                blocks=blocks,
                kind="residual_mlp",
                placement=placement,
                norm=norm,
                activation=activation,
                branch=branch,
                weight_gain=gain,
            )
        )
    draw.shuffle(specs)
    return specs


def ordinary(spec: Spec, data: Data, options: AdamW, device: torch.device) -> list[Run]:
    return fit(lambda generator: build(spec, data.inputs, data.outputs, generator), data, options, str(device))


def assert_same_bits(runs: list[Run], others: list[Run]) -> None:
    for run, other in zip(runs, others, strict=True):
        same = [
            getattr(run, name) == getattr(other, name)
            for name in ("seed", "learning_rate", "status", "reason", "accuracy", "loss", "train_loss", "steps")
        ]
        assert all(same), f"{run} is not {other}"
        assert run.state.keys() == other.state.keys()
        assert all(torch.equal(value, other.state[name]) for name, value in run.state.items())


@pytest.fixture
def double() -> Iterator[None]:
    """New modules are of float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
def test_it_is_the_training_of_ordinary_modules(device: torch.device) -> None:
    data, specs = clusters(dtype=torch.float64), mixed(width=6, deepest=5)
    options = replace(OPTIONS, clip=0.3, weight_decay=0.1)
    for spec, runs in zip(specs, fit_population(specs, data, options, str(device)), strict=True):
        for run, expected in zip(runs, ordinary(spec, data, options, device), strict=True):
            assert (run.seed, run.learning_rate, run.steps) == (expected.seed, expected.learning_rate, 3)
            assert (run.status, run.accuracy) == (expected.status, expected.accuracy) and run.seconds > 0
            assert run.loss == pytest.approx(expected.loss, rel=1e-8)
            assert run.train_loss == pytest.approx(expected.train_loss, rel=1e-8)
            torch.testing.assert_close(dict(run.state), dict(expected.state), rtol=1e-8, atol=1e-8)


def test_the_first_losses_are_those_of_ordinary_modules_to_float32_s_rounding(device: torch.device) -> None:
    data, specs = clusters(), mixed(width=8, deepest=5)
    options = replace(OPTIONS, steps=1, learning_rates=(0.01,), seeds=(0,))
    for spec, runs in zip(specs, fit_population(specs, data, options, str(device)), strict=True):
        for run, expected in zip(runs, ordinary(spec, data, options, device), strict=True):
            assert run.train_loss == pytest.approx(expected.train_loss, rel=1e-4)


def test_digits_are_learned_as_well_as_by_ordinary_modules(device: torch.device) -> None:
    """Rounding grows over the steps; what it comes to is no better and no worse."""
    data, specs = Digits().load(), mixed(width=16, deepest=5)[::3]
    options = AdamW(steps=30, batch=32, learning_rates=(0.01,), seeds=(0,))
    trained = fit_population(specs, data, options, str(device))
    differences = [
        run.accuracy - expected.accuracy
        for spec, runs in zip(specs, trained, strict=True)
        for run, expected in zip(runs, ordinary(spec, data, options, device), strict=True)
        if run.accuracy is not None and expected.accuracy is not None
    ]
    count = len(differences)
    assert count >= 30
    mean = sum(differences) / count
    variance = sum((difference - mean) ** 2 for difference in differences) / (count - 1)
    assert abs(mean) <= 4 * math.sqrt(variance / count) and abs(mean) < 0.01


def test_a_network_that_diverges_changes_no_bit_of_its_neighbours(device: torch.device) -> None:
    data, specs = clusters(), mixed(width=8, deepest=4)[:12]
    options = replace(OPTIONS, steps=8)
    sane = fit_population([*specs, replace(EXPLODES, weight_gain=1.0)], data, options, str(device))
    planted = fit_population([*specs, EXPLODES], data, options, str(device))
    for run in planted.pop():
        assert (run.status, run.reason, run.steps) == ("diverged", "the loss is not finite at initialization", 0)
        assert (run.accuracy, run.loss, run.train_loss, dict(run.state)) == (None, None, None, {})
    for runs, others in zip(planted, sane, strict=False):
        assert_same_bits(runs, others)


def test_a_learning_rate_that_diverges_changes_no_bit_of_the_others(device: torch.device) -> None:
    data, specs = clusters(), [Spec.of(width=8, blocks=(Block(),) * depth) for depth in (3, 1, 2)]
    options = replace(OPTIONS, steps=8)
    sane = fit_population(specs, data, options, str(device))
    wild = fit_population(specs, data, replace(options, learning_rates=(0.003, 1e38)), str(device))
    for runs, others in zip(wild, sane, strict=True):
        assert_same_bits(runs[::2], others[::2])
        for run in runs[1::2]:
            assert (run.status, run.reason) == ("diverged", f"the loss is not finite after {run.steps} steps")
            assert 0 < run.steps < 8


@pytest.mark.parametrize("width", [5, 8, 32])
def test_on_a_cpu_neither_order_nor_company_changes_a_bit(width: int) -> None:
    data, specs = clusters(), mixed(width, deepest=4)[:16]
    together = fit_population(specs, data, OPTIONS)
    for runs, others in zip(together, fit_population(specs[::-1], data, OPTIONS)[::-1], strict=True):
        assert_same_bits(runs, others)
    for spec, runs in zip(specs, together, strict=True):
        assert_same_bits(runs, fit_population([spec], data, OPTIONS)[0])


def test_the_state_is_the_trained_module_s(device: torch.device) -> None:
    data, specs = clusters(), [Spec.of(width=8, blocks=(Block(), Block(keep=False))), *mixed(width=8, deepest=4)[:9]]
    for spec, runs in zip(specs, fit_population(specs, data, OPTIONS, str(device)), strict=True):
        for run in runs:
            module = build(spec, 3, 2)
            module.load_state_dict(dict(run.state))
            assert run.accuracy == (module(data.valid_inputs).argmax(1) == data.valid_labels).double().mean()


def test_progress_ends_at_the_total() -> None:
    calls: list[tuple[int, int, str]] = []
    specs = [Spec.of(width=8, blocks=(Block(),) * depth) for depth in (1, 2)]
    fit_population(specs, clusters(), replace(OPTIONS, steps=15), progress=lambda *call: calls.append(call))
    assert [(done, total) for done, total, _ in calls] == [(10, 15), (15, 15)]


def test_nobody_trained_is_no_runs() -> None:
    assert fit_population([], clusters(), OPTIONS) == []


def test_what_cannot_be_one_population() -> None:
    spec = Spec.of(width=8, blocks=(Block(),))
    other = replace(spec)
    object.__setattr__(other, "kind", "convolutional")
    for specs, rule in (
        ([spec, replace(spec, width=16)], "`width` must be the same for all of a population, got 8, 16"),
        ([spec, other], "`kind` must be the same for all of a population, got convolutional, residual_mlp"),
        ([spec, replace(spec, blocks=(Block(skip=0.5),))], "`skip` must be 0 or 1 in every block"),
    ):
        with pytest.raises(ValueError, match=rule):
            fit_population(specs, clusters(), OPTIONS)
