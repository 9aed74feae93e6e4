"""Leaky blocks (1 − hD) x + h F(x): closed form, engine and trainers agree with the module and with each other."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.func import jacrev

from nasjac import expected_norms
from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.datasets import Data
from nasjac.kinds.build import build
from nasjac.kinds.facts import facts
from nasjac.kinds.modules.initialize import initialize
from nasjac.kinds.modules.sampler import drawn
from nasjac.kinds.options.stepped import IMPLICIT_PASSES
from nasjac.kinds.population import sample
from nasjac.kinds.training.modules import Modules
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import INDEPENDENT, Plan
from nasjac.scores.meanfield import Meanfield
from nasjac.trainers import AdamW
from nasjac.trainers.population import fit, fit_population
from tests.kinds.alone import module_samples

LEAKY = Spec.of(width=12, blocks=(Block(), Block(skip=0), Block(scale=0.5), Block()), block="leaky", step=0.5, leak=0.75)


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("placement", ["none", "pre", "post", "sandwich"])
@pytest.mark.parametrize("block", ["explicit", "leaky"])
def test_the_engine_samples_the_exact_jacobian(placement: str, block: str) -> None:
    """‖J u‖² of its probes, J by autograd through the module."""
    spec = replace(LEAKY, block=block, placement=placement, activation="gelu").canonical
    draws, inputs, plan = Draws(3, range(2), torch.float64, torch.device("cpu")), numbers(9, 5), Plan(2, 2, 2, True)
    [found] = sample([spec], inputs, draws, plan)
    network = build(spec, 5, 2).double()
    initialize(network, spec.weight_gain, partial(drawn, draws, 1))
    start = network.start(draws.samples(inputs, 2)[1, 1])  # type: ignore[operator]
    jacobian = jacrev(lambda x: torch.nn.Sequential(*network.blocks)(x))(start)  # type: ignore[misc]
    tangents, cotangents = (draws.probes(name, 2, 2, 12)[1, 1] for name in ("tangent", "cotangent"))
    energies = (tangents @ jacobian.T).square().mean(1).log()
    np.testing.assert_allclose(found.forward[1, 1, :, -1], energies.detach(), rtol=1e-9, atol=1e-9)
    energies = (cotangents @ jacobian).square().mean(1).log()
    np.testing.assert_allclose(found.backward[1, 1, :, 0], energies.detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("activation", "placement"), [("relu", "none"), ("linear", "none"), ("gelu", "pre")])
def test_the_closed_form_is_what_is_sampled(activation: str, placement: str) -> None:
    """Exact for relu and linear without norms: (s (1 − hD)² + h² a² χ) a block; within model error for N → ∞ elsewhere."""
    spec = replace(LEAKY, width=64, activation=activation, placement=placement)
    profile = expected_norms(spec)
    assert profile.exact == (placement == "none")
    draws = Draws(0, range(512), torch.float64, torch.device("cpu"))
    [found] = sample([spec], numbers(500, 40), draws, Plan(1, 2, 0))
    values = np.exp(found.forward[:, 0]).mean(axis=1)  # [D, L+1]
    expected = np.array([layer.log_mean for layer in profile.layers if layer.direction == "forward"])
    error = values.std(axis=0, ddof=1) / math.sqrt(len(values)) / values.mean(axis=0)
    allowed = 4 * error + (0 if profile.exact else 1.5 * len(spec.blocks) / spec.width)
    assert (np.abs(np.log(values.mean(axis=0)) - expected) <= allowed + 1e-12).all()
    if activation == "relu":
        factors = [(0.625**2 * skip + 0.25 * scale**2 / 2) for skip, scale in ((1, 1), (0, 1), (1, 0.5), (1, 1))]
        np.testing.assert_allclose(expected, np.cumsum([0, *np.log(factors)]), rtol=1e-12)


def test_a_step_is_a_scale() -> None:
    """h on all branches is h times their scale: the same samples bit for bit, in tiles and in modules."""
    stepped = Spec.of(width=12, blocks=(Block(), Block(scale=0.5)), step=0.5, activation="tanh")
    scaled = replace(stepped, step=1.0, blocks=(Block(scale=0.5), Block(scale=0.25)))
    draws, inputs = Draws(1, range(3), torch.float32, torch.device("cpu")), numbers(9, 5)
    for one, other in (
        sample([stepped, scaled], inputs, draws),
        [module_samples(s, inputs, draws, INDEPENDENT) for s in (stepped, scaled)],
    ):
        assert all(np.array_equal(getattr(one, name), values) for name, values in vars(other).items())


def test_the_population_trains_the_module() -> None:
    inputs, labels = numbers(80, 5).float(), torch.arange(80) % 2
    data = Data(inputs[:40], labels[:40], inputs[40:], labels[40:], outputs=2)
    options = AdamW(steps=3, batch=16, learning_rates=(0.01,), seeds=(0,))
    [[run]] = fit_population([LEAKY], data, options)
    [other] = fit(lambda generator: build(LEAKY, 5, 2, generator), data, options, kind=Modules)
    assert run.loss == pytest.approx(other.loss, rel=1e-4) and run.state.keys() == other.state.keys()
    assert run.state["blocks.0.skip"] == 0.625 and run.state["blocks.2.scale"] == 0.25


@pytest.mark.parametrize("order", ["pre", "post"])
def test_a_leaky_resnet_leaks(order: str) -> None:
    """Its shortcuts carry 1 − hD: without branches' weights every layer is a power of it."""
    blocks = tuple(Block(op="basic") for _ in range(3))
    images = {"kind": "resnet", "shape": (1, 4, 4), "norm": "none", "order": order}
    spec = Spec.of(width=4, blocks=blocks, **images, block="leaky", step=0.5, leak=0.5)  # type: ignore[arg-type]
    network = build(spec, 16, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if ".branch." in name:
                weight.zero_()
        first, *_, last = network.stream(numbers(3, 16).float())  # type: ignore[operator]
    torch.testing.assert_close(last, 0.75**3 * first)
    light, heavy = (facts([replace(spec, leak=leak)])[0].effective_depth for leak in (0.0, 1.5))
    assert 0 < light < heavy < 3


def test_facts_of_implicit_blocks() -> None:
    """FLOPs count the solver's passes; energies are those of the step to first order in F."""
    spec = replace(LEAKY, block="implicit", leak=2.0)
    plain = replace(spec, block="explicit", leak=0.0, step=0.25, blocks=LEAKY.blocks[:1])
    weights = 2 * 2 * 12**2
    found, single = facts([spec])[0], facts([replace(spec, blocks=LEAKY.blocks[:1]), plain])
    assert found.flops == (3 * IMPLICIT_PASSES + 1) * weights and single[1].flops == weights
    chi = 0.25**2 / 2  # h/(1 + hD) = 1/4 before F
    assert single[0].effective_depth == pytest.approx(chi / (chi + 0.25)) and found.params == 4 * single[0].params


def test_an_implicit_block_has_no_closed_form() -> None:
    implicit = replace(LEAKY, block="implicit")
    with pytest.raises(ValueError, match="`block` must be one of explicit, leaky for a closed form, got 'implicit'"):
        expected_norms(implicit)
    found = Meanfield().measure([implicit, LEAKY], numbers(40, 5), torch.device("cpu"))
    assert [item.status for item in found] == ["unsupported", "ok"] and "`block`" in str(found[0].reason)
