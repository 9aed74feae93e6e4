"""The population's samples are those of the ordinary modules, one by one, and do not depend on the company."""

from __future__ import annotations

import random
from dataclasses import fields

import numpy as np
import pytest
import torch

from nasjac.architecture.block import Block
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.spec import Spec
from nasjac.kinds.build import build
from nasjac.kinds.options.units import NORMS
from nasjac.kinds.population import MAX_ROWS, sample
from nasjac.kinds.residual_mlp.network import ResidualMLPNetwork
from nasjac.kinds.residual_mlp.spec import BRANCHES
from nasjac.kinds.table import kind_of
from nasjac.kinds.tiles.routes import Routes
from nasjac.mathematics.activations import ACTIVATIONS
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import BATCHED, FORWARD, INDEPENDENT, Samples
from tests.mathematics.probes import exact

WIDTH = 12
FEATURES = 20


def inputs(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(50, FEATURES, dtype=dtype, generator=torch.Generator().manual_seed(1))


def draws(device: torch.device, dtype: torch.dtype, count: int = 4) -> Draws:
    return Draws(7, range(count), dtype, device)


def random_spec(rng: random.Random, max_depth: int = 9) -> Spec:
    blocks = tuple(Block(skip=float(rng.random() < 0.6), scale=rng.choice([0.5, 1.0])) for _ in range(max_depth))
    return Spec.of(
        width=WIDTH,
        blocks=blocks[: rng.randint(0, max_depth)],
        placement=rng.choice(list(PLACEMENTS)),
        norm=rng.choice(NORMS),
        activation=rng.choice(list(ACTIVATIONS)),
        branch=rng.choice(BRANCHES),
        weight_gain=rng.uniform(0.7, 1.6),
    ).canonical


def samples_of(specs: list[Spec], bank: Draws, data: torch.Tensor) -> list[Samples]:
    return sample(specs, data, bank)


def module_of(spec: Spec, bank: Draws, draw: int) -> ResidualMLPNetwork:
    """The ordinary module with the weights of one draw."""
    module = build(spec, FEATURES, 3).to(bank.device, bank.dtype)
    assert isinstance(module, ResidualMLPNetwork)
    with torch.no_grad():
        module.embedding.weight.copy_(bank.normal("embedding", WIDTH, FEATURES)[draw] / FEATURES**0.5)
        for number, block in enumerate(module.blocks):
            for role in ("inner", "outer") if spec.branch == "two_matrix" else ("outer",):
                weights = bank.normal(f"{role} {number}", WIDTH, WIDTH)[draw] * spec.weight_gain / WIDTH**0.5
                getattr(block, role).weight.copy_(weights)
    return module


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("norm", "branch"), [("layernorm", "two_matrix"), ("rmsnorm", "one_matrix")])
def test_tangents_and_cotangents_are_those_of_the_module(
    placement: str, activation: str, norm: str, branch: str, device: torch.device
) -> None:
    blocks = (Block(), Block(skip=0), Block(scale=0.5), Block())
    spec = Spec.of(
        width=WIDTH, blocks=blocks, placement=placement, norm=norm, activation=activation, branch=branch
    ).canonical
    bank = draws(device, torch.float64, 1)
    [found] = samples_of([spec], bank, inputs())
    module = module_of(spec, bank, 0)
    start = module.embedding(bank.samples(inputs(), 2)[0, 0]).detach()

    def stream(x: torch.Tensor, first: int = 0) -> list[torch.Tensor]:
        taps = [x]
        for block in list(module.blocks)[first:]:
            taps.append(block(taps[-1]))
        return taps

    taps = stream(start)
    u = bank.probes("tangent", 2, INDEPENDENT.tangents, WIDTH)[0, 0]
    v = bank.probes("cotangent", 2, 2, WIDTH)[0, 0]
    for layer in range(5):
        into = torch.func.jacrev(lambda x, layer=layer: stream(x)[layer])(start).detach()
        out = torch.func.jacrev(lambda x, layer=layer: stream(x, layer)[-1])(taps[layer]).detach()
        forward = (u @ into.T).square().mean(-1).log()
        backward = (v @ out).square().mean(-1).log()
        np.testing.assert_allclose(found.forward[0, 0, :, layer], forward.cpu(), atol=1e-9)
        np.testing.assert_allclose(found.backward[0, 0, :, layer], backward.cpu(), atol=1e-9)
        if layer == 0:
            trip = (u @ out.T @ out).square().mean(-1).log()
            np.testing.assert_allclose(found.round_trip[0, 0], trip.cpu(), atol=1e-9)
    output = _through(module, module.embedding(bank.samples(inputs(), 2)[0])).detach()
    cosine = torch.nn.functional.cosine_similarity(output[0], output[1], dim=0)
    assert found.decorrelation[0] == pytest.approx(1 - float(cosine), abs=1e-9)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_estimates_agree_with_the_whole_jacobian(placement: str, activation: str, device: torch.device) -> None:
    """Sampled over sampled truth, draw by draw: the mean ratio is 1 within 4 standard errors."""
    spec = Spec.of(
        width=WIDTH, blocks=(Block(), Block(skip=0), Block()), placement=placement, activation=activation
    ).canonical
    bank = draws(device, torch.float64, 40)
    [found] = samples_of([spec], bank, inputs())
    ratios = []
    for draw in range(40):
        module = module_of(spec, bank, draw)
        for number, x in enumerate(bank.samples(inputs(), 2)[draw]):
            truth = exact(lambda h, module=module: [_through(module, h)], module.embedding(x).detach())
            estimates = np.concatenate([found.forward[draw, number, :, -1], found.backward[draw, number, :, 0]])
            ratios.append(float(np.exp(estimates).mean() / truth[0].item()))
    error = np.std(ratios, ddof=1) / len(ratios) ** 0.5
    assert abs(np.mean(ratios) - 1) < 4 * error


def _through(module: ResidualMLPNetwork, h: torch.Tensor) -> torch.Tensor:
    for block in module.blocks:
        h = block(h)
    return h


def test_values_do_not_depend_on_company_or_order(device: torch.device) -> None:
    """Bit for bit, in float32, over more than two tiles and both ways round."""
    rng = random.Random(3)
    specs = [random_spec(rng) for _ in range(2 * MAX_ROWS["cpu"] + 5)]
    together = samples_of(specs, draws(device, torch.float32), inputs())
    turned = samples_of(specs[::-1], draws(device, torch.float32), inputs())[::-1]
    for spec, one, other in zip(specs, together, turned, strict=True):
        [alone] = samples_of([spec], draws(device, torch.float32), inputs())
        for item in fields(Samples):
            for company in (one, other):
                np.testing.assert_array_equal(getattr(company, item.name), getattr(alone, item.name))


def test_neighbours_of_an_overflow_are_unchanged(device: torch.device) -> None:
    rng = random.Random(5)
    specs = [random_spec(rng) for _ in range(6)]
    overflow = Spec.of(width=WIDTH, blocks=(Block(),) * 60, activation="gelu", weight_gain=9.0)
    calm = samples_of(specs, draws(device, torch.float32), inputs())
    mixed = samples_of([*specs[:3], overflow, *specs[3:]], draws(device, torch.float32), inputs())
    assert not np.isfinite(mixed.pop(3).forward).all()
    for one, other in zip(calm, mixed, strict=True):
        for item in fields(Samples):
            np.testing.assert_array_equal(getattr(one, item.name), getattr(other, item.name))


def test_deep_relu_networks_neither_overflow_nor_underflow(device: torch.device) -> None:
    """A gain that would leave float32's range many times over: the logarithm is that of the layer's gain, in sum."""
    for gain in (6.0, 0.05):
        spec = Spec.of(width=WIDTH, blocks=(Block(skip=0),) * 64, weight_gain=gain)
        base = Spec.of(width=WIDTH, blocks=(Block(skip=0),) * 64, weight_gain=1.0)
        ends = [item.forward[..., -1] for item in samples_of([spec, base], draws(device, torch.float32), inputs())]
        alive = np.isfinite(ends[1])
        np.testing.assert_allclose((ends[0] - ends[1])[alive], 64 * 4 * np.log(gain), rtol=1e-4)


def test_draws_depend_on_the_seed_and_the_draw_alone(device: torch.device) -> None:
    whole = draws(device, torch.float64, 6).normal("outer 3", 4, 4)
    part = Draws(7, [5, 2], torch.float64, device).normal("outer 3", 4, 4)
    assert torch.equal(part, whole[[5, 2]])
    assert not torch.equal(whole, Draws(8, range(6), torch.float64, device).normal("outer 3", 4, 4))
    assert not torch.equal(whole, draws(device, torch.float64, 6).normal("inner 3", 4, 4))


def test_the_inputs_of_a_draw_are_distinct(device: torch.device) -> None:
    chosen = draws(device, torch.float64, 50).samples(torch.arange(2.0, dtype=torch.float64)[:, None], 2)
    assert torch.equal(chosen[..., 0].sort(dim=1).values, torch.tensor([[0.0, 1.0]] * 50, device=device).double())


def test_many_inputs_share_one_cotangent(device: torch.device) -> None:
    """The batched plan: cosines between the inputs' Jᵀ v for a common v, and the outputs' mean correlation."""
    spec = Spec.of(width=WIDTH, blocks=(Block(), Block(skip=0), Block()), placement="pre", activation="gelu").canonical
    bank = draws(device, torch.float64, 2)
    [found] = sample([spec], inputs(), bank, BATCHED)
    assert found.cotangent_gram.shape == (2, 32, 32) and found.forward.shape == (2, 32, 0, 4)
    for draw in range(2):
        module = module_of(spec, bank, draw)
        h = module.embedding(bank.samples(inputs(), 32)[draw]).detach()
        v = bank.probes("cotangent", 1, 1, WIDTH)[draw, 0, 0]
        output, pull_back = torch.func.vjp(lambda x, module=module: _through(module, x), h)
        gradient = pull_back(v.expand_as(output))[0].detach()
        np.testing.assert_allclose(found.backward[draw, :, 0, 0], gradient.square().mean(-1).log().cpu(), atol=1e-9)
        unit = torch.nn.functional.normalize(gradient)
        np.testing.assert_allclose(found.cotangent_gram[draw], (unit @ unit.T).cpu(), atol=1e-9)
        unit = torch.nn.functional.normalize(output.detach())
        cosines = (unit @ unit.T).cpu().numpy()[~np.eye(32, dtype=bool)]
        assert found.decorrelation[draw] == pytest.approx(1 - cosines.mean(), abs=1e-9)


def test_forward_is_the_independent_plan_without_its_way_back(device: torch.device) -> None:
    rng = random.Random(9)
    specs = [random_spec(rng) for _ in range(7)]
    for one, other in zip(
        *(sample(specs, inputs(), draws(device, torch.float64), p) for p in (FORWARD, INDEPENDENT)), strict=True
    ):
        for name in ("stream", "forward", "decorrelation"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert one.backward.size == one.round_trip.size == 0


def test_finished_rows_leave_and_one_matrix_branches_have_one_product() -> None:
    """Rows active in a block: those that have it, rounded up; rows with an inner product: those with two matrices."""
    specs = [Spec.of(width=WIDTH, blocks=(Block(),) * depth, branch=BRANCHES[depth % 2]) for depth in range(12, 0, -1)]
    routes = Routes([kind_of(spec).sampling.row(spec) for spec in specs], torch.float32, torch.device("cpu"))
    assert [routes.active(block) for block in range(12)] == [12] * 4 + [8] * 4 + [4] * 4
    inner = routes.at(0).hidden[0].inner
    assert inner is not None and inner.kept == 6 and inner.rows is not None and len(inner.rows) == 8


def test_the_inputs_are_enough_for_the_plan(device: torch.device) -> None:
    with pytest.raises(ValueError, match="n at least 32"):
        sample([Spec.of(width=WIDTH, blocks=(Block(),))], inputs()[:20], draws(device, torch.float64), BATCHED)
