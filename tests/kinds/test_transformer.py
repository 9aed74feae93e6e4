"""Transformers: the population's samples are those of the ordinary module, whatever the company."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import nasjac
from nasjac.architecture.block import Block
from nasjac.architecture.inputs import Inputs
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.spec import Spec
from nasjac.datasets import Data, Digits
from nasjac.kinds.build import build
from nasjac.kinds.facts import branch_energies, facts
from nasjac.kinds.options.units import NORMS
from nasjac.kinds.population import sample
from nasjac.kinds.transformer.decoder_space import TransformerLmSpace
from nasjac.kinds.transformer.encoder_space import VitSpace
from nasjac.kinds.transformer.network import TransformerNetwork
from nasjac.kinds.transformer.patches import patches
from nasjac.kinds.transformer.spec import LOGIT_SCALES, POSITIONS
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import INDEPENDENT, Samples
from nasjac.scores.apjn import Apjn
from nasjac.trainers import AdamW

WIDTH, TOKENS, VOCABULARY = 8, 5, 11
DECODER = (Block(op="attention"), Block(), Block(op="attention", skip=0.0), Block(scale=0.5), Block(op="attention"))
MLP = Spec.of(width=8, blocks=())


KINDS = ("transformer_lm", "vit")
#: of a vit's images: five patches
IMAGE: dict[str, Any] = {"shape": (3, 2, 10), "patch": 2}


def inputs_of(kind: str) -> torch.Tensor:
    if kind == "transformer_lm":
        return ids()
    return torch.randn(30, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def ids() -> torch.Tensor:
    whole = torch.randint(VOCABULARY, (30, TOKENS), generator=torch.Generator().manual_seed(1))
    whole[0, 0] = VOCABULARY - 1
    return whole


def spec_of(kind: str = "transformer_lm", **fields: Any) -> Spec:
    images = IMAGE if kind == "vit" else {}
    return Spec.of(
        width=WIDTH, blocks=fields.pop("blocks", DECODER), kind=kind, context=TOKENS, **images, **fields
    ).canonical


def built(spec: Spec, generator: torch.Generator | None = None) -> TransformerNetwork:
    module = build(spec, VOCABULARY if spec.inputs.takes_ids else 60, VOCABULARY, generator)
    assert isinstance(module, TransformerNetwork)
    return module


def module_of(spec: Spec, bank: Draws, draw: int) -> TransformerNetwork:
    """The ordinary module with the weights of one draw."""
    module = built(spec).to(bank.device, bank.dtype)
    learned = spec.positions == "learned"
    with torch.no_grad():
        patched = bank.normal("embedding", WIDTH, 12) / 12**0.5
        weights = bank.normal("tokens", VOCABULARY, WIDTH) if spec.inputs.takes_ids else patched
        module.embedding.weight.copy_(weights[draw] / (2**0.5 if learned else 1))
        if module.positions is not None:
            module.positions.weight.copy_(bank.normal("positions", TOKENS, WIDTH)[draw] / 2**0.5)
        for number, block in enumerate(module.blocks):
            branch, gain = block.branch, spec.weight_gain / WIDTH**0.5
            if spec.blocks[number].op == "attention":
                triple = bank.normal(f"qkv {number}", 3 * WIDTH, WIDTH)[draw].chunk(3)
                for layer, weights in zip((branch.query, branch.key), triple[:2], strict=True):
                    layer.weight.copy_(weights[: layer.out_features] * spec.query_gain / WIDTH**0.5)
                branch.value.weight.copy_(triple[2][: branch.value.out_features] * gain)
                branch.outer.weight.copy_(bank.normal(f"outer {number}", WIDTH, WIDTH)[draw] * gain)
            else:
                units = branch.inner.out_features
                if branch.up is None:
                    branch.inner.weight.copy_(bank.normal(f"inner {number}", units, WIDTH)[draw] * gain)
                else:
                    both = bank.normal(f"gated {number}", 2 * units, WIDTH)[draw].chunk(2)
                    for layer, weights in zip((branch.inner, branch.up), both, strict=True):
                        layer.weight.copy_(weights * gain)
                weights = bank.normal(f"outer {number}", WIDTH, units)[draw]
                branch.outer.weight.copy_(weights * spec.weight_gain / units**0.5)
    return module


#: forms of FFNs and of heads: gated ones have 22 hidden units unless told
FFNS: tuple[dict[str, Any], ...] = (
    *({"ffn_ratio": ratio} for ratio in (1, 2, 4)),
    *({"ffn": "gated", "ffn_hidden": units} for units in (None, 8, 16)),
)
HEADS: tuple[dict[str, Any], ...] = (
    {"heads": 1},
    {"heads": 2},
    {"heads": 2, "kv_heads": 1},
    {"heads": 4, "kv_heads": 2},
)


def random_spec(rng: random.Random, kind: str = "transformer_lm") -> Spec:
    blocks = tuple(
        Block(op=rng.choice(["attention", "ffn"]), skip=float(rng.random() < 0.7), scale=rng.choice([0.5, 1.0]))
        for _ in range(rng.randint(0, 7))
    )
    return spec_of(
        kind,
        blocks=blocks,
        placement=rng.choice(list(PLACEMENTS)),
        norm=rng.choice(NORMS),
        activation=rng.choice(["relu", "gelu", "tanh", "silu"]),
        weight_gain=rng.uniform(0.7, 1.6),
        **rng.choice(FFNS),
        **rng.choice(HEADS),
        qk_norm=rng.choice([False, True]),
        positions=rng.choice(POSITIONS),
        logit_scale=rng.choice(LOGIT_SCALES),
        query_gain=rng.uniform(0.5, 1.5),
    )


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"positions": "rotary", "heads": 2, "ffn_ratio": 3, "activation": "gelu"},
        {"norm": "rmsnorm", "heads": 4, "logit_scale": "inverse", "query_gain": 2.0, "weight_gain": 1.3},
        {"ffn": "gated", "activation": "silu", "heads": 4, "kv_heads": 2, "positions": "rotary", "norm": "rmsnorm"},
        {"ffn": "gated", "activation": "gelu", "ffn_hidden": 5, "heads": 2, "qk_norm": True, "query_gain": 1.7},
        {"ffn": "gated", "activation": "relu", "heads": 2, "kv_heads": 1, "qk_norm": True, "positions": "rotary"},
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_those_of_the_module(kind: str, placement: str, more: dict[str, Any], device: torch.device) -> None:
    """Tangents, cotangents, round trips and what differs between tokens, layer by layer, in float64."""
    spec, inputs = spec_of(kind, placement=placement, **more), inputs_of(kind)
    bank = Draws(7, range(1), torch.float64, device)
    [found] = sample([spec], inputs, bank)
    module = module_of(spec, bank, 0)
    chosen = bank.samples(inputs, 2)[0, :1].to(inputs.dtype)
    start = next(module.stream(chosen)).detach()[0]

    def through(x: torch.Tensor, first: int, last: int) -> torch.Tensor:
        for block in list(module.blocks)[first:last]:
            x = block(x)
        return x

    depth = len(spec.blocks)
    u = bank.probes("tangent", 2, INDEPENDENT.tangents, TOKENS * WIDTH)[0, 0]
    v = bank.probes("cotangent", 2, 2, TOKENS * WIDTH)[0, 0]
    for layer in range(depth + 1):
        middle = through(start, 0, layer).detach()
        into = torch.func.jacrev(lambda x, layer=layer: through(x, 0, layer))(start).detach().reshape(TOKENS * WIDTH, -1)
        out = (
            torch.func.jacrev(lambda x, layer=layer: through(x, layer, depth))(middle).detach().reshape(TOKENS * WIDTH, -1)
        )
        for energies, shares, vectors in (
            (found.stream[:, :, None], found.stream_tokens, middle.reshape(1, -1)),
            (found.forward, found.forward_tokens, u @ into.T),
            (found.backward, found.backward_tokens, v @ out),
        ):
            apart = vectors.unflatten(-1, (TOKENS, WIDTH))
            apart = (apart - apart.mean(-2, keepdim=True)).square().mean((-2, -1))
            np.testing.assert_allclose(energies[0, 0, :, layer], vectors.square().mean(-1).log().cpu(), atol=1e-8)
            total = energies[0, 0, :, layer] + shares[0, 0, :, layer]
            np.testing.assert_allclose(total, apart.log().cpu(), atol=1e-7)
        if layer == 0:
            trip = (u @ out.T @ out).square().mean(-1).log()
            np.testing.assert_allclose(found.round_trip[0, 0], trip.cpu(), atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_values_do_not_depend_on_company_or_order(kind: str, device: torch.device) -> None:
    rng, inputs = random.Random(3), inputs_of(kind)
    specs = [random_spec(rng, kind) for _ in range(40)]
    together = sample(specs, inputs, Draws(7, range(4), torch.float32, device))
    turned = sample(specs[::-1], inputs, Draws(7, range(4), torch.float32, device))[::-1]
    for spec, one, other in zip(specs, together, turned, strict=True):
        [alone] = sample([spec], inputs, Draws(7, range(4), torch.float32, device))
        for item in fields(Samples):
            for company in (one, other):
                np.testing.assert_array_equal(getattr(company, item.name), getattr(alone, item.name), err_msg=item.name)


def test_facts_count_what_torch_counts() -> None:
    """Parameters of the blocks' tensors, and FLOPs of torch's own counter on meta tensors."""
    rng = random.Random(11)
    for spec in (random_spec(rng, KINDS[number % 2]) for number in range(16)):
        module = built(spec).to("meta")
        [found] = facts([spec])
        assert found.params == sum(p.numel() for p in module.blocks.parameters())
        with FlopCounterMode(display=False) as counter:
            x = torch.zeros(1, TOKENS, WIDTH, device="meta")
            for block in module.blocks:
                x = block(x)
        assert found.flops == counter.get_total_flops()


@pytest.mark.parametrize(("kind", "expected"), [("vit", 2.208), ("transformer_lm", 3.81325257202)])
def test_uniform_attention_grows_as_golden_row_17_says(kind: str, expected: float) -> None:
    """E ‖J‖²/(nT) of three attention blocks that weigh all tokens they see alike, T = 4 and σ_v² σ_o² = 0.8, any width."""
    images = {"shape": (1, 2, 2), "patch": 1} if kind == "vit" else {}
    common = {"context": 4, "query_gain": 1e-6, "weight_gain": 0.8**0.25, **images}
    spec = Spec.of(width=4, blocks=(Block(op="attention"),) * 3, kind=kind, **common)  # type: ignore[arg-type]
    inputs = torch.randn(50, 4) if kind == "vit" else torch.randint(9, (50, 4))
    [found] = sample([spec], inputs, Draws(1, range(3000), torch.float64, torch.device("cpu")))
    by_draw = np.exp(found.forward[..., -1]).mean((1, 2))
    assert by_draw.mean() == pytest.approx(expected, abs=4 * by_draw.std() / len(by_draw) ** 0.5)


@pytest.mark.parametrize(("weight_gain", "query_gain"), [(0.8, 1.0), (1.0, 0.5)])
def test_branch_energies_are_those_of_sampling_to_leading_order(weight_gain: float, query_gain: float) -> None:
    """Pre-LN, all skips: log 𝒥 is about Σ log(1 + χ), a quarter of a nat off over three layers of 16 tokens."""
    spec = Spec.of(
        width=64,
        blocks=(Block(op="attention"), Block()) * 3,
        kind="transformer_lm",
        context=16,
        heads=2,
        placement="pre",
        weight_gain=weight_gain,
        query_gain=query_gain,
    )
    data = torch.randint(40, (200, 16), generator=torch.Generator().manual_seed(2))
    [found] = nasjac.measure([spec], data, "apjn")
    closed = float(np.log1p(branch_energies(spec)).sum())
    assert found.terms["log_mean"].value == pytest.approx(closed, abs=0.25)
    known = facts([spec])[0]
    assert 0 < known.nonlinear_effective_depth < known.effective_depth < 6


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_sampled_ensembles_have_the_energy_of_their_skip_probabilities(activation: str) -> None:
    """FFN sublayers without norms, exact at every width: every skip pattern sampled, their mean is E 𝒥 = ∏ (s + χ)."""
    blocks = tuple(Block(skip=skip, scale=0.8) for skip in (0.4, 0.7, 0.5))
    spec = spec_of(blocks=blocks, placement="none", activation=activation, weight_gain=0.9)
    skips, patterns = np.array([0.4, 0.7, 0.5]), np.array(list(itertools.product((1.0, 0.0), repeat=3)))
    concrete = [
        replace(spec, blocks=tuple(replace(block, skip=float(bit)) for block, bit in zip(blocks, bits, strict=True)))
        for bits in patterns
    ]
    found = [item.terms["log_mean"] for item in nasjac.measure(concrete, ids(), Apjn(draws=128, rel_error=None))]
    energies = np.exp([term.value for term in found])
    weighted = np.prod(np.where(patterns > 0, skips, 1 - skips), axis=1) * energies
    error = float(np.abs(weighted * [term.standard_error for term in found]).sum())  # patterns share their draws
    chi = branch_energies(spec)
    assert weighted.sum() == pytest.approx(np.prod(skips + chi), abs=4 * error)
    assert abs(weighted.sum() - np.prod(skips**2 + chi)) > 4 * error


@pytest.mark.parametrize("kind", KINDS)
def test_the_exported_module_is_the_built_one(kind: str) -> None:
    inputs = inputs_of(kind)[:2].to(torch.float32 if kind == "vit" else torch.int64)
    module = built(spec_of(kind, positions="rotary", heads=2, placement="sandwich"), torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.export.export(module, (inputs,)).module()(inputs), module(inputs))


def test_the_decoder_trains() -> None:
    spec = spec_of(positions="rotary", heads=2, placement="sandwich")
    data = Data(ids(), ids().roll(1, 1), ids()[:8], ids()[:8].roll(1, 1), VOCABULARY)
    runs = AdamW(steps=30, batch=8, learning_rates=(1e-2, 3e-2), seeds=(0,)).train(spec, data)
    assert all(run.status == "ok" and run.loss is not None and run.loss < np.log(VOCABULARY) for run in runs)
    fresh = build(spec, VOCABULARY, VOCABULARY)
    fresh.load_state_dict(runs[0].state)
    outputs = fresh(ids()[:8]).argmax(-1)
    assert float((outputs == ids()[:8].roll(1, 1)).float().mean()) == pytest.approx(runs[0].accuracy)


def test_the_encoder_learns_digits() -> None:
    """Digits, well beyond the tenth of guessing; the state is that of the module, for images flat or not."""
    spec = Spec.of(
        width=16,
        blocks=(Block(op="attention"), Block()),
        kind="vit",
        placement="pre",
        heads=2,
        context=16,
        shape=(1, 8, 8),
        patch=2,
    )
    data = Digits().load()
    [run] = AdamW(steps=150, batch=64, learning_rates=(1e-2,), seeds=(0,)).train(spec, data)
    assert run.accuracy is not None and run.accuracy > 0.75
    module = build(spec, 64, 10)
    module.load_state_dict(run.state)
    outputs = module(data.valid_inputs.view(-1, 1, 8, 8)).argmax(-1)
    assert float((outputs == data.valid_labels).float().mean()) == pytest.approx(run.accuracy)


def test_patches_are_squares_of_pixels_row_by_row() -> None:
    images = torch.arange(2 * 4 * 6).view(1, -1)
    first, last = patches(images, (2, 4, 6), 2)[0, [0, -1]]
    assert first.tolist() == [0, 1, 6, 7, 24, 25, 30, 31]
    assert last.tolist() == [16, 17, 22, 23, 40, 41, 46, 47]


def test_an_encoder_does_not_know_the_order_of_tokens_without_positions() -> None:
    """Columns of patches in another order: the same readout where learned positions are zero, else another."""
    images = inputs_of("vit")[:4]
    turned = images.view(4, 3, 2, 5, 2).roll(2, 3).reshape(4, -1)
    module = built(spec_of("vit"), torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        assert not torch.allclose(module(images), module(turned))
        assert module.positions is not None
        module.positions.weight.zero_()
    torch.testing.assert_close(module(images), module(turned))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: spec_of(heads=3), ["`width`", "multiple of `heads`", "8 for 3"]),
        (lambda: spec_of(heads=8, positions="rotary"), ["`width`", "even", "8 for 8"]),
        (
            lambda: Spec.of(width=WIDTH, blocks=DECODER, kind="transformer_lm"),
            ["`context`", "said of a transformer_lm", "width, blocks"],
        ),
        (
            lambda: Spec.of(width=WIDTH, blocks=DECODER, kind="transformer_lm", context=1),
            ["`context`", "at least 2", "1"],
        ),
        (lambda: Spec.of(width=WIDTH, blocks=DECODER), ["`op`", "ffn", "'attention'"]),
        (lambda: spec_of(branch="one_matrix"), ["`branch`", "not a field of Decoder", "width, blocks, placement"]),
        (lambda: nasjac.measure([spec_of()], torch.randn(9, TOKENS), "apjn"), ["`inputs`", "token ids", "transformer_lm"]),
        (lambda: nasjac.measure([spec_of()], ids()[:, 1:], "apjn"), ["`context`", "4 tokens", "5"]),
        (
            lambda: nasjac.measure([Spec.of(width=WIDTH, blocks=())], ids(), "apjn"),
            ["`inputs`", "real features", "residual_mlp"],
        ),
        (lambda: TransformerLmSpace(widths=(36,), heads=(8,)), ["`space.widths`", "36", "8"]),
        (lambda: Spec.of(width=WIDTH, blocks=(), kind="vit", context=4), ["`shape`", "said of a vit", "context"]),
        (
            lambda: Spec.of(width=WIDTH, blocks=(), kind="vit", context=4, shape=()),
            ["`shape`", "channels, rows, columns", "vit"],
        ),
        (
            lambda: Spec.of(width=WIDTH, blocks=(), kind="vit", context=4, shape=(1, 8, 8), patch=3),
            ["`patch`", "divide", "(8, 8)", "3"],
        ),
        (
            lambda: Spec.of(width=WIDTH, blocks=(), kind="vit", context=4, shape=(1, 8, 8), patch=2),
            ["`context`", "patches, 16", "4"],
        ),
        (lambda: nasjac.measure([spec_of("vit")], torch.randn(9, 59), "apjn"), ["`inputs`", "(3, 2, 10), 60", "59"]),
        (lambda: build(spec_of("vit"), 59, 3), ["`inputs`", "60", "59"]),
        (lambda: VitSpace(patches=()), ["`space.patches`", "at least 1", "[]"]),
        (lambda: VitSpace(patches=(3,)).for_data(Inputs(shape=(1, 28, 28))), ["`space.patches`", "28 x 28", "3"]),
        (lambda: VitSpace(shape=(8, 8)), ["`space.shape`", "channels, rows, columns", "(8, 8)"]),
        (lambda: TransformerLmSpace(context=1), ["`space.context`", "at least 2", "1"]),
        (lambda: AdamW().train(spec_of(), Digits().load()), ["`dataset`", "tokens", "64 features"]),
    ],
)
def test_what_does_not_fit_is_said(make: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)
