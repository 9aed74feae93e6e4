"""Trainers: many runs in one batch are what the plain loop gives one by one; a run that diverges harms no other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.datasets import Data, Digits
from nasjac.kinds.build import build
from nasjac.testing.inputs import clusters, three_blocks
from nasjac.trainers import SGD, TRAINERS, AdamW, Run, Trainer, best, trainer_id
from nasjac.trainers.population import fit

SPEC = three_blocks()
Factory = Callable[[torch.Generator], nn.Module]


def double(generator: torch.Generator) -> nn.Module:
    return build(SPEC, 3, 2, generator).double()


def zero(_: torch.Generator) -> nn.Module:
    """A linear map that starts at zero, whatever the seed."""
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Odd(nn.Module):
    """A linear map of f(weight), for networks that break in a chosen way."""

    def __init__(self, weight: float, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.weight, self.function = nn.Parameter(torch.full((2, 3), weight)), function

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.function(self.weight).T


def plain(factory: Factory, data: Data, options: AdamW | SGD, seed: int, rate: float) -> tuple[nn.Module, list[float]]:
    """The textbook loop, one run, every batch the whole training split."""
    module = factory(torch.Generator().manual_seed(seed))
    given: dict[str, Any] = {"lr": rate, "weight_decay": options.weight_decay, "fused": False}
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(module.parameters(), momentum=options.momentum, **given)
        if isinstance(options, SGD)
        else torch.optim.AdamW(module.parameters(), **given)
    )
    losses = []
    for step in range(options.steps):
        loss = F.cross_entropy(module(data.train_inputs), data.train_labels)
        optimizer.zero_grad()
        loss.backward()
        norm = math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in module.parameters()))
        for parameter in module.parameters():
            parameter.grad *= min(1.0, options.clip / norm)
        optimizer.param_groups[0]["lr"] = rate * options.schedule(step)
        optimizer.step()
        losses.append(loss.item())
    return module, losses


def by_pair(runs: list[Run]) -> dict[tuple[int, float], Run]:
    return {(run.seed, run.learning_rate): run for run in runs}


def assert_same(run: Run, other: Run, **tolerance: float) -> None:
    assert (run.status, run.accuracy, run.steps) == (other.status, other.accuracy, other.steps)
    torch.testing.assert_close(dict(run.state), dict(other.state), **tolerance)


@pytest.mark.parametrize("trainer", [AdamW, SGD, partial(SGD, momentum=0.0)], ids=["adamw", "sgd", "sgd_plain"])
def test_batched_training_is_the_plain_loop(trainer: Callable[..., AdamW | SGD]) -> None:
    data = clusters(dtype=torch.float64)
    options = trainer(steps=30, batch=40, learning_rates=(0.01, 0.1), seeds=(0, 3), clip=0.3, weight_decay=0.1)
    runs = fit(double, data, options)
    assert [(run.seed, run.learning_rate) for run in runs] == [(0, 0.01), (0, 0.1), (3, 0.01), (3, 0.1)]
    for run in runs:
        module, losses = plain(double, data, options, run.seed, run.learning_rate)
        torch.testing.assert_close(dict(run.state), module.state_dict(), rtol=1e-8, atol=1e-8)
        outputs = module(data.valid_inputs)
        assert run.accuracy == (outputs.argmax(1) == data.valid_labels).double().mean()
        assert run.loss == pytest.approx(F.cross_entropy(outputs, data.valid_labels).item(), rel=1e-6)
        assert run.train_loss == pytest.approx(sum(losses[-3:]) / 3, rel=1e-6)
        assert (run.status, run.reason, run.steps) == ("ok", None, 30) and run.seconds > 0


def test_alone_is_as_in_company() -> None:
    data = clusters(dtype=torch.float64)
    options = AdamW(steps=20, batch=16, learning_rates=(0.01, 0.1), seeds=(0, 1, 2))
    for pair, run in by_pair(fit(double, data, options)).items():
        (alone,) = fit(double, data, replace(options, seeds=pair[:1], learning_rates=pair[1:]))
        assert_same(run, alone, rtol=1e-8, atol=1e-8)


def test_batches_go_through_the_data_in_an_order_that_the_seed_decides() -> None:
    eye = torch.eye(12)
    data = Data(eye, torch.arange(12) % 2, eye, torch.arange(12) % 2, outputs=2)

    def columns(_: torch.Generator) -> nn.Module:
        layer = nn.Linear(12, 2, bias=False)
        nn.init.zeros_(layer.weight)
        return layer

    options = AdamW(steps=4, batch=3, learning_rates=(0.1,), seeds=(0, 1), weight_decay=0.0)
    first, second = fit(columns, data, options)
    moved = [(run.state["weight"] != 0).any(dim=0) for run in (first, second)]
    assert moved[0].all() and moved[1].all(), "one pass shows every sample once, and a weight moves once it is shown"
    assert not torch.allclose(first.state["weight"], second.state["weight"])
    (half,) = fit(columns, data, replace(options, steps=2, seeds=(0,)))
    assert (half.state["weight"] != 0).any(dim=0).sum() == 6
    every = replace(options, batch=12)
    assert_same(*fit(columns, data, every), rtol=1e-4, atol=1e-5)  # the whole split in any order is the same batch


def test_untrained_figures_are_exact() -> None:
    (run,) = fit(zero, clusters(), AdamW(steps=5, learning_rates=(1e-30,), seeds=(0,)))
    assert run.loss == pytest.approx(math.log(2), rel=1e-6) and run.train_loss == pytest.approx(math.log(2), rel=1e-6)


def test_global_randomness_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    fit(lambda _: Odd(0.5, torch.tanh), clusters(), AdamW(steps=3, batch=8))
    assert torch.equal(before, torch.random.get_rng_state())


def test_overflow_at_initialization_is_a_result() -> None:
    runs = AdamW(steps=3).train(Spec.of(width=8, blocks=(Block(),) * 4, weight_gain=1e12), clusters())
    assert len(runs) == 6 and best(runs) is None
    for run in runs:
        assert (run.status, run.reason, run.steps) == ("diverged", "the loss is not finite at initialization", 0)
        assert (run.accuracy, run.loss, run.train_loss, dict(run.state)) == (None, None, None, {})


def test_a_diverging_run_does_not_touch_the_others() -> None:
    options = AdamW(steps=10, batch=8, learning_rates=(0.01, 1e38), seeds=(0, 1))
    good, bad = (by_pair(fit(zero, clusters(), options)), 1e38)
    for seed in options.seeds:
        assert good[seed, bad].status == "diverged" and 0 < good[seed, bad].steps < 10
        assert good[seed, bad].reason == f"the loss is not finite after {good[seed, bad].steps} steps"
        (alone,) = fit(zero, clusters(), replace(options, seeds=(seed,), learning_rates=(0.01,)))
        assert_same(good[seed, 0.01], alone, rtol=1e-4, atol=1e-6)


def test_an_infinite_gradient_of_a_finite_loss_diverges() -> None:
    runs = fit(lambda _: Odd(0.0, lambda weight: weight.abs().sqrt()), clusters(), AdamW(steps=3))
    assert {run.reason for run in runs} == {"the gradient is not finite at initialization"}


def test_a_validation_loss_that_overflows_diverges() -> None:
    data = clusters()
    data.valid_inputs[0] = 3e38
    runs = fit(lambda _: Odd(1.0, lambda weight: weight * torch.tensor([[1.0], [-1.0]])), data, AdamW(steps=3))
    assert {run.reason for run in runs} == {"the validation loss is not finite after 3 steps"}


def test_a_large_finite_gradient_does_not_diverge() -> None:
    steep = fit(lambda _: Odd(0.0, lambda weight: weight * 1e25), clusters(), AdamW(steps=3, learning_rates=(1e-26,)))
    assert all(run.status == "ok" and run.accuracy is not None and run.accuracy > 0.6 for run in steep)


def test_the_best_run_is_the_most_accurate() -> None:
    runs = AdamW(steps=20, batch=16).train(SPEC, clusters())
    winner = best(runs)
    assert winner is not None and winner.accuracy == max(run.accuracy for run in runs if run.accuracy is not None)


@pytest.mark.parametrize("placement", ["none", "pre", "post", "res_post", "sandwich"])
@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
def test_every_placement_trains(placement: str, norm: str) -> None:
    spec = Spec.of(width=16, blocks=(Block(),) * 3, placement=placement, norm=norm, branch="one_matrix", activation="gelu")
    winner = best(AdamW(steps=40, batch=16, learning_rates=(0.01,), seeds=(0,)).train(spec, clusters()))
    assert winner is not None and winner.train_loss is not None and winner.train_loss < 0.1


@pytest.mark.parametrize("name", TRAINERS)
def test_the_defaults_learn_digits(name: str) -> None:
    spec = Spec.of(width=32, blocks=(Block(),) * 4, placement="pre")
    runs = TRAINERS[name]().train(spec, Digits().load())
    winner = best(runs)
    assert winner is not None and winner.accuracy is not None and winner.accuracy > 0.9


def test_progress_ends_at_the_total() -> None:
    calls: list[tuple[int, int, str]] = []
    AdamW(steps=25).train(SPEC, clusters(), progress=lambda *call: calls.append(call))
    assert [(done, total) for done, total, _ in calls] == [(10, 25), (20, 25), (25, 25)]
    assert calls[-1][2].startswith("loss ")


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.33, 1.0])
def test_the_rate_rises_to_its_peak_and_falls(warmup: float) -> None:
    options = AdamW(steps=50, warmup=warmup)
    rates = [options.schedule(step) for step in range(50)]
    peak = rates.index(max(rates))
    assert all(0 < rate <= 1 for rate in rates) and max(rates) == pytest.approx(1, abs=0.01)
    assert rates[: peak + 1] == sorted(rates[: peak + 1]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert peak == pytest.approx(warmup * 50, abs=1.01)


@pytest.mark.parametrize("name", TRAINERS)
def test_the_id_follows_what_changes_a_run(name: str) -> None:
    trainer: Trainer = TRAINERS[name]()
    assert trainer.name == name
    base = trainer_id(trainer)
    assert len(base) == 12 and set(base) <= set("0123456789abcdef") and base == trainer_id(TRAINERS[name](), "cpu")
    other = {"seeds": (7,), "learning_rates": (0.5,)}
    assert trainer_id(replace(trainer, **other)) == base
    changed = [item.name for item in fields(trainer) if item.name not in other]
    halves = {field: type(value)(value / 2) for field in changed if (value := getattr(trainer, field)) is not None}
    ids = {trainer_id(replace(trainer, **{field: half})) for field, half in halves.items()}
    assert len(ids | {base, trainer_id(trainer, "cuda")}) == len(changed) + 2
    assert trainer_id(trainer, "cuda:0") == trainer_id(trainer, "cuda:1")


def test_one_step_of_sgd_is_the_gradient() -> None:
    """w - rate (gradient + weight_decay w), at the peak rate; zero weights do not decay."""
    data = clusters(dtype=torch.float64)
    options = SGD(steps=1, batch=40, learning_rates=(0.5,), seeds=(0,), warmup=0.0, clip=1e3)
    (run,) = fit(lambda generator: zero(generator).double(), data, options)
    module = zero(torch.Generator()).double()
    F.cross_entropy(module(data.train_inputs), data.train_labels).backward()
    assert isinstance(module, nn.Linear) and module.weight.grad is not None
    torch.testing.assert_close(run.state["weight"], -0.5 * module.weight.grad)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, math.nan])
def test_bad_momentum(momentum: float) -> None:
    with pytest.raises(ValueError, match=r"`trainer.momentum` must be in \[0, 1\)"):
        SGD(momentum=momentum)


@pytest.mark.parametrize("trainer", [AdamW, SGD])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("steps", 0),
        ("batch", 0),
        ("learning_rates", ()),
        ("learning_rates", (0.1, 0.1)),
        ("learning_rates", (0.1, -0.1)),
        ("learning_rates", (math.nan,)),
        ("learning_rates", (math.inf,)),
        ("seeds", ()),
        ("seeds", (1, 1)),
        ("seeds", (-1,)),
        ("warmup", 1.1),
        ("weight_decay", -0.1),
        ("clip", 0.0),
        ("clip", math.nan),
    ],
)
def test_bad_options(trainer: Callable[..., AdamW | SGD], option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"`trainer.{option}` must be"):
        trainer(**{option: value})
