"""Densely connected networks of images: their samples beside the whole Jacobian, their sizes and their keys."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import nasjac
from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.kinds.build import build
from nasjac.kinds.convolutional.spec import IMAGE_NORMS, ORDERS
from nasjac.kinds.densenet.network import DenseNetNetwork
from nasjac.kinds.densenet.space import DenseNetSpace
from nasjac.kinds.facts import branch_energies, facts
from nasjac.kinds.population import sample
from nasjac.mathematics.meanfield.graphs import densenet
from nasjac.sampling.draws import Draws
from nasjac.store import Store
from tests.kinds.inert_fields import check_inert
from tests.kinds.test_resnet import FEATURES, SHAPE, check_module, check_samples, check_sizes, images, search

DENSE = Block(op="dense")
NEXT = replace(DENSE, stage=1)
BLOCKS = (DENSE, replace(DENSE, scale=0.5), replace(NEXT, keep=False), NEXT, replace(DENSE, stage=2))


def spec_of(**fields: Any) -> Spec:
    common = {"width": 4, "blocks": BLOCKS, "norm": "batchnorm", "shape": SHAPE, "weight_gain": 1.3, "growth": 3}
    return Spec.of(**{"kind": "densenet", **common, **fields}).canonical


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("norm", IMAGE_NORMS)
def test_samples_are_those_of_the_whole_jacobian(norm: str, order: str, device: torch.device) -> None:
    check_samples(spec_of(norm=norm, order=order, activation="gelu"), device)


@pytest.mark.parametrize("order", ORDERS)
def test_norms_are_those_of_golden_row_19(order: str) -> None:
    """n0 = 6, g = 3, χ = .6: of one pixel a 3x3 kernel has one weight of variance gain²/9, exact in either order.

    ‖J‖²/n0 is 2.7516 after 8 blocks, per unit of the output .5503; every layer within 4 standard errors.
    """
    found = densenet(inputs=6, growth=3, depth=8, chi=0.6)
    assert math.exp(found.per_unit[-1]) == pytest.approx(0.5503207424, rel=1e-9)
    spec = spec_of(
        width=6, blocks=(DENSE,) * 8, shape=(1, 1, 1), norm="none", order=order, weight_gain=math.sqrt(9 * 2 * 0.6)
    )
    assert spec.units == 30
    [samples] = sample([spec], images(50, 1), Draws(2, range(400), torch.float64, torch.device("cpu")))
    by_draw = np.exp(samples.forward).mean((1, 2))
    error = by_draw.std(0) / len(by_draw) ** 0.5
    assert (np.abs(by_draw.mean(0) - np.exp(found.per_unit)) <= 4 * error + 1e-12).all()
    back = np.exp(samples.backward[..., 0]).mean((1, 2))
    assert back.mean() == pytest.approx(0.5503207424, abs=4 * back.std() / len(back) ** 0.5)
    expected = 0.6 * 3 / (6 + 3 * np.arange(8))
    np.testing.assert_allclose(branch_energies(spec), 9 * expected, rtol=1e-12)  # whole images have all nine weights


@pytest.mark.parametrize("order", ORDERS)
def test_blocks_are_the_textbook_ones(order: str) -> None:
    """A transition to half of the channels and pixels, then z beside relu(norm(c z)) or c(relu(norm z)), written out."""
    spec = spec_of(blocks=(NEXT,), norm="groupnorm", order=order)
    [block] = build(spec, FEATURES, 3, torch.Generator().manual_seed(0)).double().blocks  # type: ignore[misc, union-attr]
    x = torch.randn(5, 4, 5, 4, dtype=torch.float64)

    def layer(x: torch.Tensor, weight: torch.Tensor, padding: int) -> torch.Tensor:
        if order == "pre":
            return F.conv2d(torch.relu(F.group_norm(x, 1)), weight, padding=padding)
        return torch.relu(F.group_norm(F.conv2d(x, weight, padding=padding), 1))

    z = F.avg_pool2d(layer(x, block.transition.branch.convs[0].weight, 0), 2)  # type: ignore[union-attr, index, arg-type]
    fresh = layer(z, block.branch.convs[0].weight, 1)  # type: ignore[union-attr, index, arg-type]
    assert fresh.shape == (5, 3, 2, 2)
    torch.testing.assert_close(block(x), torch.cat([z, fresh], dim=1))  # type: ignore[operator]


def random_spec(rng: random.Random) -> Spec:
    blocks = tuple(
        replace(DENSE, stage=stage, keep=rng.random() < 0.8, scale=rng.choice([0.5, 1.0]))
        for stage in range(rng.randint(1, 3))
        for _ in range(rng.randint(1, 4))
    )
    return Spec.of(
        kind="densenet",
        width=rng.choice([3, 8]),
        blocks=blocks,
        growth=rng.choice([1, 4, 5]),
        norm=rng.choice(IMAGE_NORMS),
        order=rng.choice(ORDERS),
        activation=rng.choice(["relu", "gelu", "tanh"]),
        weight_gain=rng.uniform(0.7, 2.0),
        shape=(rng.choice([1, 3]), rng.randint(4, 9), rng.randint(4, 9)),
    )


@pytest.mark.parametrize("seed", range(20))
def test_facts_count_what_torch_counts(seed: int) -> None:
    check_sizes(random_spec(random.Random(seed)))


@pytest.mark.parametrize("seed", range(20))
def test_keys_depend_on_what_matters(seed: int) -> None:
    spec = random_spec(random.Random(seed))
    assert Spec.from_json(spec.to_json()) == spec
    assert spec.canonical.key == spec.key and spec.canonical.canonical == spec.canonical
    check_inert(spec, placement="post", heads=spec.width, query_gain=3.0)
    grows = any(block.keep for block in spec.blocks)
    assert (replace(spec, growth=spec.growth + 1).key == spec.key) == (not grows)


def test_a_pruned_block_vanishes_but_not_its_transition() -> None:
    spec = spec_of()
    assert spec.blocks == (*BLOCKS[:2], Block(op="dense", keep=False, stage=1), *BLOCKS[3:])
    assert spec_of(blocks=(DENSE, replace(DENSE, keep=False))).blocks == (DENSE,)
    assert [step.end.channels for step in spec.steps] == [7, 10, 5, 8, 7]
    [known] = facts([spec])
    assert known.depth == known.log2_paths == 4
    bare = spec_of(blocks=(DENSE, replace(NEXT, keep=False)))
    assert replace(bare, weight_gain=2.0).key != bare.key, "the gain is the transitions' too"


def test_effective_depth_is_about_the_logarithm_of_the_widths() -> None:
    """χ = 1 without norms: every share is g / (n + g), so d_eff = Σ g / n_k, about ln(n_L / n_0)."""
    spec = spec_of(width=16, growth=2, blocks=(DENSE,) * 24, norm="none", weight_gain=2**0.5)
    [known] = facts([spec])
    assert known.effective_depth == pytest.approx(sum(2 / n for n in range(18, 66, 2)), rel=1e-12)
    assert known.effective_depth == pytest.approx(math.log(64 / 16), abs=0.05)


@pytest.mark.parametrize("norm", IMAGE_NORMS)
def test_the_layers_grow_but_norms_per_unit_need_not(norm: str) -> None:
    """At the He gain E 𝒥 of one stage stays within a nat of 1, whatever the norm, while raw norms quadruple."""
    spec = spec_of(width=8, growth=6, blocks=(DENSE,) * 4, shape=(1, 16, 16), norm=norm, order="pre", weight_gain=2**0.5)
    [found] = nasjac.measure([spec], images(120, 256).float(), "apjn")
    assert found.status == "ok" and abs(found.terms["log_mean"].value or 9.0) < 1
    assert found.terms["log_rank"].value is not None and found.terms["log_rank"].value < math.log(8 / 32)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("norm", IMAGE_NORMS)
def test_the_module_exports_trains_and_comes_back(norm: str, order: str) -> None:
    blocks = (DENSE, DENSE, NEXT, NEXT)
    spec = Spec.of(
        width=8, blocks=blocks, kind="densenet", growth=8, shape=(1, 8, 8), norm=norm, order=order, weight_gain=1.4
    )
    assert isinstance(build(spec, 64, 10), DenseNetNetwork)
    check_module(spec)


def test_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert search(tmp_path, monkeypatch, "space=densenet", "space.stages=2", "space.growths=[4]") == 0
    with Store("nasjac.db", read_only=True) as store:
        keys = [row.architecture_key for row in store.trials("k") if row.objectives]
        specs = [Spec.from_json(json.dumps(row.spec)) for row in store.architectures(keys).values()]
    assert specs and all(spec.kind == "densenet" and spec.shape == (1, 8, 8) for spec in specs)
    assert (tmp_path / "reports/k/report.html").stat().st_size > 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: spec_of(blocks=(replace(DENSE, skip=0.0),)), ["`skip`", "must be 1 in a densenet", "0"]),
        (lambda: spec_of(shape=(1, 9, 3)), ["`shape`", "at least 4 x 4 pixels", "(1, 9, 3)"]),
        (lambda: spec_of(growth=0), ["`growth`", "at least 1", "0"]),
        (lambda: spec_of(norm="rmsnorm"), ["`norm`", "batchnorm, groupnorm, none", "'rmsnorm'"]),
        (lambda: spec_of(blocks=(Block(op="basic"),)), ["`op`", "dense", "'basic'"]),
        (lambda: DenseNetSpace(growths=(0,)), ["`space.growths`", "at least 1", "[0]"]),
        (lambda: DenseNetSpace(norms=("layernorm",)), ["`space.norms`", "batchnorm, groupnorm, none"]),
        (lambda: DenseNetSpace(depth_min=0), ["`space.depth_min`", "at least 1", "0"]),
        (lambda: DenseNetSpace(shape=(1, 2, 2)), ["`space.shape`", "at least 4 x 4", "(1, 2, 2)"]),
    ],
)
def test_what_does_not_fit_is_said(make: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)
