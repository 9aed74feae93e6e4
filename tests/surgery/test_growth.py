"""Growth: what new blocks preserve, where they go, what the rules allow, and the deviation that is bounded."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from nasjac import Block, Spec, build
from nasjac.kinds.table import kind_of
from nasjac.mathematics.meanfield.growth import deviation_bound, edge_time, expected_deviation, measured_sum, rules
from nasjac.surgery.branches.ours import links_of, measurable, stream
from nasjac.surgery.growth import calibrated, grow
from nasjac.surgery.insertion import INITS, Beginning, spread
from nasjac.surgery.paths import branch_norms
from tests.mathematics.closed_forms import edge

SHAPE = {"kind": "resnet", "shape": (1, 6, 6)}
SPECS = {
    "mlp": Spec.of(
        width=16, blocks=(Block(), Block(keep=False), Block(scale=0.5), Block(skip=0.0)), placement="pre", activation="gelu"
    ),
    "no norm": Spec.of(width=16, blocks=(Block(),) * 3, branch="one_matrix"),
    "norm on the branch": Spec.of(width=16, blocks=(Block(),) * 3, placement="res_post", norm="rmsnorm"),
    "decoder": Spec.of(
        width=16,
        blocks=(Block(op="attention"), Block()) * 2,
        kind="transformer_lm",
        context=6,
        heads=2,
        positions="rotary",
        placement="pre",
    ),
    "encoder": Spec.of(
        width=16,
        blocks=(Block(op="attention"), Block()) * 2,
        kind="vit",
        placement="pre",
        context=9,
        shape=(1, 6, 6),
        patch=2,
    ),
    "steps": Spec.of(width=16, blocks=(Block(),) * 3, step=0.5),
    "empty": Spec.of(width=16, blocks=()),
    **{
        f"resnet {norm} {order} {op}": Spec.of(
            width=8, blocks=tuple(Block(op=op, stage=n // 2) for n in range(4)), norm=norm, order=order, **SHAPE
        )
        for norm, order, op in itertools.product(
            ("batchnorm", "groupnorm", "none"), ("post", "pre"), ("basic", "bottleneck")
        )
    },
}
IDENTITIES = [name for name, is_identity in INITS.items() if is_identity]


def made(spec: Spec, seed: int = 0) -> tuple[nn.Module, Tensor, int]:
    """A network with weights that no initialization has, inputs, and how many inputs it takes."""
    generator = torch.Generator().manual_seed(seed)
    size = math.prod(spec.shape) if spec.inputs.shape is not None else 9
    network = build(spec, size, 5, generator)
    with torch.no_grad():
        for tensor in (*network.parameters(), *(b for b in network.buffers() if b.dim())):
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator))
    inputs = torch.randint(size, (4, spec.context), generator=generator) if spec.inputs.takes_ids else torch.randn(4, size)
    return network.eval(), inputs, size


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("init", IDENTITIES)
def test_the_identities_change_nothing(name: str, init: str) -> None:
    spec = SPECS[name]
    network, inputs, size = made(spec)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    places = [0, 0, *spread(spec, 3)]
    found = grow(spec, network.state_dict(), places, Beginning(init), size, 5)
    found = calibrated(found, inputs, size, 5) if spec.inputs.shape is not None else found
    deeper = found.module(size, 5).eval()
    torch.testing.assert_close(deeper(inputs), network(inputs), rtol=1e-6, atol=1e-6)
    assert len(found.spec.blocks) == len(spec.canonical.blocks) + 5 and len(found.new) == 5
    assert Spec.from_json(found.spec.to_json()) == found.spec
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items()), "the source is left alone"


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("init", INITS)
def test_a_new_block_learns(name: str, init: str) -> None:
    """Some weight of every new block has a gradient: zeroing all of a branch would leave it dead for ever."""
    spec = SPECS[name]
    network, inputs, size = made(spec)
    if init == "copy" and not spec.blocks:
        return
    deeper = grow(spec, network.state_dict(), spread(spec, 2, init), Beginning(init), size, 5)
    module = deeper.module(size, 5).train()
    module(inputs).square().sum().backward()
    for number in deeper.new:
        gradients = [p.grad for p in module.get_submodule(f"blocks.{number}").parameters() if p.grad is not None]
        assert any(gradient.abs().max() > 0 for gradient in gradients)


def test_places() -> None:
    mlp = Spec.of(width=8, blocks=(Block(),) * 4)
    assert spread(mlp, 4) == [1, 2, 3, 4] and spread(mlp, 1) == [3] and spread(mlp, 8) == [1, 1, 2, 2, 3, 3, 4, 4]
    decoder = SPECS["decoder"]
    assert spread(decoder, 4) == [2, 2, 4, 4]
    network, _, size = made(decoder)
    for places, ops in (([2, 2], "afafaf"), ([2], "afaaf"), ([1], "affaf")):
        found = grow(decoder, network.state_dict(), places, Beginning(), size, 5)
        assert "".join(block.op[0] for block in found.spec.blocks) == ops
    resnet = SPECS["resnet none pre basic"]
    network, _, size = made(resnet)
    found = grow(resnet, network.state_dict(), [0, 2, 4], Beginning(), size, 5)
    assert [block.stage for block in found.spec.blocks] == [0, 0, 0, 0, 1, 1, 1] and found.new == (0, 3, 6)


def test_copies_are_of_the_nearest_block_that_keeps_the_shape() -> None:
    resnet = SPECS["resnet batchnorm post basic"]
    network, _, size = made(resnet)
    state = network.state_dict()
    found = grow(resnet, state, [3], Beginning("copy", 0.25), size, 5)
    assert found.new == (3,) and found.spec.blocks[3].scale == 0.25
    assert torch.equal(found.state["blocks.3.branch.convs.1.weight"], state["blocks.3.branch.convs.1.weight"])
    assert torch.equal(found.state["blocks.3.branch.norms.0.running_var"], state["blocks.3.branch.norms.0.running_var"])
    assert float(found.state["blocks.3.scale"]) == 0.25
    lonely = Spec.of(width=8, blocks=(Block(op="basic"), Block(op="basic", stage=1)), norm="none", **SHAPE)
    network, _, size = made(lonely)
    assert spread(lonely, 2, "copy") == [1, 1]
    with pytest.raises(ValueError, match=r"`after` must be a place where a block basic that keeps the shape .* got 2"):
        grow(lonely, network.state_dict(), [2], Beginning("copy"), size, 5)


def test_running_statistics_of_new_blocks_are_the_datas() -> None:
    """In evaluation a new block then does what it does in training on all the data at once; old statistics stay."""
    spec = SPECS["resnet batchnorm post basic"]
    network, _, size = made(spec)
    data = torch.randn(64, size, generator=torch.Generator().manual_seed(3))
    raw = grow(spec, network.state_dict(), [1], Beginning("small_gain", 0.5), size, 5)
    found = calibrated(raw, data, size, 5)
    for name, tensor in raw.state.items():
        same = torch.equal(tensor, found.state[name])
        assert same == (not (name.startswith("blocks.1.") and ("running" in name or "num_batches" in name))), name
    module = found.module(size, 5).eval()
    x = stream(module, data)[1]
    block = module.get_submodule("blocks.1")
    evaluated = block(x)
    block.train()
    torch.testing.assert_close(block(x), evaluated, rtol=0.02, atol=0.02)  # n - 1 in one variance, n in the other


def identity_fault(spec: Spec) -> str | None:
    return kind_of(spec).surgery.identity_fault(spec)


def test_kinds_without_an_identity_say_so() -> None:
    assert "norm of the sum" in str(identity_fault(Spec.of(width=8, blocks=(Block(),), placement="post")))
    assert "gelu" in str(
        identity_fault(Spec.of(width=8, blocks=(Block(op="basic"),), activation="gelu", norm="none", **SHAPE))
    )
    assert all(identity_fault(spec) is None for spec in SPECS.values())
    dense = Spec.of(width=8, blocks=(Block(op="dense"),), kind="densenet", shape=(1, 6, 6), growth=4, norm="none")
    with pytest.raises(ValueError, match="densenet"):
        grow(dense, build(dense, 36, 5).state_dict(), [1], Beginning(), 36, 5)


def test_bad_values_are_named() -> None:
    network, _, size = made(SPECS["no norm"])
    with pytest.raises(ValueError, match=r"`after` must hold numbers of blocks in 0 ... 3, got 4"):
        grow(SPECS["no norm"], network.state_dict(), [4], Beginning(), size, 5)
    with pytest.raises(ValueError, match=r"`init` must be one of zero_last, .* got 'noise'"):
        Beginning("noise")
    with pytest.raises(ValueError, match=r"`gain` must be a finite number greater than 0, got 0"):
        Beginning("copy", 0)
    with pytest.raises(ValueError, match=r"`gate` must be false in a densenet"):
        Spec.of(width=8, blocks=(Block(op="dense", gate=True),), kind="densenet", shape=(1, 6, 6), norm="none")


# the rules


def test_rules() -> None:
    assert rules(0.05, 0.05, 2.0) == (14, 555, 92) and rules(0.01, 0.01, 2.0) == (69, 13863, 2313)
    assert [edge_time(tau) for tau in (1.5, 2, 10)] == pytest.approx([0.081107, 0.231370, 2.009903], abs=1e-6)
    assert [edge(t) ** 2 for t in (0.1, 0.5, 1, 2)] == pytest.approx([1.5697**2, 2.8299**2, 4.5929**2, 9.9303**2], rel=1e-4)
    assert rules(0.0, 0.0, 2.0) == (None, None, None)


@pytest.mark.parametrize("tau", [1.0001, 1.5, 2.0, 10.0, 1e6])
def test_edge_and_its_inverse(tau: float) -> None:
    t = edge_time(tau)
    assert edge(t) == pytest.approx(tau, rel=1e-12)
    root = math.sqrt(t * (t + 2))
    assert math.sqrt((1 + t + root) * math.exp(root)) == pytest.approx(tau, rel=1e-10)  # as the paper writes it


def test_counts_are_the_largest_allowed() -> None:
    for epsilon, tau in itertools.product((0.01, 0.1, 0.7), (1.5, 2.0, 8.0)):
        worst, rms, sharp = rules(epsilon, epsilon, tau)
        assert worst is not None and rms is not None and sharp is not None
        assert (1 + epsilon) ** worst <= tau * (1 + 1e-9) < (1 + epsilon) ** (worst + 1) * (1 + 1e-9)
        assert (1 + epsilon**2) ** (rms / 2) <= tau * (1 + 1e-9)
        assert edge(sharp * epsilon**2) <= tau * (1 + 1e-9) < edge((sharp + 1) * epsilon**2) * (1 + 1e-9)
    assert rules(1.0, 1.0, 2.0).worst_case == 1, "a whole number is not lost to rounding"


def test_sharp_edge_of_sampled_products() -> None:
    """Products of near-identity Gaussian blocks at t = 1/2: a few percent below the edge at N = 200 and m = 40."""
    generator, width, count = torch.Generator().manual_seed(0), 200, 40
    product = torch.eye(width, dtype=torch.float64)
    for _ in range(count):
        noise = torch.randn(width, width, dtype=torch.float64, generator=generator)
        product = product + math.sqrt(0.5 / count / width) * noise @ product
    assert 0.93 * edge(0.5) < float(torch.linalg.matrix_norm(product, 2)) < 1.01 * edge(0.5)


def test_bad_rules_are_named() -> None:
    with pytest.raises(ValueError, match="`epsilon_spectral` must be a finite number of at least 0, got -1"):
        rules(-1, 1, 2)
    with pytest.raises(ValueError, match=r"`epsilon_rms` must be .* got inf"):
        rules(1, math.inf, 2)
    with pytest.raises(ValueError, match=r"`budget.tau` must be a finite number above 1, got 1"):
        rules(0.1, 0.1, 1)


def test_small_gain_deviates_as_stated() -> None:
    """(1 + ε²)^m − 1 on average over fresh relu blocks without norm, exact at any width; never more than ∏(1 + r) − 1."""
    spec, count, gain = Spec.of(width=10, blocks=(Block(),)), 4, 0.6
    network = build(spec, 6, 3, torch.Generator().manual_seed(0))
    inputs = torch.randn(3, 6, generator=torch.Generator().manual_seed(1)).double()
    changes, chi = [], gain**2 / 2
    for seed in range(400):
        beginning = Beginning("small_gain", gain, seed)
        grown = grow(spec, network.state_dict(), [1] * count, beginning, 6, 3)
        found = measurable(grown.module(6, 3))
        layers = stream(found, inputs)
        before, after = layers[1], layers[1 + count]
        changes.append((after - before).square().sum(1) / before.square().sum(1))
        if seed < 20:
            norms = branch_norms(links_of(grown.spec, found, inputs), range(1, 1 + count), torch.Generator(), None)
            bound = deviation_bound(float(one.ratio.max()) for one in norms.values())
            assert float(changes[-1].max()) <= bound**2 * (1 + 1e-9)
    sampled = torch.stack(changes).mean(1)
    error = float(sampled.std()) / len(sampled) ** 0.5
    assert float(sampled.mean()) == pytest.approx(expected_deviation(math.sqrt(chi), count) ** 2, abs=4 * error)
    assert error < 0.05 * float(sampled.mean())


def test_the_measured_sum_is_the_log_of_the_bound() -> None:
    assert math.exp(measured_sum([0.1, 0.2])) == pytest.approx(1.1 * 1.2)
    assert deviation_bound([0.1, 0.2]) == pytest.approx(1.1 * 1.2 - 1)


@pytest.mark.parametrize("block", ["leaky", "implicit"])
def test_what_is_no_sum_of_identity_and_branch_does_not_grow(block: str) -> None:
    spec = Spec.of(width=16, blocks=(Block(),) * 3, block=block, step=0.5, leak=0.5)
    with pytest.raises(ValueError, match=f"`checkpoint` must be of explicit blocks.*got {block} ones"):
        grow(spec, build(spec, 9, 5).state_dict(), [1], Beginning(), 9, 5)
