"""Residual networks of images: what they compute, their samples beside the whole Jacobian, their sizes and their keys."""

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
from torch.utils.flop_counter import FlopCounterMode

import nasjac
from nasjac import ResNet
from nasjac.architecture.block import Block
from nasjac.architecture.inputs import Inputs
from nasjac.architecture.spec import Spec
from nasjac.cli import main
from nasjac.datasets import Data, Digits
from nasjac.kinds.build import build
from nasjac.kinds.convolutional.network import Branch, ImageNetwork
from nasjac.kinds.convolutional.spec import BATCH, IMAGE_NORMS, ORDERS
from nasjac.kinds.facts import branch_energies, facts
from nasjac.kinds.images import Conv
from nasjac.kinds.modules.initialize import PLAIN, initialize
from nasjac.kinds.population import Tally, sample, sampled
from nasjac.kinds.resnet.network import ResNetNetwork
from nasjac.kinds.resnet.space import ResNetSpace
from nasjac.kinds.spaces import SPACES
from nasjac.mathematics.meanfield.graphs import zero_padded_conv
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import BATCHED, FORWARD, INDEPENDENT, Samples
from nasjac.scores.meanfield import Meanfield
from nasjac.store import Store
from nasjac.trainers import AdamW
from tests.kinds.inert_fields import check_inert

SHAPE = (2, 4, 5)
FEATURES = math.prod(SHAPE)


def blocks_of(op: str) -> tuple[Block, ...]:
    """Two stages; the second begins with a projection, the third with one whose branch is pruned and then a cut skip."""
    gates: list[dict[str, Any]] = [{}, {"skip": 0.0}, {"stage": 1, "scale": 0.5}, {"stage": 2, "keep": False}]
    return tuple(Block(op=op, **gate) for gate in [*gates, {"stage": 2, "skip": 0.0}])


def spec_of(**fields: Any) -> Spec:
    common = {"width": 4, "blocks": blocks_of("basic"), "norm": "batchnorm", "shape": SHAPE, "weight_gain": 1.3}
    return Spec.of(**{"kind": "resnet", **common, **fields}).canonical


def images(count: int = 40, features: int = FEATURES) -> torch.Tensor:
    return torch.randn(count, features, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def module_of(spec: Spec, bank: Draws, draw: int) -> ImageNetwork:
    """The ordinary module with the weights of one draw; BatchNorm takes the statistics of the batch."""
    module = build(spec, math.prod(spec.shape), 3).to(bank.device, bank.dtype).requires_grad_(False)
    assert isinstance(module, ImageNetwork)
    torch.func.replace_all_batch_norm_modules_(module)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 4:
                layer = name.removesuffix(".weight")
                gain = 1.0 if layer.rpartition(".")[2] in PLAIN else spec.weight_gain
                role = role_of(spec, layer) if spec.kind == "resnet" else layer
                weights = bank.normal(role, *parameter.shape)[draw]
                parameter.copy_(weights * gain / math.sqrt(parameter[0].numel()))
    return module


def role_of(spec: Spec, layer: str) -> str:
    """What a layer's random numbers are kept under: its block's stage, number in the stage and op, and its own number."""
    if layer == "stem":
        return layer
    number = int(layer.split(".")[1])
    block = spec.blocks[number]
    place = f"{block.stage}.{sum(other.stage == block.stage for other in spec.blocks[:number])}"
    return f"{place} projection" if "shortcut" in layer else f"{place} {block.op} {layer.rpartition('.')[2]}"


def check_samples(spec: Spec, device: torch.device) -> None:
    """Streams, tangents, cotangents, round trips and angles of a draw, beside jacrev of the module's blocks."""
    bank = Draws(7, range(2), torch.float64, device)
    [found] = sample([spec], images(features=math.prod(spec.shape)), bank)
    module = module_of(spec, bank, 1)
    chosen = bank.samples(images(features=math.prod(spec.shape)), 2 * spec.batch)[1].view(2, spec.batch, -1)[0]
    layers = [layer.detach() for layer in module.stream(chosen)]

    def through(flat: torch.Tensor, first: int, last: int) -> torch.Tensor:
        x = flat.view(layers[first].shape)
        for block in list(module.blocks)[first:last]:
            x = block(x)
        return x.flatten()

    depth = len(spec.blocks)
    u = bank.probes("tangent", 2, INDEPENDENT.tangents, layers[0].numel())[1, 0]
    v = bank.probes("cotangent", 2, 2, layers[-1].numel())[1, 0]
    assert layers[-1].numel() == spec.units
    for number, layer in enumerate(layers):
        into = torch.func.jacrev(lambda x, n=number: through(x, 0, n))(layers[0].flatten())
        out = torch.func.jacrev(lambda x, n=number: through(x, n, depth))(layer.flatten())
        forward, backward = u @ into.T, v @ out
        np.testing.assert_allclose(found.stream[1, 0, number], layer.square().mean().log().cpu(), atol=1e-8)
        np.testing.assert_allclose(found.forward[1, 0, :, number], forward.square().mean(-1).log().cpu(), atol=1e-8)
        log = (backward.square().sum(-1) / spec.units).log().cpu()
        np.testing.assert_allclose(found.backward[1, 0, :, number], log, atol=1e-8)
        if number == 0:
            trips = u @ out.T @ out
            log = (trips.square().sum(-1) / spec.units).log().cpu()
            np.testing.assert_allclose(found.round_trip[1, 0], log, atol=1e-8)


@pytest.mark.parametrize("op", ResNet.ops)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("norm", IMAGE_NORMS)
def test_samples_are_those_of_the_whole_jacobian(norm: str, order: str, op: str, device: torch.device) -> None:
    check_samples(spec_of(norm=norm, order=order, blocks=blocks_of(op), activation="gelu"), device)


@pytest.mark.parametrize("norm", IMAGE_NORMS)
def test_blocks_are_the_textbook_ones(norm: str) -> None:
    """relu(n(c(relu(n(c x)))) s + n(P x)) and s c(relu(n(c(relu(n x))))) + P x, each written out, at a stage's begin."""
    x = torch.randn(6, 4, 5, 4, dtype=torch.float64)

    def normed(x: torch.Tensor) -> torch.Tensor:
        if norm == "batchnorm":
            return (x - x.mean((0, 2, 3), True)) / torch.sqrt(x.var((0, 2, 3), False, True) + 1e-5)
        return F.group_norm(x, x.shape[1] // 4) if norm == "groupnorm" else x

    for order in ORDERS:
        spec = spec_of(norm=norm, order=order, blocks=(Block(op="basic", stage=1, scale=0.5),))
        module = build(spec, FEATURES, 3, torch.Generator().manual_seed(0)).double()
        [block] = module.blocks  # type: ignore[misc, union-attr]
        first, second = (layer.weight for layer in block.branch.convs)  # type: ignore[union-attr]
        shortcut = F.conv2d(x, block.shortcut.projection.weight, stride=2)  # type: ignore[union-attr, arg-type]
        if order == "pre":
            inner = F.conv2d(torch.relu(normed(x)), first, stride=2, padding=1)
            expected = shortcut + 0.5 * F.conv2d(torch.relu(normed(inner)), second, padding=1)
        else:
            inner = torch.relu(normed(F.conv2d(x, first, stride=2, padding=1)))
            expected = torch.relu(normed(shortcut) + 0.5 * normed(F.conv2d(inner, second, padding=1)))
        torch.testing.assert_close(block(x), expected)  # type: ignore[operator]


def test_decorrelation_and_the_other_plans(device: torch.device) -> None:
    """1 − cosine of outputs within a batch, mean over batches; no vectors give zero dimensions, a common one its Gram."""
    for norm in ("batchnorm", "none"):
        spec, bank = spec_of(norm=norm), Draws(7, range(2), torch.float64, device)
        many = images(32 * spec.batch)
        whole, forward, common = (sample([spec], many, bank, plan)[0] for plan in (INDEPENDENT, FORWARD, BATCHED))
        module = module_of(spec, bank, 0)
        groups = bank.samples(many, 2 * spec.batch)[0].view(-1, spec.batch if norm == "batchnorm" else 2, FEATURES)
        outputs = [torch.nn.functional.normalize(list(module.stream(group))[-1].detach().flatten(1)) for group in groups]
        cosines = [(y @ y.T).cpu().numpy()[~np.eye(len(y), dtype=bool)].mean() for y in outputs]
        assert whole.decorrelation[0] == pytest.approx(1 - np.mean(cosines), abs=1e-9)
        np.testing.assert_array_equal(whole.forward, forward.forward)
        assert forward.backward.size == forward.round_trip.size == 0
        assert common.cotangent_gram.shape == (2, 32, 32) and common.forward.shape == (2, 32, 0, len(spec.blocks) + 1)
        np.testing.assert_allclose(np.diagonal(common.cotangent_gram, axis1=1, axis2=2), 1.0)
        shapes = {name: np.shape(value) for name, value in vars(whole).items() if name.endswith("tokens")}
        assert all(0 in shape for shape in shapes.values())


def test_zero_padding_loses_energy_as_golden_row_20_says() -> None:
    """Three relu convolutions of 5 x 5 pixels at the He gain: .4952; two blocks of a network, within 4 standard errors."""
    spec = spec_of(norm="none", order="pre", weight_gain=2**0.5, blocks=(Block(op="basic", skip=0.0),) * 2, shape=(2, 5, 5))
    branch, generator = Branch(spec, [Conv(2, 2, 3)] * 3).double().requires_grad_(False), torch.Generator().manual_seed(3)
    found = []
    for _ in range(1500):
        initialize(branch, spec.weight_gain, lambda _, shape: torch.randn(shape, dtype=torch.float64, generator=generator))
        x = torch.randn(2, 5, 5, dtype=torch.float64, generator=generator)
        u = torch.randn(2, 5, 5, dtype=torch.float64, generator=generator)
        pulled = torch.func.vjp(lambda x: branch(x[None])[0], x)[1](u)[0]
        found.append(float(pulled.square().mean()))
    assert np.mean(found) == pytest.approx(0.495198902606, abs=4 * np.std(found) / len(found) ** 0.5)
    [samples] = sample([spec], images(60, 50), Draws(5, range(600), torch.float64, torch.device("cpu")))
    for layer, convs in ((1, 2), (2, 4)):
        by_draw = np.exp(samples.forward[..., layer]).mean((1, 2))
        expected = math.exp(zero_padded_conv(5, 5, convs).log_energy[-1])
        assert by_draw.mean() == pytest.approx(expected, abs=4 * by_draw.std() / len(by_draw) ** 0.5)


def random_spec(rng: random.Random) -> Spec:
    stages = sorted(rng.choices(range(3), k=rng.randint(0, 7)))
    stages = [
        sum(later != before for before, later in zip([0, *stages], stages[: n + 1], strict=False))
        for n in range(len(stages))
    ]
    blocks = tuple(
        Block(
            op=rng.choice(ResNet.ops),
            stage=stage,
            skip=float(rng.random() < 0.7),
            keep=rng.random() < 0.8,
            scale=rng.choice([0.5, 1.0]),
        )
        for stage in stages
    )
    return Spec.of(
        kind="resnet",
        width=rng.choice([4, 8, 12]),
        blocks=blocks,
        norm=rng.choice(IMAGE_NORMS),
        order=rng.choice(ORDERS),
        activation=rng.choice(["relu", "gelu", "tanh"]),
        weight_gain=rng.uniform(0.7, 2.0),
        shape=(rng.choice([1, 3]), rng.randint(4, 9), rng.randint(4, 9)),
    )


def check_sizes(spec: Spec) -> None:
    """Parameters of the blocks' tensors, FLOPs of torch's own counter on meta tensors, and units layer by layer."""
    module = build(spec, math.prod(spec.shape), 3)
    assert isinstance(module, ImageNetwork)
    [found] = facts([spec])
    assert found.params == sum(parameter.numel() for parameter in module.blocks.parameters())
    module = module.to("meta").eval()
    x = torch.zeros(1, spec.width, *spec.shape[1:], device="meta")
    with FlopCounterMode(display=False) as counter:
        for block, step in zip(module.blocks, spec.canonical.steps, strict=True):
            x = block(x)
            assert x.shape[1:] == step.end
    assert found.flops == counter.get_total_flops()
    assert spec.canonical.units == spec.batch * x.numel()
    assert module(torch.zeros(2, math.prod(spec.shape), device="meta")).shape == (2, 3)


@pytest.mark.parametrize("seed", range(20))
def test_facts_count_what_torch_counts(seed: int) -> None:
    spec = random_spec(random.Random(seed))
    check_sizes(spec)
    known, [same] = facts([spec, Spec.of(width=8, blocks=(Block(),)), spec]), facts([spec.canonical])
    assert known[0] == known[2] == same


@pytest.mark.parametrize("seed", range(20))
def test_keys_depend_on_what_matters(seed: int) -> None:
    spec = random_spec(random.Random(seed))
    assert Spec.from_json(spec.to_json()) == spec
    assert spec.canonical.key == spec.key and spec.canonical.canonical == spec.canonical
    inert = {"growth": 5, "placement": "pre", "heads": 2, "query_gain": 3.0, "ffn_ratio": 2, "logit_scale": "inverse"}
    check_inert(spec, **inert)
    assert len({replace(spec, norm=norm, order=order).key for norm in IMAGE_NORMS for order in ORDERS}) == 6
    assert replace(spec, shape=(2, 9, 9)).key != spec.key


def test_a_pruned_block_vanishes_unless_it_changes_the_shape() -> None:
    one, two = Block(op="basic"), Block(op="basic", stage=1)
    pruned = replace(two, keep=False, scale=0.3, op="bottleneck", skip=0.0)
    spec = spec_of(blocks=(one, replace(one, keep=False), two, replace(pruned, skip=1.0)))
    assert spec.blocks == (one, two)
    left = spec_of(blocks=(one, pruned, two))
    assert left.blocks == (one, Block(op="basic", keep=False, stage=1), two)
    only = build(spec_of(blocks=(pruned,)), FEATURES, 3)
    assert [tuple(p.shape) for p in only.blocks.parameters()] == [(8, 4, 1, 1), (8,), (8,)]  # type: ignore[union-attr]
    assert spec_of(blocks=(pruned,), weight_gain=3.0).key == spec_of(blocks=(pruned,)).key
    [known] = facts([spec_of(blocks=(pruned,))])
    assert (known.depth, known.effective_depth, known.log2_paths) == (0, 0.0, 0.0) and known.params == 48


def test_branch_energies() -> None:
    """relu without norms: two convolutions and one relu (post) or two (pre), χ = g⁴/2 or g⁴/4; with BatchNorm in a plain
    chain two layers of π/(π − 1); and of wide sampled networks of large images the norm is within a third of a nat.
    """
    gain, plain = 1.3, (Block(op="basic"), Block(op="basic", scale=0.5))
    for order, part in (("post", 2), ("pre", 4)):
        spec = spec_of(norm="none", order=order, blocks=plain, weight_gain=gain)
        np.testing.assert_allclose(branch_energies(spec), [gain**4 / part, gain**4 / part / 4], rtol=1e-12)
    chain = spec_of(order="pre", blocks=(Block(op="basic", skip=0.0),) * 3)
    np.testing.assert_allclose(branch_energies(chain)[1:], (math.pi / (math.pi - 1)) ** 2, rtol=1e-12)
    blocks = tuple(Block(op="basic", stage=stage, scale=0.7) for stage in (0, 0, 1))
    for norm in IMAGE_NORMS:
        spec = spec_of(width=16, shape=(1, 24, 24), norm=norm, order="pre", blocks=blocks)
        [found] = nasjac.measure([spec], images(200, 576).float(), "apjn")
        closed = float(np.log1p(branch_energies(spec)).sum())
        assert found.terms["log_mean"].value == pytest.approx(closed, abs=0.35), norm
        [known] = facts([spec])
        assert 0 < known.nonlinear_effective_depth < known.effective_depth < 3


@pytest.mark.parametrize("skip", [0.3, 0.8])
def test_the_activation_behind_the_sum_is_averaged_over_both_outcomes_of_a_gate(skip: float) -> None:
    """Post order, relu: units of relu(x) beside a branch of variance v have the mean m = 1/√2π and S = Φ(m / √(½ − m² + v))
    where the shortcut is there, and S = ½ where it is cut. To the 2% of a quadrature over a step.
    """
    gain = 1.2
    spec = spec_of(norm="none", order="post", blocks=(Block(op="basic", skip=skip),), weight_gain=gain)
    chi, mean = gain**4 / 2, 1 / math.sqrt(2 * math.pi)
    spread = math.sqrt(0.5 - mean**2 + chi / 2)  # the branch's output has the second moment χ q, q = 1/2
    there = (1 + math.erf(mean / spread / math.sqrt(2))) / 2
    branch = chi * (skip * there + (1 - skip) / 2)
    assert facts([spec])[0].effective_depth == pytest.approx(branch / (skip * there + branch), rel=0.01)
    assert chi / (skip + chi) > 1.02 * branch / (skip * there + branch)


def test_a_pruned_block_has_its_shortcut_whatever_its_skip_says() -> None:
    """Gates of a branch that is not there enter no energy: they are those of the canonical network."""
    blocks = (Block(op="basic"), Block(op="basic", stage=1, keep=False, skip=0.2), Block(op="basic", stage=1))
    spec = Spec.of(width=4, blocks=blocks, kind="resnet", norm="groupnorm", order="pre", shape=SHAPE)
    np.testing.assert_array_equal(branch_energies(spec), branch_energies(spec.canonical))


@pytest.mark.parametrize("norm", IMAGE_NORMS)
def test_values_do_not_depend_on_company(norm: str, device: torch.device) -> None:
    """Kinds that take features share a call; each architecture's samples are bit for bit what they are alone."""
    specs = [
        spec_of(norm=norm),
        Spec.of(width=8, blocks=(Block(),) * 3),
        spec_of(norm=norm, order="pre"),
        Spec.of(width=8, blocks=(Block(),)),
    ]
    bank = Draws(3, range(2), torch.float32, device)
    together = sample(specs, images().float(), bank)
    for spec, one in zip(specs, together, strict=True):
        [alone] = sample([spec], images().float(), bank)
        for name in Samples.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(one, name), getattr(alone, name), err_msg=name)


@pytest.mark.parametrize("norm", IMAGE_NORMS)
def test_values_do_not_depend_on_who_shares_a_tile(norm: str, device: torch.device) -> None:
    """Any depths, blocks, skips, scales, gains and pruning: bit for bit what each is alone, in either order, few tiles."""
    rng = random.Random(5)
    specs = [replace(random_spec(rng), norm=norm, activation="gelu", width=4, shape=SHAPE) for _ in range(24)]
    leaky = [replace(spec, block="leaky", step=0.5, leak=0.6) for spec in specs[:4]]
    specs = [spec.canonical for spec in [*specs, *leaky]]
    bank, tally = Draws(3, range(3), torch.float32, device), Tally()
    runs = [sample(specs, images().float(), bank), sample(specs[::-1], images().float(), bank)[::-1]]
    dict(sampled(specs, images().float(), bank, tally=tally))
    assert tally.mean_rows is not None and tally.mean_rows > 2
    for number, spec in enumerate(specs):
        [alone] = sample([spec], images().float(), bank)
        for name in Samples.__dataclass_fields__:
            for run in runs:
                np.testing.assert_array_equal(getattr(run[number], name), getattr(alone, name), err_msg=name)


def test_a_tile_keeps_to_its_memory() -> None:
    """Values are the same however few rows there is memory for; a tile has then one."""
    rng = random.Random(6)
    specs = [replace(random_spec(rng), norm="groupnorm", shape=SHAPE).canonical for _ in range(8)]
    bank, tally = Draws(3, range(3), torch.float32, torch.device("cpu")), Tally()
    narrow = dict(sampled(specs, images().float(), bank, max_memory=1.0, tally=tally))
    assert set(tally.tiles) == {1}
    for number, wide in enumerate(sample(specs, images().float(), bank)):
        found = narrow[number]
        assert found is not None
        np.testing.assert_array_equal(found.backward, wide.backward)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("norm", IMAGE_NORMS)
def test_the_module_exports_trains_and_comes_back(norm: str, order: str) -> None:
    """torch.export, a state_dict round trip, and accuracy after training that beats chance."""
    blocks = (Block(op="basic"), Block(op="bottleneck", stage=1), Block(op="basic", stage=1, skip=0.0))
    check_module(Spec.of(width=8, blocks=blocks, kind="resnet", shape=(1, 8, 8), norm=norm, order=order, weight_gain=1.4))


def check_module(spec: Spec) -> None:
    data = Digits().load()
    module = build(spec, 64, 10, torch.Generator().manual_seed(0)).eval()
    exported = torch.export.export(module, (data.valid_inputs[:2],)).module()
    torch.testing.assert_close(exported(data.valid_inputs[:2]), module(data.valid_inputs[:2]))
    torch.testing.assert_close(module(data.valid_inputs[:2].view(2, 1, 8, 8)), module(data.valid_inputs[:2]))
    assert {"skip", "scale"} & {name.rpartition(".")[2] for name, _ in module.named_buffers()}
    runs = AdamW(steps=60, learning_rates=(1e-2, 3e-2), seeds=(0,)).train(spec, data)
    assert [run.status for run in runs] == ["ok", "ok"] and max(run.accuracy or 0 for run in runs) > 0.4
    fresh = build(spec, 64, 10).eval()
    fresh.load_state_dict(runs[0].state)
    hits = (fresh(data.valid_inputs).argmax(-1) == data.valid_labels).float().mean()
    assert float(hits) == pytest.approx(runs[0].accuracy)


def test_building_uses_the_generator_alone() -> None:
    spec = spec_of()
    before = torch.get_rng_state()
    one, same = (build(spec, FEATURES, 3, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), same.state_dict().values(), strict=True))
    assert isinstance(one, ResNetNetwork) and float(one.readout.weight.detach().std()) == pytest.approx(0.25, rel=0.4)


def test_an_ensemble_of_skips_is_measured_by_patterns() -> None:
    spec = spec_of(norm="none", blocks=(Block(op="basic", skip=0.5), Block(op="basic", stage=1, skip=0.5)))
    [found] = nasjac.measure([spec], images().float(), "apjn")
    assert found.status == "ok" and found.terms["sd_log_patterns"].value is not None and len(found.patterns) > 1


def test_the_closed_form_does_not_cover_it() -> None:
    [found] = Meanfield().measure([spec_of()], images().float(), torch.device("cpu"))
    assert found.status == "unsupported" and "`kind`" in str(found.reason) and "'resnet'" in str(found.reason)


def search(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")
    small = ["budget.trials=8", "search.batch=8", "budget.min_effective_depth=0.1", "trainer.steps=3", "trainer.seeds=[0]"]
    validation = ["validation.top=1", "validation.random=1", "validation.matched=0", "quiet=true"]
    return main(["search", "study=k", "space.depth_max=2", "space.widths=[4]", *small, *validation, *words])


def test_search_and_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """End to end: scored, validated, reported, one kept; the images' shape is the dataset's."""
    assert search(tmp_path, monkeypatch, "space=resnet", "space.stages=2") == 0
    with Store("nasjac.db", read_only=True) as store:
        rows = [row for row in store.trials("k") if row.objectives]
        keys = [row.architecture_key for row in rows]
        specs = [Spec.from_json(json.dumps(row.spec)) for row in store.architectures(keys).values()]
    assert rows and all(spec.kind == "resnet" and spec.shape == (1, 8, 8) for spec in specs)
    assert (tmp_path / "reports/k/report.html").stat().st_size > 0
    words = ["trainer.steps=3", "trainer.seeds=[0]", "quiet=true"]
    assert main(["train", f"key={keys[0]}", "out=kept", *words]) == 0
    assert any((tmp_path / "kept").iterdir())


def test_a_search_says_what_images_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(tmp_path, monkeypatch, "space=resnet", "dataset=text") != 0
    assert "`dataset` must hold images" in capsys.readouterr().err
    assert search(tmp_path, monkeypatch, "space=resnet", "space.shape=[3,32,32]") != 0
    assert "`space.shape` must be that of the dataset's images, (1, 8, 8)" in capsys.readouterr().err
    assert search(tmp_path, monkeypatch, "space=densenet", "space.stages=5") != 0
    assert "at least 16 x 16 pixels" in capsys.readouterr().err


def test_a_space_takes_the_shape_of_images() -> None:
    for name in ("resnet", "densenet"):
        space: Any = SPACES[name]()
        assert space.for_data(Inputs(shape=(3, 32, 32))).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: spec_of(shape=(2, 3, 5)), ["`shape`", "at least 4 x 4 pixels", "2 stages", "(2, 3, 5)"]),
        (lambda: spec_of(shape=(4, 4)), ["`shape`", "(channels, rows, columns)", "(4, 4)"]),
        (lambda: spec_of(shape=()), ["`shape`", "of its images in a resnet", "()"]),
        (lambda: Spec.of(width=8, blocks=(), shape=(1, 8, 8)), ["`shape`", "not a field of ResidualMLP", "width, blocks"]),
        (lambda: Spec.of(width=8, blocks=(Block(stage=1),)), ["`stage`", "left out", "residual_mlp"]),
        (lambda: Block(stage=-1), ["`stage`", "at least 0", "-1"]),
        (lambda: spec_of(norm="layernorm"), ["`norm`", "batchnorm, groupnorm, none", "'layernorm'"]),
        (lambda: Spec.of(width=8, blocks=(), norm="batchnorm"), ["`norm`", "layernorm, rmsnorm", "'batchnorm'"]),
        (lambda: spec_of(order="middle"), ["`order`", "post, pre", "'middle'"]),
        (lambda: spec_of(blocks=(Block(),)), ["`op`", "basic, bottleneck", "'ffn'"]),
        (lambda: spec_of(blocks=(Block(op="basic", stage=2),)), ["`stage`", "the next", "2 after 0"]),
        (lambda: spec_of(width=6, blocks=blocks_of("bottleneck")), ["`width`", "multiple of 4", "6"]),
        (lambda: build(spec_of(), 41, 3), ["`inputs`", "(2, 4, 5), 40", "41"]),
        (
            lambda: nasjac.measure([spec_of()], images(20).float(), "apjn"),
            ["`inputs`", f"at least {2 * BATCH}", "[20, 40]"],
        ),
        (lambda: nasjac.measure([spec_of()], images(40, 64).float(), "apjn"), ["`inputs`", "(2, 4, 5), 40", "64"]),
        (lambda: nasjac.measure([spec_of()], torch.ones(40, 40).long(), "apjn"), ["`inputs`", "real features", "resnet"]),
        (lambda: sample([spec_of()], images(), BANK, products="bf16"), ["`products`", "not be bf16"]),
        (lambda: AdamW().train(spec_of(), Digits().load()), ["`dataset`", "shape (2, 4, 5)", "(1, 8, 8)"]),
        (lambda: AdamW().train(spec_of(), plain_data()), ["`dataset`", "images of shape", "40 features without a shape"]),
        (lambda: ResNetSpace(shape=(1, 3, 3)), ["`space.shape`", "at least 4 x 4", "(1, 3, 3)"]),
        (lambda: ResNetSpace(shape=(8, 8)), ["`space.shape`", "(channels, rows, columns)", "(8, 8)"]),
        (lambda: ResNetSpace(stages=9), ["`space.stages`", "[1, 8]", "9"]),
        (lambda: ResNetSpace(widths=(6,)), ["`space.widths`", "multiples of 4", "6"]),
        (lambda: ResNetSpace(ops=("dense",)), ["`space.ops`", "basic, bottleneck", "'dense'"]),
        (lambda: ResNetSpace(wiring_seeds=0), ["`space.wiring_seeds`", "at least 1", "0"]),
    ],
)
def test_what_does_not_fit_is_said(make: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)


BANK = Draws(0, range(2), torch.float32, torch.device("cpu"))


def plain_data() -> Data:
    inputs, labels = images().float(), torch.arange(40) % 2
    return Data(inputs, labels, inputs, labels, 2)
