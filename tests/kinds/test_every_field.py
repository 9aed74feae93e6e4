"""Every field of a Spec and of a Block, for every kind: module, sampler, facts, closed forms and trainers mean one network.

What facts count by their convention: parameters of the residual blocks with their norms and learned factors; FLOPs of the
blocks' matrix products and convolutions, two a multiply-add, and nothing else, which is what torch's counter counts. An
implicit block whose equation is solved counts as `IMPLICIT_PASSES` of the same block's explicit step, for the solver takes
as many passes as it needs. A learned factor begins at 0 in a module; what is said of a Spec takes it at 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import jacrev, replace_all_batch_norm_modules_
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from nasjac.architecture.block import Block
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.spec import KINDS, Spec, spec_class
from nasjac.datasets import Data
from nasjac.kinds.build import build
from nasjac.kinds.convolutional.spec import BATCH, IMAGE_NORMS, ORDERS
from nasjac.kinds.facts import facts
from nasjac.kinds.modules.initialize import initialize
from nasjac.kinds.modules.sampler import drawn
from nasjac.kinds.options.stepped import BLOCK_TYPES, IMPLICIT_PASSES, SteppedSpec
from nasjac.kinds.options.units import NORMS
from nasjac.kinds.population import sample
from nasjac.kinds.residual_mlp.spec import BRANCHES
from nasjac.kinds.table import kind_of
from nasjac.kinds.transformer.spec import LOGIT_SCALES, POSITIONS
from nasjac.mathematics.activations import ACTIVATIONS
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import FORWARD, Plan
from nasjac.scores.closed_forms import expected_norms
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.compression import prune
from nasjac.surgery.growth import grow
from nasjac.surgery.insertion import Beginning
from nasjac.trainers import SGD
from nasjac.trainers.population import fit_population
from nasjac.trainers.replicates import batch_order
from tests.kinds.test_resnet import role_of

DOUBLE, CPU = torch.float64, torch.device("cpu")
FEATURES, VOCABULARY, TOKENS, CLASSES = 5, 7, 3, 3
SHAPE = (2, 4, 4)

#: the same examples every time; those that fail are not made smaller, which would take minutes
quick = partial(
    settings,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def _step(draw: st.DrawFn) -> dict[str, Any]:
    """A block type with its step and leak, each away from its default; the implicit ones easily solved."""
    return {
        "block": draw(st.sampled_from(BLOCK_TYPES)),
        "step": draw(st.sampled_from([0.3, 0.5])),
        "leak": draw(st.sampled_from([0.4, 0.7])),
    }


def _blocks(draw: st.DrawFn, kind: str) -> tuple[Block, ...]:
    """Two to four blocks; those of networks of images in two stages, in each of which some may be pruned."""
    blocks, stage, images = [], 0, kind in ("resnet", "densenet")
    for _ in range(draw(st.integers(2, 4))):
        stage += images and stage < 1 and draw(st.booleans())
        blocks.append(
            Block(
                keep=draw(st.sampled_from([True, True, True, False])),
                skip=1.0 if kind == "densenet" else draw(st.sampled_from([0.0, 1.0, 1.0])),
                scale=draw(st.sampled_from([0.5, 0.8, 1.7])),
                op=draw(st.sampled_from(spec_class(kind).ops)),
                stage=int(stage),
                gate=kind != "densenet" and draw(st.booleans()),
            )
        )
    return tuple(blocks)


@st.composite
def specs(draw: st.DrawFn, kind: str) -> Spec:
    """As many fields away from their defaults as the kind has."""
    images, transformer = kind in ("resnet", "densenet"), kind in ("transformer_lm", "vit")
    branch = draw(st.sampled_from(BRANCHES))
    every: dict[str, Any] = {
        "width": 8 if transformer or images else draw(st.sampled_from([4, 6])),
        "blocks": _blocks(draw, kind),
        "placement": draw(st.sampled_from(sorted(PLACEMENTS))),
        "norm": draw(st.sampled_from(IMAGE_NORMS if images else NORMS)),
        "activation": draw(st.sampled_from(sorted(ACTIVATIONS))),
        "branch": branch,
        "weight_gain": draw(st.sampled_from([0.8, 1.3])),
        "ffn_ratio": 1 if kind == "residual_mlp" and branch == "one_matrix" else draw(st.sampled_from([2, 3])),
        "heads": 2,
        "positions": draw(st.sampled_from(POSITIONS)),
        "logit_scale": draw(st.sampled_from(LOGIT_SCALES)),
        "query_gain": draw(st.sampled_from([0.7, 1.5])),
        "order": draw(st.sampled_from(ORDERS)),
        "growth": 3,
        "context": TOKENS if kind == "transformer_lm" else 4,
        "shape": SHAPE,
        "patch": 2,
        **_step(draw),
    }
    if transformer:
        every |= {"heads": draw(st.sampled_from([2, 4])), "kv_heads": draw(st.sampled_from([None, 1, 2]))}
        every |= {"qk_norm": draw(st.booleans())}
        if draw(st.booleans()):
            every |= {"ffn": "gated", "ffn_hidden": draw(st.sampled_from([None, 5])), "ffn_ratio": 1}
    own = {entry.name for entry in fields(spec_class(kind))}
    return Spec.of(kind=kind, **{name: value for name, value in every.items() if name in own})


def inputs_of(spec: Spec, count: int = 2 * BATCH, dtype: torch.dtype = DOUBLE) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if spec.inputs.takes_ids:
        ids = torch.randint(VOCABULARY, (count, TOKENS), generator=generator)
        ids[0, 0] = VOCABULARY - 1
        return ids
    features = math.prod(spec.shape) if spec.inputs.shape is not None else FEATURES
    return torch.randn(count, features, dtype=DOUBLE, generator=generator).to(dtype)


def built(spec: Spec, seed: int = 0) -> Any:
    """In float64, learned factors at 1; BatchNorm takes the statistics of the batch."""
    inputs = VOCABULARY if spec.inputs.takes_ids else inputs_of(spec).shape[1]
    module = build(spec, inputs, CLASSES, torch.Generator().manual_seed(seed)).to(DOUBLE).requires_grad_(False)
    replace_all_batch_norm_modules_(module)
    for name, parameter in module.named_parameters():
        if name.endswith(".gate"):
            nn.init.ones_(parameter)
    return module


def layers(module: Any, x: Tensor) -> list[Tensor]:
    """h_0 ... h_L from h_0."""
    if all(isinstance(getattr(block, "implicit", None), bool) for block in module.blocks):
        return [x, *module.through(x)]
    return functools.reduce(lambda seen, block: [*seen, block(seen[-1])], module.blocks, [x])


@torch.no_grad()
def with_weights_of(spec: Spec, bank: Draws, draw: int) -> Any:
    """The ordinary module with the weights of one of the sampler's draws, layer by layer, by the law of its docstring."""
    module = built(spec)
    if kind_of(spec).sampling.common(spec) is None:
        initialize(module, spec.weight_gain, partial(drawn, bank, draw))
        return module

    def normal(role: str, shape: torch.Size) -> Tensor:
        return bank.normal(role, *shape)[draw]

    half = 0.5 if spec.tokens > 1 and spec.positions == "learned" else 1.0
    for name, layer in module.named_modules():
        if not isinstance(layer, (nn.Linear, nn.Conv2d, nn.Embedding)) or name == "readout":
            continue
        number, last, weight = [*name.split("."), ""][1], name.rpartition(".")[2], layer.weight
        fan_in = weight[0].numel()
        if spec.kind in ("resnet", "densenet"):
            gain = 1.0 if last in ("stem", "projection") else spec.weight_gain
            weight.copy_(normal(role_of(spec, name), weight.shape) * gain / math.sqrt(fan_in))
        elif isinstance(layer, nn.Embedding):
            weight.copy_(normal("positions" if name == "positions" else "tokens", weight.shape) * math.sqrt(half))
        elif name == "embedding":
            weight.copy_(normal("embedding", weight.shape) * math.sqrt(half / fan_in))
        elif last in ("query", "key", "value"):
            part = ("query", "key", "value").index(last)
            gain = spec.weight_gain if last == "value" else spec.query_gain
            triple = normal(f"qkv {number}", torch.Size([3 * spec.width, spec.width])).chunk(3)
            weight.copy_(triple[part][: len(weight)] * gain / math.sqrt(fan_in))
        elif spec.tokens > 1 and spec.ffn == "gated" and last in ("inner", "up"):
            both = normal(f"gated {number}", torch.Size([2 * len(weight), fan_in])).chunk(2)
            weight.copy_(both[last == "up"] * spec.weight_gain / math.sqrt(fan_in))
        else:
            weight.copy_(normal(f"{last} {number}", weight.shape) * spec.weight_gain / math.sqrt(fan_in))
    return module


def last_of(module: Any, x: Tensor) -> Callable[[Tensor], Tensor]:
    """h_L, flat, as a function of h_0, flat: of an input, or of a batch that is one, in the shape of `x`."""
    return lambda flat: layers(module, flat.view(x.shape))[-1].flatten()


def each(kind_of_test: Callable[[Spec], None], examples: int) -> Callable[[str], None]:
    """The property, for random Specs of a kind."""

    def test(kind: str) -> None:
        quick(max_examples=examples)(given(specs(kind))(kind_of_test))()

    return pytest.mark.parametrize("kind", KINDS)(test)


def check_sizes(spec: Spec) -> None:
    [known] = facts([spec])
    module = built(spec)
    assert known.params == sum(parameter.numel() for parameter in module.blocks.parameters())
    canonical, total = spec.canonical, 0
    explicit = built(replace(canonical, block="explicit") if isinstance(canonical, SteppedSpec) else canonical)
    x = next(explicit.stream(inputs_of(spec)[:2]))[:1].to("meta")
    for number, block in enumerate(explicit.blocks.to("meta")):
        with FlopCounterMode(display=False) as counter:
            x = block(x)
        total += counter.get_total_flops() * (IMPLICIT_PASSES if canonical.solves(number) else 1)
    assert known.flops == total


def check_samples(spec: Spec) -> None:
    """‖J u‖² and ‖Jᵀ v‖² of the sampler's probes, and ‖h‖², beside those that autograd gives of the module."""
    spec = spec.canonical
    bank, plan = Draws(7, range(2), DOUBLE, CPU), Plan(1, 2, 2)
    [found] = sample([spec], inputs_of(spec), bank, plan)
    module = with_weights_of(spec, bank, 1)
    chosen = bank.samples(inputs_of(spec), spec.batch)[1].to(inputs_of(spec).dtype)
    seen = [x.detach() for x in layers(module, next(iter(module.stream(chosen))))]
    last, start = last_of(module, seen[0]), seen[0].flatten()
    u = bank.probes("tangent", 1, 2, seen[0].numel())[1, 0]
    v = bank.probes("cotangent", 1, 2, seen[-1].numel())[1, 0]
    assert seen[-1].numel() == spec.units
    with np.errstate(divide="ignore"):
        for energies, product, probes in (
            (found.forward[1, 0, :, -1], torch.autograd.functional.jvp, u),
            (found.backward[1, 0, :, 0], torch.autograd.functional.vjp, v),
        ):
            moved = torch.stack([product(last, start, probe)[1] for probe in probes])  # type: ignore[no-untyped-call]
            np.testing.assert_allclose(energies, (moved.square().sum(-1) / spec.units).log(), atol=1e-6)
        sizes = [float(x.square().mean().log()) for x in seen]
    np.testing.assert_allclose(found.stream[1, 0], sizes, atol=1e-6)


def check_training(spec: Spec) -> None:
    """The trainer's first loss is that of the built module; its trained state, loaded, gives the trainer's own figures."""
    inputs = inputs_of(spec, 40, torch.float32)
    labels = torch.arange(40) % CLASSES
    classes = CLASSES
    if spec.inputs.takes_ids:
        labels, classes = inputs.roll(-1, dims=1), VOCABULARY
    data = Data(inputs[:24], labels[:24], inputs[24:], labels[24:], classes, spec.inputs.shape)
    options = SGD(steps=1, batch=8, learning_rates=(0.01, 0.03), seeds=(2, 3))
    company = [spec]
    if spec.kind == "residual_mlp":  # those that train side by side: without learned factors, and not implicit
        ungated = tuple(replace(block, gate=False) for block in spec.blocks)
        company += [replace(spec, blocks=ungated, block=block) for block in ("explicit", "leaky")]
        company += [
            Spec.of(width=spec.width, blocks=(Block(),) * 2, ffn_ratio=2),
            Spec.of(width=spec.width, blocks=(Block(),) * 3),
        ]
    for one, runs in zip(company, fit_population(company, data, options), strict=True):
        for run in runs:
            module = build(one, data.inputs, classes, torch.Generator().manual_seed(run.seed))
            [batch] = batch_order(run.seed, 24, options)
            with torch.no_grad():
                first = _loss(module.train(), inputs[:24][batch], labels[:24][batch])
            assert run.train_loss == pytest.approx(first, rel=1e-4), run.reason
            trained = build(one, data.inputs, classes)
            trained.load_state_dict(dict(run.state))
            with torch.no_grad():
                assert run.loss == pytest.approx(_loss(trained.eval(), inputs[24:], labels[24:]), rel=1e-4)


def _loss(module: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    return float(F.cross_entropy(module(inputs).flatten(0, -2), labels.flatten()))


test_params_and_flops_are_those_that_torch_counts = each(check_sizes, 25)
test_samples_are_those_of_the_module_with_the_same_weights = each(check_samples, 12)
test_what_is_trained_is_what_is_built = each(check_training, 8)


def check_closed_form(spec: Spec) -> None:
    """E 𝒥 where the closed form is exact: within 4 standard errors of the sampler's."""
    spec = replace(spec, placement="none", activation="linear" if spec.branch == "one_matrix" else "relu").canonical
    spec = replace(spec, block="leaky") if spec.block == "implicit" else spec
    expected = expected_norms(replace(spec, ffn_ratio=1))  # the mean does not depend on the number of hidden units
    assert expected.exact
    [found] = sample([spec], inputs_of(spec), Draws(3, range(600), DOUBLE, CPU), FORWARD)
    by_draw = np.exp(found.forward[..., -1]).mean((1, 2))
    error = by_draw.std(ddof=1) / math.sqrt(len(by_draw))
    forward = [layer for layer in expected.layers if layer.direction == "forward"]
    assert abs(by_draw.mean() - math.exp(forward[-1].log_mean)) <= 4 * error + 1e-12


def test_closed_forms_say_what_is_sampled() -> None:
    quick(max_examples=15)(given(specs("residual_mlp"))(check_closed_form))()


#: no relu, whose small networks may be dead
MLP = Spec.of(
    width=6,
    blocks=(Block(scale=0.7, skip=0.0), Block(skip=0.0), Block(scale=1.4)),
    activation="gelu",
    ffn_ratio=4,
    weight_gain=1.4,
)
SMALL = (2, 3, 3)
CONV = Spec.of(
    width=4,
    blocks=(Block(op="basic", scale=0.6), Block(op="bottleneck", skip=0.0), Block(op="basic", stage=1, scale=1.3)),
    kind="resnet",
    norm="none",
    activation="tanh",
    shape=SMALL,
    weight_gain=1.2,
)
TOKEN = Spec.of(
    width=4,
    blocks=(Block(op="attention"), Block(scale=0.6), Block(op="attention", skip=0.0)),
    kind="transformer_lm",
    placement="pre",
    heads=2,
    ffn_ratio=3,
    query_gain=1.6,
    weight_gain=1.2,
    context=TOKENS,
)
LAWS: dict[str, Spec] = {
    "mlp": MLP,
    "mlp, sandwich": replace(MLP, activation="relu", placement="sandwich", norm="rmsnorm", ffn_ratio=2),
    "mlp, one matrix, leaky": replace(MLP, branch="one_matrix", ffn_ratio=1, block="leaky", step=0.5, leak=0.6),
    "mlp, implicit": replace(MLP, block="implicit", activation="tanh", step=0.3, leak=0.5),
    "transformer_lm": TOKEN,
    "transformer_lm, rotary": replace(TOKEN, positions="rotary", logit_scale="inverse", placement="post"),
    "transformer_lm, gated": replace(TOKEN, ffn="gated", ffn_ratio=1, activation="silu", norm="rmsnorm", kv_heads=1),
    "transformer_lm, normed": replace(TOKEN, ffn="gated", ffn_ratio=1, ffn_hidden=9, activation="gelu", qk_norm=True),
    "vit": Spec.of(kind="vit", **{**vars(TOKEN), "context": 4, "shape": (2, 2, 2), "patch": 1, "activation": "tanh"}),
    "resnet": CONV,
    "resnet, pre, groupnorm, leaky": replace(CONV, order="pre", norm="groupnorm", block="leaky", step=0.5, leak=0.6),
    "densenet": Spec.of(
        kind="densenet",
        growth=2,
        blocks=(Block(op="dense", scale=0.7), Block(op="dense", stage=1)),
        **{name: getattr(CONV, name) for name in ("width", "shape", "norm", "order", "activation", "weight_gain")},
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_the_sampled_law_is_that_of_built_networks(name: str) -> None:
    """E log 𝒥 by the whole Jacobians of networks that `build` initializes, and as sampled: within 4 standard errors.

    The sampled logarithm is that of a mean over probes, whose own bias, about −1 in so many, is allowed for.
    """
    spec = LAWS[name].canonical
    count, probes = {True: (30, 16), False: (160, 64)}[kind_of(spec).sampling.common(spec) is None]
    inputs = inputs_of(spec, 64)
    [found] = sample([spec], inputs, Draws(5, range(2 * count), DOUBLE, CPU), Plan(1, probes, 0))
    sampled = np.log(np.exp(found.forward[..., -1]).mean((1, 2)))
    exact = []
    for seed in range(count):
        module = built(spec, seed)
        start = next(iter(module.stream(inputs[seed % 64][None])))
        last = last_of(module, start)
        by_rows = partial(torch.autograd.functional.jacobian, last)
        whole = (by_rows if kind_of(spec).sampling.common(spec) is None else jacrev(last))(start.flatten())
        exact.append(math.log(float(whole.square().sum()) / spec.units))
    error = math.hypot(*(np.std(values, ddof=1) / math.sqrt(len(values)) for values in (sampled, exact)))
    assert abs(sampled.mean() - np.mean(exact)) <= 4 * error + 2 / probes


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_residual_mlp_keeps_its_hidden_units_when_it_is_grown_pruned_and_kept(tmp_path: Path, branch: str) -> None:
    """New blocks begin as the identity, pruned ones leave the others as they are, and a checkpoint comes back whole."""
    ratio = 3 if branch == "two_matrix" else 1
    spec = Spec.of(
        width=6, blocks=(Block(), Block(scale=0.5), Block(skip=0.0)), branch=branch, ffn_ratio=ratio, activation="tanh"
    )
    module, x = build(spec, FEATURES, CLASSES, torch.Generator().manual_seed(0)), torch.randn(4, FEATURES)
    with torch.no_grad():
        expected = module(x)
    for init in ("zero_last", "rezero", "copy"):
        grown = grow(spec, module.state_dict(), [1, 3], Beginning(init), FEATURES, CLASSES)
        deeper = grown.module(FEATURES, CLASSES)
        assert facts([grown.spec])[0].params == sum(p.numel() for p in deeper.blocks.parameters())  # type: ignore[union-attr]
        if init != "copy":
            torch.testing.assert_close(deeper(x), expected)
    pruned = prune(spec, module.state_dict(), [1])
    smaller = build(pruned.spec, FEATURES, CLASSES)
    smaller.load_state_dict(pruned.state)
    for kept, before in zip(smaller.blocks, pruned.kept, strict=True):  # type: ignore[arg-type]
        h = torch.randn(4, 6)
        torch.testing.assert_close(kept(h), module.blocks[before](h))  # type: ignore[index, operator]
    checkpoint.save(tmp_path / "kept", spec, module.state_dict(), {"inputs": FEATURES, "outputs": CLASSES})
    again, loaded, _ = checkpoint.load(tmp_path / "kept")
    assert again == spec and torch.equal(loaded(x), expected)
