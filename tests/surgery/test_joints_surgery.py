"""Joints of growing and pruning: which branch a criterion picks, which block is copied, and whose number stands where.

The networks are made so that no two criteria agree, and so that every number differs from those it could be taken for.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nasjac import Block, Spec, build
from nasjac.datasets import Data
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery import grow as doors
from nasjac.surgery.branches.ours import blocks_of, links_of, measurable, stream
from nasjac.surgery.growth import grow
from nasjac.surgery.insertion import Beginning
from nasjac.surgery.own_model import places_of
from nasjac.surgery.prune import prune
from tests.surgery.test_branches import dense
from tests.surgery.test_grow import Run, run

__all__ = ["run"]
WIDTH = 6


def data() -> Data:
    drawn = torch.Generator().manual_seed(3)
    inputs, labels = torch.randn(80, 4, generator=drawn), torch.randint(2, (80,), generator=drawn)
    return Data(inputs[:40], labels[:40], inputs[40:], labels[40:], outputs=2)


def saved(spec: Spec, network: nn.Module, folder: Path) -> Path:
    checkpoint.save(folder, spec, network.state_dict(), {"inputs": 4, "outputs": 2, "dataset": "clusters"})
    return folder


def accuracy(network: nn.Module) -> float:
    found = data()
    return float((network(found.valid_inputs).argmax(1) == found.valid_labels).float().mean())


# pruning


def halved(folder: Path, criterion: str, out: Path) -> dict[str, Any]:
    """The JSON of a pruning of half the branches."""
    return prune(folder, ratio=0.5, criterion=criterion, points=4, fine_tune=0, dataset=data(), out=out).to_json()


def constant_and_small(folder: Path) -> tuple[Path, nn.Module]:
    """Block 0 adds a large constant, whose Jacobian is 0; block 1 adds half of what it is given."""
    spec = Spec.of(width=WIDTH, blocks=(Block(),) * 2, activation="linear")
    network = build(spec, 4, 2, torch.Generator().manual_seed(0)).eval()
    state = network.state_dict()
    state["blocks.0.outer.weight"].zero_()
    state["blocks.0.outer.bias"].copy_(torch.tensor([30.0, -20, 10, 0, 5, -5]))
    state["blocks.1.inner.weight"].copy_(torch.eye(WIDTH))
    state["blocks.1.outer.weight"].copy_(torch.eye(WIDTH) / 2)
    network.load_state_dict(state)
    return saved(spec, network, folder), network


@pytest.mark.parametrize(("criterion", "gone"), [("measured_energy", 0), ("output_damage", 1)])
def test_each_criterion_prunes_by_its_own_value(tmp_path: Path, criterion: str, gone: int) -> None:
    folder, network = constant_and_small(tmp_path / "source")
    found = halved(folder, criterion, tmp_path / "out")
    assert found["pruned"] == [gone]
    energies, damages = ([row[name] for row in found["branch_values"]] for name in ("measured_energy", "output_damage"))
    assert energies == [0, pytest.approx(0.25)] and damages[1] == pytest.approx(0.5)
    x = stream(network, data().valid_inputs[:4])[0]
    size = math.sqrt(30**2 + 20**2 + 10**2 + 5**2 + 5**2)
    assert damages[0] == pytest.approx(float((size / x.norm(dim=1)).mean()), rel=1e-4)


def test_what_is_told_of_before_and_after_pruning_is_of_before_and_after(tmp_path: Path) -> None:
    folder, network = constant_and_small(tmp_path / "source")
    found = halved(folder, "measured_energy", tmp_path / "out")
    _, pruned, info = checkpoint.load(tmp_path / "out")
    before, after = accuracy(network), accuracy(pruned.eval())
    assert before != after, "or this would say nothing"
    assert found["accuracy"] == {"before": pytest.approx(before), "after": pytest.approx(after), "fine_tuned": None}
    assert info["accuracy"] == pytest.approx(after)
    block = 2 * WIDTH**2 + 2 * WIDTH
    assert found["parameters"]["before"] - found["parameters"]["after"] == block
    assert found["flops"] == {"before": 8 * WIDTH**2, "after": 4 * WIDTH**2}
    assert len(found["profile_before"]) - len(found["profile_after"]) == 2, "one layer less in both directions"
    assert found["effective_depth"] == {"before": pytest.approx(0.2), "after": pytest.approx(0.2)}
    assert found["path_count"] == {"before": 4, "after": 2}


def test_damage_is_measured_and_predicted_by_different_means(tmp_path: Path) -> None:
    """Two blocks x + x: J = 4, and 2 with one of them pruned, so that ‖J − J_K‖² / N is 4; paths that were orthogonal would
    make it (1 + 1)² − (1 + 1) = 2.
    """
    spec = Spec.of(width=WIDTH, blocks=(Block(),) * 2, activation="linear")
    network = build(spec, 4, 2, torch.Generator().manual_seed(0)).eval()
    for block in blocks_of(network):
        for name in ("inner.weight", "outer.weight"):
            block.get_parameter(name).data.copy_(torch.eye(WIDTH))
    folder = saved(spec, network, tmp_path / "source")
    found = halved(folder, "last", tmp_path / "out")
    assert found["measured_damage"] == pytest.approx(4) and found["predicted_damage"] == pytest.approx(2)
    assert found["measured_relative_damage"] == pytest.approx(4 / 16)
    assert found["predicted_relative_damage"] == pytest.approx(2 / 4)
    assert found["measured_damage_error"] == pytest.approx(0, abs=1e-6)


class Adds(nn.Module):
    """x + W x + b."""

    def __init__(self, factor: float, constant: float) -> None:
        super().__init__()
        self.outer = nn.Linear(WIDTH, WIDTH)
        self.outer.weight.data.copy_(factor * torch.eye(WIDTH))
        self.outer.bias.data.fill_(constant)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(x)  # type: ignore[no-any-return]


class Model(nn.Module):
    """Block 0 adds a large constant, whose Jacobian is 0; block 1 half of what it is given; block 2 as much as that."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Adds(0, 50), Adds(0.5, 0), Adds(1, 0)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


PRUNE = (
    "prune",
    "model=tests.surgery.test_joints_surgery:Model",
    "blocks=blocks",
    f"input=4x{WIDTH}",
    "quiet=true",
    "format=json",
)


@pytest.mark.parametrize(("criterion", "gone"), [("measured_energy", 0), ("output_damage", 1)])
def test_each_criterion_prunes_a_model_by_its_own_value(run: Run, criterion: str, gone: int) -> None:
    code, out, err = run(*PRUNE, "ratio=0.4", f"criterion={criterion}", "out=pruned")
    assert code == 0, err
    found = json.loads(out)
    assert found["pruned"] == [gone]
    assert [row["measured_energy"] for row in found["branch_values"]] == [0, pytest.approx(0.25), pytest.approx(1)]
    damages = [row["output_damage"] for row in found["branch_values"]]
    assert damages[0] > 10 and damages[1:] == [pytest.approx(0.5), pytest.approx(1)]
    whole, left = 1.5 * 2, {0: 1.5 * 2, 1: 2}[gone]
    assert found["measured_damage"] == pytest.approx((whole - left) ** 2, abs=1e-5)
    energy = 1.25 * 2
    assert found["predicted_damage"] == pytest.approx(energy - {0: energy, 1: 2}[gone], abs=1e-5)
    assert found["parameters"]["before"] - found["parameters"]["after"] == WIDTH**2 + WIDTH


# growing


def different(depth: int = 4) -> tuple[Spec, nn.Module]:
    """Blocks of different scales and weights."""
    spec = Spec.of(width=WIDTH, blocks=tuple(Block(scale=1 - n / 8) for n in range(depth)), activation="gelu")
    return spec, build(spec, 4, 2, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("place", range(5))
def test_a_copy_is_of_the_block_before_it(place: int) -> None:
    """Before the first block of that one: place p is after p blocks."""
    spec, network = different()
    state, source = network.state_dict(), max(place - 1, 0)
    found = grow(spec, state, [place], Beginning("copy", 0.25), 4, 2)
    assert found.new == (place,) and found.spec.blocks[place].scale == 0.25 * spec.blocks[source].scale
    for name in ("inner.weight", "outer.weight", "outer.bias"):
        assert torch.equal(found.state[f"blocks.{place}.{name}"], state[f"blocks.{source}.{name}"])
    others = [number for number in range(5) if number != place]
    for after, before in zip(others, range(4), strict=True):
        assert torch.equal(found.state[f"blocks.{after}.inner.weight"], state[f"blocks.{before}.inner.weight"])
        assert found.spec.blocks[after] == spec.blocks[before]


def test_the_norms_of_new_blocks_are_those_of_their_jacobians(tmp_path: Path) -> None:
    spec, network = different()
    source, how = saved(spec, network, tmp_path / "source"), {"init": "copy", "gain": 0.25, "seed": 2}
    done = doors.grow(source, blocks=2, after=(1, 3), points=12, dataset=data(), out=tmp_path / "out", **how)  # type: ignore[arg-type]
    found = done.to_json()
    deeper, grown, _ = checkpoint.load(tmp_path / "out")
    links = links_of(deeper, measurable(grown), data().valid_inputs[:12])
    assert [row["block"] for row in found["new_blocks"]] == [1, 4]
    for row in found["new_blocks"]:
        matrices = torch.stack([dense(links[row["block"]].added, x) for x in links[row["block"]].x])
        spectral = torch.linalg.matrix_norm(matrices, 2)
        assert spectral.max() > 1.05 * spectral.mean(), "or this would not tell them apart"
        assert row["spectral_norm"] == pytest.approx(float(spectral.max()), rel=0.011)
        assert row["spectral_norm_mean"] == pytest.approx(float(spectral.mean()), rel=0.011)
        energy = float(matrices.square().sum((1, 2)).mean())
        assert row["frobenius_norm"] == pytest.approx(math.sqrt(energy), abs=5 * row["frobenius_error"])
        assert row["rms_norm"] == pytest.approx(row["frobenius_norm"] / math.sqrt(WIDTH))
    assert found["epsilon_spectral"] == pytest.approx(max(row["spectral_norm"] for row in found["new_blocks"]))


def test_new_blocks_of_a_model_are_spread_evenly() -> None:
    """After which block, 1 the first."""
    assert [places_of(count, 4) for count in (1, 2, 4, 8)] == [[3], [2, 4], [1, 2, 3, 4], [1, 1, 2, 2, 3, 3, 4, 4]]


# options of the command line


def test_options_of_prune_are_what_they_are_called(run: Run, tmp_path: Path) -> None:
    """16 points of digits make another profile than 3 would; 7 steps are 7 steps."""
    spec = Spec.of(width=WIDTH, blocks=(Block(),) * 2)
    network = build(spec, 64, 10, torch.Generator().manual_seed(0))
    checkpoint.save(tmp_path / "kept", spec, network.state_dict(), {"inputs": 64, "outputs": 10, "dataset": "digits"})
    words = ["prune", "checkpoint=kept", "ratio=0.5", "criterion=last", "quiet=true", "format=json"]
    code, out, err = run(*words, "points=3", "fine_tune=7", "learning_rate=0.002", "seed=4")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    assert found["fine_tune"] == {"steps": 7, "learning_rate": 0.002, "reason": None}
    assert (found["criterion"], found["ratio"], found["seed"], found["pruned"]) == ("last", 0.5, 4, [1])


def test_options_of_grow_are_what_they_are_called(run: Run, tmp_path: Path) -> None:
    spec = Spec.of(width=WIDTH, blocks=(Block(),) * 2)
    network = build(spec, 64, 10, torch.Generator().manual_seed(0))
    checkpoint.save(tmp_path / "kept", spec, network.state_dict(), {"inputs": 64, "outputs": 10, "dataset": "digits"})
    words = ["grow", "checkpoint=kept", "blocks=1", "points=2", "quiet=true", "format=json", "init=copy", "gain=0.125"]
    numbers = ["epsilon_spectral=0.3", "epsilon_rms=0.1", "budget.tau=3", "rule=edge", "force=true", "seed=5", "after=1"]
    code, out, err = run(*words, *numbers)
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    names = ("epsilon_spectral", "epsilon_rms", "tau", "rule", "seed", "init", "gain", "blocks")
    assert [found[name] for name in names] == [0.3, 0.1, 3.0, "edge", 5, "copy", 0.125, 1]
    assert [row["block"] for row in found["new_blocks"]] == [1]
