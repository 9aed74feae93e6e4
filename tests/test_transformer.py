"""Transformers: the population's samples are those of the ordinary module, whatever the company."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

from nasjac.networks import build
from nasjac.networks.draws import Draws
from nasjac.networks.population import sample
from nasjac.networks.samples import Samples
from nasjac.networks.transformer import TransformerLM
from nasjac.placement import PLACEMENTS
from nasjac.spec import LOGIT_SCALES, NORMS, POSITIONS, Block, Spec

WIDTH, TOKENS, VOCABULARY = 8, 5, 11
DECODER = (Block(op="attention"), Block(), Block(op="attention", skip=0.0), Block(scale=0.5), Block(op="attention"))


def ids() -> torch.Tensor:
    whole = torch.randint(VOCABULARY, (30, TOKENS), generator=torch.Generator().manual_seed(1))
    whole[0, 0] = VOCABULARY - 1
    return whole


def spec_of(**fields: Any) -> Spec:
    return Spec(WIDTH, fields.pop("blocks", DECODER), kind="transformer_lm", **fields).canonical


def module_of(spec: Spec, bank: Draws, draw: int) -> TransformerLM:
    """The ordinary module with the weights of one draw."""
    module = build(spec, VOCABULARY, VOCABULARY, context=TOKENS).to(bank.device, bank.dtype)
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
        out = torch.func.jacrev(lambda x, layer=layer: through(x, layer, depth))(middle).detach().reshape(TOKENS * WIDTH, -1)
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
