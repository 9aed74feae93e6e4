"""Sizes against the built module and torch's own counter; depths against their definition."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.kinds.build import build
from nasjac.kinds.facts import branch_energies, columns, facts
from nasjac.kinds.residual_mlp.network import ResidualMLPNetwork
from nasjac.mathematics.meanfield import expected_norms
from nasjac.mathematics.meanfield.decoder import Decoder, sublayer_energies
from tests.kinds.test_population import random_spec


@pytest.mark.parametrize("seed", range(12))
def test_sizes_are_those_of_the_module(seed: int) -> None:
    spec = random_spec(random.Random(seed))
    module = build(spec, 20, 3)
    assert isinstance(module, ResidualMLPNetwork)
    [known] = facts([spec])
    assert known.params == sum(parameter.numel() for parameter in module.blocks.parameters())
    with FlopCounterMode(display=False) as counter:
        for block in module.blocks.to("meta"):
            block(torch.empty(1, spec.width, device="meta"))
    assert known.flops == counter.get_total_flops()


def test_a_relu_resnet() -> None:
    """chi = gain⁴ / 2 in each block, so each share is chi / (1 + chi); relu leaves .26653 of its variance unexplained."""
    spec = Spec.of(width=16, blocks=(Block(), Block(), Block(keep=False), Block(skip=0)), weight_gain=1.1)
    [known] = facts([spec])
    chi = 1.1**4 / 2
    assert known.effective_depth == pytest.approx(2 * chi / (1 + chi) + 1, rel=1e-12)
    assert known.nonlinear_effective_depth == pytest.approx(known.effective_depth * 0.2665289, rel=1e-6)
    assert (known.depth, known.skip_count, known.log2_paths, known.skip_density) == (3, 2, 2, 2 / 3)
    np.testing.assert_allclose(branch_energies(spec), [chi, chi, 0, chi], rtol=1e-12)


def test_the_identity_has_no_depth() -> None:
    for spec in (Spec.of(width=16, blocks=()), Spec.of(width=16, blocks=(Block(keep=False),) * 3, placement="post")):
        [known] = facts([spec])
        assert (known.depth, known.params, known.flops, known.effective_depth, known.log2_paths) == (0, 0, 0, 0.0, 0.0)
        assert known.skip_density is None
        x = torch.randn(2, 16)
        module = build(spec, 16, 3)
        assert isinstance(module, ResidualMLPNetwork)
        first, *rest = module.stream(x)
        assert not rest and torch.equal(first, module.embedding(x))


def test_a_linear_network_has_no_nonlinear_depth() -> None:
    [known] = facts([Spec.of(width=16, blocks=(Block(skip=0),) * 9, activation="linear")])
    assert known.effective_depth == 9 and known.nonlinear_effective_depth == 0


def test_facts_do_not_depend_on_company() -> None:
    rng = random.Random(1)
    specs = [random_spec(rng) for _ in range(30)]
    assert facts(specs) == [facts([spec])[0] for spec in specs]


# ensembles: what is printed of one, beside the average over all its skip patterns, each as a Spec of its own

SKIPS, SCALES = (0.3, 0.8, 0.5, 0.6), (0.7, 1.2, 0.5, 1.0)
TOKENS: dict[str, Any] = {"kind": "transformer_lm", "context": 5, "query_gain": 1e-6}  # uniform attention: m is a number
IMAGES: dict[str, Any] = {"kind": "resnet", "shape": (1, 8, 8), "norm": "none", "order": "pre"}


def ensemble(*ops: str, **fields: Any) -> Spec:
    blocks = (Block(skip=s, scale=c, op=op) for s, c, op in zip(SKIPS, SCALES, ops * (4 // len(ops)), strict=True))
    return Spec.of(width=16, blocks=tuple(blocks), **fields)


def patterns(spec: Spec) -> list[tuple[float, Spec]]:
    """Every skip pattern with its probability."""
    found = []
    for bits in itertools.product((1.0, 0.0), repeat=len(spec.blocks)):
        blocks = tuple(replace(block, skip=bit) for block, bit in zip(spec.blocks, bits, strict=True))
        odds = (block.skip if bit else 1 - block.skip for block, bit in zip(spec.blocks, bits, strict=True))
        found.append((math.prod(odds), replace(spec, blocks=blocks)))
    return found


def energy(spec: Spec) -> float:
    """E 𝒥 of blocks without a norm on the sum: ∏ (μ² E g² + χ), where E g² is the probability of the skip."""
    held = spec.gates[0] ** 2
    return math.prod(held * block.skip + chi for block, chi in zip(spec.blocks, branch_energies(spec), strict=True))


EXACT = [
    ensemble("ffn"),
    ensemble("ffn", block="leaky", step=0.5, leak=0.6),
    ensemble("ffn", block="implicit", step=0.5, leak=0.6),
    ensemble("ffn", activation="linear", branch="one_matrix", weight_gain=0.7),
    ensemble("attention", "ffn", **TOKENS),
    ensemble("attention", **TOKENS, weight_gain=1.3),
    ensemble("ffn", **TOKENS, activation="linear"),
    ensemble("basic", **IMAGES),
    ensemble("basic", "bottleneck", **IMAGES, block="leaky", step=0.5, leak=0.6, weight_gain=1.4),
    ensemble("basic", **IMAGES, block="implicit", step=0.5, leak=0.6),
]


@pytest.mark.parametrize("spec", EXACT, ids=lambda spec: f"{spec.kind}-{spec.key[:4]}")
def test_an_ensembles_depth_is_the_average_over_its_patterns_by_their_energy(spec: Spec) -> None:
    """Exact where χ is the same in every pattern. A probability as an amplitude, s² for s, is told apart."""
    each = [(p * energy(one), facts([one])[0]) for p, one in patterns(spec)]
    total = sum(weight for weight, _ in each)
    [known] = facts([spec])
    assert energy(spec) == pytest.approx(total, rel=1e-12)
    for name in ("effective_depth", "nonlinear_effective_depth"):
        mean = sum(weight * getattr(fact, name) for weight, fact in each) / total
        assert getattr(known, name) == pytest.approx(mean, rel=1e-9), name
    held, chi = spec.gates[0] ** 2, branch_energies(spec)
    amplitudes = sum(x / (held * skip**2 + x) for skip, x in zip(SKIPS, chi, strict=True))
    assert amplitudes > 1.05 * known.effective_depth


@pytest.mark.parametrize("placement", ["none", "pre", "res_post", "sandwich"])
def test_the_energy_of_an_ensemble_of_decoders_is_that_of_its_patterns(placement: str) -> None:
    """Homogeneous branches add to a stream what they add to its Jacobian: E 𝒥 = E K_L / K_0, whatever the norms divide by.

    χ of a pattern depends on its stream then, and that of the ensemble is taken at the mean stream, s K + variance.
    """
    spec = ensemble("attention", "ffn", **TOKENS, placement=placement, weight_gain=1.2)
    assert energy(spec) == pytest.approx(sum(p * energy(one) for p, one in patterns(spec)), rel=1e-9)


def test_a_norm_on_the_sum_is_averaged_over_both_outcomes_of_a_gate() -> None:
    """Post-LN: where the skip is cut, the norm divides by the branch alone. Every pattern's stream has the same size.

    An MLP's ε of the norm is 1e-5. Uniform attention and relu keep the energy, so that decoders' patterns weigh alike.
    """
    for activation in ("relu", "gelu", "tanh"):
        spec = ensemble("ffn", placement="post", activation=activation, weight_gain=1.2)
        each = [(p, columns([one]), facts([one])[0]) for p, one in patterns(spec)]
        weights = [p * math.exp(expected_norms(chain).forward[0, -1]) for p, chain, _ in each]
        mean = sum(w * fact.effective_depth for w, (_, _, fact) in zip(weights, each, strict=True)) / sum(weights)
        assert facts([spec])[0].effective_depth == pytest.approx(mean, rel=2e-4)
    for ops in (("attention", "ffn"), ("ffn",), ("attention",)):
        spec = ensemble(*ops, **TOKENS, placement="post", weight_gain=1.2)
        mean = sum(p * facts([one])[0].effective_depth for p, one in patterns(spec))
        assert facts([spec])[0].effective_depth == pytest.approx(mean, rel=1e-9)


@pytest.mark.parametrize("attention", [True, False])
def test_the_shares_of_decoders_are_those_of_a_bernoulli_gate(attention: bool) -> None:
    """χ / (s + χ), and behind it a stream of s K + variance; not χ / (s² + χ) and s² K + variance."""
    common: dict[str, Any] = {"activation": "relu", "on_input": True, "on_branch": False, "on_sum": False}
    common |= {"weight_variance": 1.5, "query_variance": 0.0, "logit_factor": 1.0, "tokens": 4, "causal": False}
    skips = (0.25, 0.5)
    chi, shares, _ = sublayer_energies(Decoder((attention,) * 2, skips, (1.0, 1.0), **common))
    branch = 1.5**2 / (4 if attention else 2)
    np.testing.assert_allclose(chi, [branch, branch / (skips[0] + branch)], rtol=1e-12)
    np.testing.assert_allclose(shares, chi / (np.array(skips) + chi), rtol=1e-12)
