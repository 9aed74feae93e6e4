"""Pruning: what is removed is what a shut gate leaves out, smaller, and by what the criteria say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasjac import Block, Spec, build
from nasjac.kinds.facts import facts
from nasjac.surgery.compression import branches, prune
from nasjac.surgery.criteria import CRITERIA, chosen, taylor_values
from nasjac.surgery.growth import grow
from nasjac.surgery.insertion import Beginning
from tests.surgery.at_data import at, bare
from tests.surgery.test_growth import SPECS, made

TRAINED = [name for name in SPECS if name != "empty"]
LEAKY = {
    "leaky": Spec.of(width=16, blocks=(Block(),) * 3, block="leaky", step=0.5, leak=0.6),
    "leaky resnet": replace(SPECS["resnet groupnorm pre basic"], block="leaky", step=0.5, leak=0.6),
}


def module(spec: Spec, state: dict[str, torch.Tensor], size: int) -> nn.Module:
    network = build(spec, size, 5)
    network.load_state_dict(state)
    return network.eval()


@pytest.mark.parametrize("name", [*TRAINED, *LEAKY])
def test_a_removed_branch_is_a_shut_gate(name: str) -> None:
    spec = (SPECS | LEAKY)[name]
    network, inputs, size = made(spec)
    there = branches(spec)
    for gone in ([], there[:1], there[1:]):
        found = prune(spec, network.state_dict(), gone)
        smaller = module(found.spec, found.state, size)
        gates = torch.tensor([float(n not in gone) for n in range(len(spec.canonical.blocks))])
        with bare(spec, network).gated(gates):
            torch.testing.assert_close(smaller(inputs), network(inputs), rtol=1e-5, atol=1e-5)
        before, after = facts([spec])[0], facts([found.spec])[0]
        assert (after.params < before.params and after.flops < before.flops) == bool(gone)
        assert (
            sum(t.numel() for t in found.state.values()) < sum(t.numel() for t in network.state_dict().values()) or not gone
        )
        assert found.spec.canonical == found.spec and len(found.kept) == len(there) - len(gone)


def test_shut_gates_are_scales_of_zero_where_blocks_are_sums() -> None:
    """Without a norm on the sum the pruned network is the one whose branches have the factor 0."""
    spec = SPECS["mlp"]
    network, inputs, size = made(spec)
    found = prune(spec, network.state_dict(), [0, 1])
    for number in (0, 1):
        network.get_buffer(f"blocks.{number}.scale").zero_()
    assert torch.equal(module(found.spec, found.state, size)(inputs), network(inputs))


@pytest.mark.parametrize("name", TRAINED)
def test_pruning_what_was_grown_gives_the_network_back(name: str) -> None:
    spec = SPECS[name]
    network, inputs, size = made(spec)
    longer = grow(spec, network.state_dict(), [0, 1, len(spec.canonical.blocks)], Beginning("small_gain", 1.0), size, 5)
    found = prune(longer.spec, longer.state, longer.new)
    assert found.spec == spec.canonical
    assert torch.equal(module(found.spec, found.state, size)(inputs), network(inputs))


def test_a_block_that_changes_the_shape_keeps_its_shortcut_or_its_branch() -> None:
    blocks = (Block(op="basic"), Block(op="basic", stage=1, skip=0.0), Block(op="basic", stage=2))
    spec = Spec.of(width=8, blocks=blocks, kind="resnet", shape=(1, 8, 8), norm="batchnorm")
    assert branches(spec) == [0, 2]
    with pytest.raises(ValueError, match=r"`gone` must hold numbers of branches that can be pruned, got 1"):
        prune(spec, build(spec, 64, 5).state_dict(), [1])
    with pytest.raises(ValueError, match="`gone` must leave a branch"):
        prune(SPECS["no norm"], made(SPECS["no norm"])[0].state_dict(), [0, 1, 2])
    found = prune(spec, build(spec, 64, 5).state_dict(), [2])
    assert not found.spec.blocks[2].keep and "blocks.2.shortcut.projection.weight" in found.state


def test_taylor_values_are_the_slope_of_the_loss() -> None:
    """Against finite differences of the gate, which is a factor on the branch."""
    spec = SPECS["mlp"]
    network, inputs, _ = made(spec)
    network = network.double()
    labels = torch.tensor([0, 1, 2, 3])
    found = taylor_values(at(spec, network, inputs.double(), labels))

    def loss(number: int, gate: float) -> float:
        gates = torch.ones(3, dtype=torch.float64)
        gates[number] = gate
        with torch.no_grad(), bare(spec, network).gated(gates):
            return float(F.cross_entropy(network(inputs.double()), labels))

    slopes = [abs(loss(number, 1 + 1e-5) - loss(number, 1 - 1e-5)) / 2e-5 for number in range(3)]
    assert found.tolist() == pytest.approx(slopes, rel=1e-6)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_lowest_go_first_and_as_many_as_asked(criterion: str) -> None:
    values = np.array([3.0, 1, 2, 8, 7, 6, 5, 4])
    found = chosen(range(8), 0.4, criterion, lambda: values, 0)
    assert len(found) == 3
    expected = {"first": [0, 1, 2], "last": [5, 6, 7], "alternate": [1, 3, 5]}
    if criterion != "random":
        assert found == expected.get(criterion, [0, 1, 2])
    assert chosen(range(8), 0.0, criterion, lambda: values, 0) == []


@pytest.mark.parametrize("ratio", [-0.1, 1.0, math.nan])
def test_a_bad_ratio_is_named(ratio: float) -> None:
    with pytest.raises(ValueError, match=r"`ratio` must be a number in \[0, 1\), got"):
        chosen([0], ratio, "first", lambda: np.ones(1), 0)


def test_what_cannot_be_pruned_is_named() -> None:
    with pytest.raises(ValueError, match=r"`criterion` must be one of random, .* got 'best'"):
        chosen([0], 0.5, "best", lambda: np.ones(1), 0)
    dense = Spec.of(width=8, blocks=(Block(op="dense"),), kind="densenet", shape=(1, 6, 6), growth=4, norm="none")
    with pytest.raises(ValueError, match="densenet"):
        prune(dense, build(dense, 36, 5).state_dict(), [0])


def test_implicit_blocks_are_not_pruned() -> None:
    spec = Spec.of(width=16, blocks=(Block(),) * 3, block="implicit", step=0.5, leak=0.5)
    with pytest.raises(ValueError, match="`checkpoint` must be of explicit or leaky blocks"):
        prune(spec, build(spec, 9, 5).state_dict(), [1])
