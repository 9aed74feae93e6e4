"""Transformers: the population's samples are those of the ordinary module, whatever the company."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import nasjac
from nasjac.datasets import Data, Digits
from nasjac.facts import branch_energies, facts
from nasjac.networks import build
from nasjac.networks.draws import Draws
from nasjac.networks.population import sample
from nasjac.networks.samples import Samples
from nasjac.networks.transformer import TransformerLM
from nasjac.placement import PLACEMENTS
from nasjac.spaces.transformer_lm import TransformerLmSpace
from nasjac.spec import LOGIT_SCALES, NORMS, POSITIONS, Block, Spec
from nasjac.trainers import AdamW

WIDTH, TOKENS, VOCABULARY = 8, 5, 11
DECODER = (Block(op="attention"), Block(), Block(op="attention", skip=0.0), Block(scale=0.5), Block(op="attention"))


def ids() -> torch.Tensor:
    whole = torch.randint(VOCABULARY, (30, TOKENS), generator=torch.Generator().manual_seed(1))
    whole[0, 0] = VOCABULARY - 1
    return whole


def spec_of(**fields: Any) -> Spec:
    return Spec(WIDTH, fields.pop("blocks", DECODER), kind="transformer_lm", context=TOKENS, **fields).canonical


def module_of(spec: Spec, bank: Draws, draw: int) -> TransformerLM:
    """The ordinary module with the weights of one draw."""
    module = build(spec, VOCABULARY, VOCABULARY).to(bank.device, bank.dtype)
    assert isinstance(module, TransformerLM)
    learned = spec.positions == "learned"
    with torch.no_grad():
        module.embedding.weight.copy_(bank.normal("tokens", VOCABULARY, WIDTH)[draw] / (2**0.5 if learned else 1))
        if module.positions is not None:
            module.positions.weight.copy_(bank.normal("positions", TOKENS, WIDTH)[draw] / 2**0.5)
        for number, block in enumerate(module.blocks):
            branch, gain = block.branch, spec.weight_gain / WIDTH**0.5
            if spec.blocks[number].op == "attention":
                triple = bank.normal(f"qkv {number}", 3 * WIDTH, WIDTH)[draw].chunk(3)
                for layer, weights in zip((branch.query, branch.key), triple[:2], strict=True):
                    layer.weight.copy_(weights * spec.query_gain / WIDTH**0.5)
                branch.value.weight.copy_(triple[2] * gain)
                branch.outer.weight.copy_(bank.normal(f"outer {number}", WIDTH, WIDTH)[draw] * gain)
            else:
                units = spec.ffn_ratio * WIDTH
                branch.inner.weight.copy_(bank.normal(f"inner {number}", units, WIDTH)[draw] * gain)
                weights = bank.normal(f"outer {number}", WIDTH, units)[draw] * gain / spec.ffn_ratio**0.5
                branch.outer.weight.copy_(weights)
    return module


def random_spec(rng: random.Random) -> Spec:
    blocks = tuple(
        Block(op=rng.choice(["attention", "ffn"]), skip=float(rng.random() < 0.7), scale=rng.choice([0.5, 1.0]))
        for _ in range(rng.randint(0, 7))
    )
    return spec_of(
        blocks=blocks,
        placement=rng.choice(list(PLACEMENTS)),
        norm=rng.choice(NORMS),
        activation=rng.choice(["relu", "gelu", "tanh"]),
        weight_gain=rng.uniform(0.7, 1.6),
        ffn_ratio=rng.choice([1, 2, 4]),
        heads=rng.choice([1, 2]),
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
    ],
)
def test_samples_are_those_of_the_module(placement: str, more: dict[str, Any], device: torch.device) -> None:
    """Tangents, cotangents, round trips and what differs between tokens, layer by layer, in float64."""
    spec = spec_of(placement=placement, **more)
    bank = Draws(7, range(1), torch.float64, device)
    [found] = sample([spec], ids(), bank)
    module = module_of(spec, bank, 0)
    chosen = bank.samples(ids(), 2)[0, :1].long()
    start = next(module.stream(chosen)).detach()[0]

    def through(x: torch.Tensor, first: int, last: int) -> torch.Tensor:
        for block in list(module.blocks)[first:last]:
            x = block(x)
        return x

    depth = len(spec.blocks)
    u = bank.probes("tangent", 2, 2, TOKENS * WIDTH)[0, 0]
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


def test_values_do_not_depend_on_company_or_order(device: torch.device) -> None:
    rng = random.Random(3)
    specs = [random_spec(rng) for _ in range(40)]
    together = sample(specs, ids(), Draws(7, range(4), torch.float32, device))
    turned = sample(specs[::-1], ids(), Draws(7, range(4), torch.float32, device))[::-1]
    for spec, one, other in zip(specs, together, turned, strict=True):
        [alone] = sample([spec], ids(), Draws(7, range(4), torch.float32, device))
        for item in fields(Samples):
            for company in (one, other):
                np.testing.assert_array_equal(getattr(company, item.name), getattr(alone, item.name), err_msg=item.name)


def test_facts_count_what_torch_counts() -> None:
    """Parameters of the blocks' tensors, and FLOPs of torch's own counter on meta tensors."""
    rng = random.Random(11)
    for spec in (random_spec(rng) for _ in range(12)):
        module = build(spec, VOCABULARY, VOCABULARY).to("meta")
        assert isinstance(module, TransformerLM)
        [found] = facts([spec])
        assert found.params == sum(p.numel() for p in module.blocks.parameters())
        with FlopCounterMode(display=False) as counter:
            x = torch.zeros(1, TOKENS, WIDTH, device="meta")
            for block in module.blocks:
                x = block(x)
        assert found.flops == counter.get_total_flops()


@pytest.mark.parametrize(("weight_gain", "query_gain"), [(0.8, 1.0), (1.0, 0.5)])
def test_branch_energies_are_those_of_sampling_to_leading_order(weight_gain: float, query_gain: float) -> None:
    """Pre-LN, all skips: log 𝒥 is about Σ log(1 + χ), a quarter of a nat off over three layers of 16 tokens."""
    spec = Spec(
        64,
        (Block(op="attention"), Block()) * 3,
        kind="transformer_lm",
        context=16,
        heads=2,
        placement="pre",
        weight_gain=weight_gain,
        query_gain=query_gain,
    )
    data = torch.randint(40, (200, 16), generator=torch.Generator().manual_seed(2))
    [found] = nasjac.measure([spec], data)
    closed = float(np.log1p(branch_energies(spec)).sum())
    assert found.terms["log_mean"].value == pytest.approx(closed, abs=0.25)
    known = facts([spec])[0]
    assert 0 < known.nonlinear_effective_depth < known.effective_depth < 6


def test_the_module_exports_and_trains() -> None:
    spec = spec_of(positions="rotary", heads=2, placement="sandwich")
    module = build(spec, VOCABULARY, VOCABULARY, torch.Generator().manual_seed(0))
    exported = torch.export.export(module, (ids()[:2],)).module()
    torch.testing.assert_close(exported(ids()[:2]), module(ids()[:2]))
    data = Data(ids(), ids().roll(1, 1), ids()[:8], ids()[:8].roll(1, 1), VOCABULARY)
    runs = AdamW(steps=30, batch=8, learning_rates=(1e-2, 3e-2), seeds=(0,)).train(spec, data)
    assert all(run.status == "ok" and run.loss is not None and run.loss < np.log(VOCABULARY) for run in runs)
    fresh = build(spec, VOCABULARY, VOCABULARY)
    fresh.load_state_dict(runs[0].state)
    outputs = fresh(ids()[:8]).argmax(-1)
    assert float((outputs == ids()[:8].roll(1, 1)).float().mean()) == pytest.approx(runs[0].accuracy)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: spec_of(heads=3), ["`width`", "multiple of `heads`", "8 for 3"]),
        (lambda: spec_of(heads=8, positions="rotary"), ["`width`", "even", "8 for 8"]),
        (lambda: Spec(WIDTH, DECODER, kind="transformer_lm"), ["`context`", "at least 2", "1"]),
        (lambda: Spec(WIDTH, DECODER), ["`op`", "ffn", "'attention'"]),
        (lambda: spec_of(branch="one_matrix"), ["`branch`", "two_matrix"]),
        (lambda: nasjac.measure([spec_of()], torch.randn(9, TOKENS)), ["`inputs`", "token ids", "transformer_lm"]),
        (lambda: nasjac.measure([spec_of()], ids()[:, 1:]), ["`context`", "4 tokens", "5"]),
        (lambda: nasjac.measure([Spec(WIDTH, ())], ids()), ["`inputs`", "real features", "residual_mlp"]),
        (lambda: TransformerLmSpace(widths=(36,), heads=(8,)), ["`space.widths`", "36", "8"]),
        (lambda: TransformerLmSpace(context=1), ["`space.context`", "at least 2", "1"]),
        (lambda: AdamW().train(spec_of(), Digits().load()), ["`dataset`", "tokens", "64 features"]),
    ],
)
def test_what_does_not_fit_is_said(make: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)
