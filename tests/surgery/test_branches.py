"""Branches at the data: norms against whole Jacobians, for every kind of block; 24 blocks of 256 units in seconds."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from nasjac import Block, Spec, build
from nasjac.surgery.branches.norms import MOST, Function, norms
from nasjac.surgery.branches.ours import links_of, measurable, stream
from nasjac.surgery.paths import branch_norms
from tests.surgery.at_data import bare

IMAGES = {"kind": "resnet", "shape": (1, 5, 4)}
SPECS = {
    "mlp": Spec.of(width=12, blocks=(Block(), Block(scale=0.5), Block(skip=0.0)), placement="pre", activation="gelu"),
    "one matrix": Spec.of(width=12, blocks=(Block(),) * 2, branch="one_matrix", activation="tanh"),
    "norm on the branch": Spec.of(width=12, blocks=(Block(),) * 2, placement="sandwich", norm="rmsnorm"),
    "norm on the sum": Spec.of(width=12, blocks=(Block(),) * 2, placement="post"),
    "decoder": Spec.of(
        width=8, blocks=(Block(op="attention"), Block()), kind="transformer_lm", context=5, heads=2, placement="pre"
    ),
    "resnet, post": Spec.of(width=4, blocks=(Block(op="basic"), Block(op="basic", stage=1)), norm="batchnorm", **IMAGES),
    "resnet, pre": Spec.of(
        width=4, blocks=(Block(op="bottleneck"), Block(op="basic", stage=1)), norm="groupnorm", order="pre", **IMAGES
    ),
}


def made(name: str) -> tuple[Spec, nn.Module, Tensor]:
    spec, generator = SPECS[name], torch.Generator().manual_seed(0)
    inputs = 20 if spec.inputs.shape is not None else 7
    network = measurable(build(spec, inputs, 3, generator))
    if spec.inputs.takes_ids:
        return spec, network, torch.randint(inputs, (3, spec.context), generator=generator)
    return spec, network, torch.randn(3, inputs, dtype=torch.float64, generator=generator)


def dense(added: Function, x: Tensor) -> Tensor:
    """[m, n] the Jacobian of a branch at one point."""
    jacobian = torch.func.jacrev(lambda point: added(point[None])[0])(x)
    return jacobian.reshape(-1, x.numel())


@pytest.mark.parametrize("name", SPECS)
def test_norms_are_those_of_the_dense_jacobian(name: str) -> None:
    spec, network, inputs = made(name)
    links = links_of(spec, network, inputs)
    found = branch_norms(links, range(len(spec.blocks)), torch.Generator().manual_seed(1))
    for number, link in enumerate(links):
        whole = [dense(link.added, x) for x in link.x]
        exact = torch.stack([torch.linalg.matrix_norm(jacobian, 2) for jacobian in whole])
        assert ((exact - found[number].spectral).abs() <= 0.01 * exact).all()
        energy = sum(float(jacobian.square().sum()) for jacobian in whole) / len(whole)
        error = 4 * found[number].squared_error
        assert found[number].energy * found[number].outputs == pytest.approx(energy, abs=error + 1e-12 * energy)
        assert found[number].outputs == whole[0].shape[0]


@pytest.mark.parametrize("name", SPECS)
def test_a_block_is_its_branch_beside_what_is_left_of_it(name: str) -> None:
    spec, network, inputs = made(name)
    layers = stream(network, inputs)
    for number, link in enumerate(links_of(spec, network, inputs)):
        assert torch.equal(link.x, layers[number])
        if spec.blocks[number].skip and spec.content.get("placement") != "post" and spec.inputs.shape is None:
            torch.testing.assert_close(link.x + link.added(link.x), layers[number + 1])
        with bare(spec, network).gated(torch.tensor([float(n != number) for n in range(len(spec.blocks))])):
            torch.testing.assert_close(stream(network, inputs)[number + 1], link.bypassed(link.x))


def test_the_error_of_the_energy_is_what_it_says() -> None:
    """Over repetitions the estimate lies as far from the truth as its standard error says, within a quarter."""
    spec, network, inputs = made("one matrix")
    link = links_of(spec, network, inputs)[0]
    x = link.x
    truth = sum(float(dense(link.added, point).square().sum()) for point in x) / len(x)
    scores = []
    for seed in range(200):
        found = norms(link.added, x, torch.Generator().manual_seed(seed), None)
        assert found.spectral.isnan().all() and found.squared_error > 0
        scores.append((float(found.squared.mean()) - truth) / found.squared_error)
    spread = torch.tensor(scores)
    assert abs(float(spread.mean())) < 4 / 200**0.5 + 0.1 and 0.75 < float(spread.std()) < 1.25


def test_24_blocks_of_256_units_take_seconds() -> None:
    """To 1%, without a dense Jacobian, at one point; a fifth of the time that is allowed on two cores."""
    spec = Spec.of(width=256, blocks=(Block(),) * 24, placement="pre")
    network = measurable(build(spec, 64, 10, torch.Generator().manual_seed(0)))
    inputs, began = torch.randn(4, 64, dtype=torch.float64), time.perf_counter()
    links = links_of(spec, network, inputs)
    found = branch_norms(links, range(24), torch.Generator().manual_seed(0))
    assert time.perf_counter() - began < 10
    exact = torch.linalg.matrix_norm(dense(links[11].added, links[11].x[0]), 2)
    assert float(found[11].spectral[0]) == pytest.approx(float(exact), rel=0.01)
    assert MOST >= 64
