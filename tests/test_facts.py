"""Sizes against the built module and torch's own counter; depths against their definition."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasjac.facts import branch_energies, facts
from nasjac.networks import build
from nasjac.networks.mlp import ResidualMLP
from nasjac.spec import Block, Spec
from tests.test_population import random_spec


@pytest.mark.parametrize("seed", range(12))
def test_sizes_are_those_of_the_module(seed: int) -> None:
    spec = random_spec(random.Random(seed))
    module = build(spec, 20, 3)
    assert isinstance(module, ResidualMLP)
    [known] = facts([spec])
    assert known.params == sum(parameter.numel() for parameter in module.blocks.parameters())
    with FlopCounterMode(display=False) as counter:
        for block in module.blocks.to("meta"):
            block(torch.empty(1, spec.width, device="meta"))
    assert known.flops == counter.get_total_flops()


def test_a_relu_resnet() -> None:
    """chi = gain⁴ / 2 in each block, so each share is chi / (1 + chi); relu leaves .26653 of its variance unexplained."""
    spec = Spec(16, (Block(), Block(), Block(keep=False), Block(skip=0)), weight_gain=1.1)
    [known] = facts([spec])
    chi = 1.1**4 / 2
    assert known.effective_depth == pytest.approx(2 * chi / (1 + chi) + 1, rel=1e-12)
    assert known.nonlinear_effective_depth == pytest.approx(known.effective_depth * 0.2665289, rel=1e-6)
    assert (known.depth, known.skip_count, known.log2_paths, known.skip_density) == (3, 2, 2, 2 / 3)
    np.testing.assert_allclose(branch_energies(spec), [chi, chi, 0, chi], rtol=1e-12)


def test_the_identity_has_no_depth() -> None:
    for spec in (Spec(16, ()), Spec(16, (Block(keep=False),) * 3, placement="post")):
        [known] = facts([spec])
        assert (known.depth, known.params, known.flops, known.effective_depth, known.log2_paths) == (0, 0, 0, 0.0, 0.0)
        assert known.skip_density is None
        x = torch.randn(2, 16)
        module = build(spec, 16, 3)
        assert isinstance(module, ResidualMLP)
        first, *rest = module.stream(x)
        assert not rest and torch.equal(first, module.embedding(x))


def test_a_linear_network_has_no_nonlinear_depth() -> None:
    [known] = facts([Spec(16, (Block(skip=0),) * 9, activation="linear")])
    assert known.effective_depth == 9 and known.nonlinear_effective_depth == 0


def test_facts_do_not_depend_on_company() -> None:
    rng = random.Random(1)
    specs = [random_spec(rng) for _ in range(30)]
    assert facts(specs) == [facts([spec])[0] for spec in specs]
