"""Samples at the points of data are the exact Jacobian's products, and their terms estimate its norms."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasjac import Spec, build
from nasjac.scores.sampled_terms import measured_at
from nasjac.surgery.branches.ours import blocks_of, measurable, stream
from nasjac.surgery.branches.samples import probes, samples_at
from tests.surgery.test_grow import CONTEXT, SPECS

POINTS = 16


def made(spec: Spec, points: int = POINTS) -> tuple[nn.Module, Tensor]:
    """A network as `measurable` makes it, away from its initialization, and data points."""
    generator = torch.Generator().manual_seed(1)
    inputs = 11 if spec.inputs.takes_ids else 64
    network = build(spec, inputs, 11 if spec.inputs.takes_ids else 5, torch.Generator().manual_seed(0))
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    if spec.inputs.takes_ids:
        return measurable(network), torch.randint(inputs, (points, CONTEXT), generator=generator)
    return measurable(network), torch.randn(points, inputs, generator=generator)


def jacobians(network: nn.Module, points: Tensor) -> Tensor:
    """[G, m, n] ∂h_L/∂h_0 of each point, whole."""
    chain = nn.Sequential(*blocks_of(network))
    start = stream(network, points)[0]
    found = [torch.func.jacrev(lambda x: chain(x[None])[0].flatten())(x) for x in start]
    return torch.stack(found).flatten(2)


@pytest.mark.parametrize("name", SPECS)
def test_each_product_is_that_of_the_whole_jacobian(name: str) -> None:
    network, points = made(SPECS[name])
    whole, layers = jacobians(network, points), stream(network, points)
    tangents, cotangents = probes(layers, seed=3)
    found, units = samples_at(network, points, seed=3), whole.shape[1]
    pushed = torch.einsum("gmn,gpn->gpm", whole, tangents)
    expected = {
        "forward": pushed,
        "backward": torch.einsum("gmn,gpm->gpn", whole, cotangents),
        "round_trip": torch.einsum("gmn,gpm->gpn", whole, pushed),
    }
    logs = {what: (each.square().sum(-1) / units).log().unflatten(0, (-1, 2)).numpy() for what, each in expected.items()}
    np.testing.assert_allclose(found.forward[..., -1], logs["forward"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.backward[..., 0], logs["backward"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.round_trip, logs["round_trip"], rtol=1e-9, atol=1e-9)
    ends = layers[-1].flatten(1)
    cosine = nn.functional.cosine_similarity(ends[0::2], ends[1::2], dim=-1)
    np.testing.assert_allclose(found.decorrelation, (1 - cosine).numpy(), rtol=1e-7)
    assert (found.stream_tokens.size > 0) == (SPECS[name].tokens > 1)


@pytest.mark.parametrize("name", SPECS)
def test_terms_estimate_the_exact_ones_within_their_errors(name: str) -> None:
    network, points = made(SPECS[name], 64)
    whole = jacobians(network, points)
    squared = whole.square().sum((1, 2)) / whole.shape[1]
    products = whole @ whole.mT
    ranks = products.diagonal(dim1=1, dim2=2).sum(1) ** 2 / products.square().sum((1, 2)) / whole.shape[1]
    exact = {
        "log_mean": math.log(squared.mean()),
        "mean_log": float(squared.log().mean()),
        "log_rank": float(ranks.log().mean()),
    }
    for seed in range(4):
        found = measured_at("k", samples_at(network, points, seed))
        assert found.status == "ok" and found.draws == 32
        for term, value in exact.items():
            estimate = found.terms[term]
            assert estimate.value is not None and estimate.standard_error is not None
            assert estimate.value == pytest.approx(value, abs=5 * estimate.standard_error + 0.02)
            assert estimate.standard_error < 0.3


def test_a_profile_goes_from_one_end_to_the_other() -> None:
    network, points = made(SPECS["mlp"], 32)
    found = measured_at("k", samples_at(network, points, 0))
    ways = [[layer for layer in found.profile if layer.direction == way] for way in ("forward", "backward")]
    assert [len(way) for way in ways] == [5, 5]
    for end in (ways[0][0], ways[1][-1]):
        assert end.log_mean == end.mean_log == end.standard_error == 0, "the identity"
    assert all(a.mean_log != b.mean_log for a, b in pairwise(ways[0]))


def test_a_dead_network_has_a_reason_and_no_terms() -> None:
    network, points = made(Spec.of(width=8, blocks=SPECS["mlp"].blocks, placement="pre", activation="gelu"))
    for block in blocks_of(network):
        for tensor in block.state_dict().values():
            tensor.zero_()
    found = measured_at("k", samples_at(network, points, 0))
    assert found.status == "diverged" and "zero Jacobian" in str(found.reason)
    assert found.terms["trainability_cost"].value is None
