"""Gated FFNs, grouped queries, norms of queries and keys: what they are, at any size and by every door."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nasjac
from nasjac import Block, Decoder, Spec, VisionTransformer
from nasjac.architecture.size import Target
from nasjac.datasets import Data
from nasjac.foundation.errors import InputError
from nasjac.kinds.build import build
from nasjac.kinds.facts import branch_energies, facts
from nasjac.kinds.population import sample
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.kinds.sizes import size_of
from nasjac.kinds.transformer.decoder_space import TransformerLmSpace
from nasjac.kinds.transformer.encoder_space import VitSpace
from nasjac.kinds.transformer.network import Attention, FeedForward
from nasjac.kinds.transformer.spec import Transformer, gated_units
from nasjac.mathematics.logarithms import jackknife_variance
from nasjac.models.chosen_spec import spec_of
from nasjac.samplers.random_specs import random_specs
from nasjac.samplers.studies import random_study
from nasjac.sampling.draws import Draws
from nasjac.sampling.samples import Plan
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.compression import prune
from nasjac.surgery.growth import grow
from nasjac.surgery.insertion import Beginning
from nasjac.trainers import AdamW

DOUBLE, CPU = torch.float64, torch.device("cpu")
LAYER = (Block(op="attention"), Block())
LLAMA: dict[str, Any] = {
    "placement": "pre",
    "norm": "rmsnorm",
    "positions": "rotary",
    "ffn": "gated",
    "activation": "silu",
}
QWEN: dict[str, Any] = {**LLAMA, "qk_norm": True}
VOCABULARY, TOKENS = 11, 6


def small(**changes: Any) -> Decoder:
    return Decoder(**{"width": 16, "blocks": LAYER * 2, "context": TOKENS, "heads": 4, "kv_heads": 2, **QWEN, **changes})


def ids(count: int = 24) -> Tensor:
    return torch.randint(VOCABULARY, (count, TOKENS), generator=torch.Generator().manual_seed(1))


def weights_and_biases(spec: Spec, vocabulary: int) -> tuple[nn.Module, int]:
    """The module without memory, and how many biases its linear maps have."""
    with torch.device("meta"):
        module = build(spec, vocabulary, vocabulary)
    return module, sum(part.bias.numel() for part in module.modules() if isinstance(part, nn.Linear))


def test_gpt2_small_has_its_parameters() -> None:
    """124,439,808 (Radford et al. 2019), whose readout is the embedding's table; here it is a linear map of its own."""
    spec = Decoder(
        width=768, blocks=LAYER * 12, context=1024, heads=12, ffn_ratio=4, placement="pre", activation="gelu"
    ).canonical
    module, _ = weights_and_biases(spec, 50_257)
    readout = 50_257 * (768 + 1)
    assert sum(part.numel() for part in module.parameters()) - readout == 124_439_808
    assert facts([spec])[0].params == 12 * (12 * 768**2 + 13 * 768)


@pytest.mark.parametrize(
    ("fields", "vocabulary", "published"),
    [
        ({"width": 4096, "blocks": LAYER * 32, "context": 2048, "heads": 32, **LLAMA}, 32_000, 6_738_415_616),
        (
            {"width": 4096, "blocks": LAYER * 36, "context": 4096, "heads": 32, "kv_heads": 8, "ffn_hidden": 12288, **QWEN},
            151_936,
            8_190_735_360,
        ),
    ],
    ids=["LLaMA 7B", "Qwen3 8B"],
)
def test_decoders_of_today_have_their_parameters(fields: dict[str, Any], vocabulary: int, published: int) -> None:
    """The numbers of their authors, who leave out the biases that linear maps have here."""
    spec = Decoder(**fields).canonical
    module, biases = weights_and_biases(spec, vocabulary)
    assert sum(part.numel() for part in module.parameters()) - biases == published
    assert facts([spec])[0].params == sum(part.numel() for part in module.get_submodule("blocks").parameters())


def test_hidden_units_of_gated_ffns() -> None:
    """8/3 of the width as LLaMA and TinyLlama have it, at most 5% more from width 16 on, and never fewer at more width."""
    assert [gated_units(width) for width in (64, 768, 2048, 4096, 8192)] == [176, 2048, 5632, 11008, 22016]
    units = [gated_units(width) for width in range(16, 3000)]
    assert units == sorted(units)
    assert all(0 <= many / (8 / 3 * width) - 1 < 0.05 for width, many in enumerate(units, start=16))
    assert small(ffn_hidden=gated_units(16)).key == small().key != small(ffn_hidden=40).key


@pytest.mark.parametrize("activation", ["silu", "gelu"])
def test_a_gated_ffn_is_its_formula(activation: str) -> None:
    """SwiGLU and GeGLU (Shazeer 2020), by torch's functions."""
    module, x = FeedForward(small(activation=activation)), torch.randn(3, 16)
    function = {"silu": nn.functional.silu, "gelu": nn.functional.gelu}[activation]
    assert module.up is not None
    torch.testing.assert_close(module(x), module.outer(function(module.inner(x)) * module.up(x)))


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_torch_s_with_grouped_queries_and_norms(causal: bool) -> None:
    spec: Transformer = small(positions="learned")
    if not causal:
        spec = VisionTransformer(**{**vars(spec), "shape": (1, 2, 3), "patch": 1})
    module, x = Attention(spec), torch.randn(3, TOKENS, 16)
    query, key, value = (
        layer(x).unflatten(-1, (-1, 4)).transpose(1, 2) for layer in (module.query, module.key, module.value)
    )
    query, key = (part * torch.rsqrt(part.square().mean(-1, keepdim=True) + 1e-5) for part in (query, key))
    assert key.shape == (3, 2, TOKENS, 4)
    mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal, enable_gqa=True)
    torch.testing.assert_close(module(x), module.outer(mixed.transpose(1, 2).flatten(-2)))


def energies(op: str, draws: int, width: int = 64, **fields: Any) -> tuple[np.ndarray[Any, Any], float]:
    """‖J_F‖² / (N T) of one branch behind a norm, draw by draw, and its closed form."""
    spec = Decoder(width=width, blocks=(Block(op=op, skip=0.0),), context=8, placement="pre", **fields).canonical
    data = torch.randint(64, (300, 8), generator=torch.Generator().manual_seed(2))
    [found] = sample([spec], data, Draws(1, range(draws), DOUBLE, CPU), Plan(1, 4, 0))
    return np.exp(found.forward[..., -1]).mean((1, 2)), float(branch_energies(spec)[0])


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
def test_the_energy_of_a_gated_ffn_is_its_closed_form(activation: str) -> None:
    """Up to the finite width, 2 / N, and 4 standard errors."""
    found, closed = energies("ffn", 120, ffn="gated", activation=activation, weight_gain=1.3)
    error = found.std(ddof=1) / len(found) ** 0.5
    assert abs(found.mean() - closed) < 4 * error + 2 / 64 * closed


def test_shared_keys_and_values_leave_the_expected_energy() -> None:
    """And add to its variance: one head of keys and values for sixteen is fewer independent numbers."""
    alone, closed = energies("attention", 400, heads=16, query_gain=0.7)
    shared, same = energies("attention", 400, heads=16, kv_heads=1, query_gain=0.7)
    assert closed == same
    error = (alone.var(ddof=1) / len(alone) + shared.var(ddof=1) / len(shared)) ** 0.5
    assert abs(alone.mean() - shared.mean()) < 4 * error
    assert shared.std() > 1.5 * alone.std()


@pytest.mark.parametrize("logit_scale", ["inverse_sqrt", "inverse"])
def test_with_a_norm_the_size_of_queries_does_not_matter(logit_scale: str) -> None:
    """Leading order: a quarter of a nat, at gains at which attention without the norm is elsewhere."""
    found = {
        gain: energies("attention", 60, heads=4, qk_norm=True, query_gain=gain, logit_scale=logit_scale) for gain in (1, 4)
    }
    for drawn, closed in found.values():
        assert abs(np.log(drawn.mean() / closed)) < 0.25
    np.testing.assert_allclose(found[1][0], found[4][0], rtol=1e-3)  # up to the norm's ε
    assert found[1][1] == found[4][1]
    without = energies("attention", 60, heads=4, query_gain=4, logit_scale=logit_scale)[0].mean()
    assert abs(np.log(found[4][0].mean() / without)) > 0.3


@pytest.mark.parametrize("placement", ["none", "pre"])
def test_facts_are_numbers_at_any_depth(placement: str) -> None:
    """Without norms streams of gated FFNs square from layer to layer."""
    for gain, skip in ((3.0, 1.0), (0.1, 0.0)):
        spec = Decoder(
            width=16, blocks=(Block(skip=skip),) * 2000, context=4, ffn="gated", weight_gain=gain, placement=placement
        )
        [known] = facts([spec])
        assert 0 <= known.effective_depth <= 2000 and known.nonlinear_effective_depth is not None
        assert 0 <= known.nonlinear_effective_depth <= known.effective_depth


def test_a_gated_network_without_norms_is_not_homogeneous() -> None:
    """Its Jacobian depends on the size of its stream, which the sampler must not rescale: held against autograd."""
    spec = Decoder(width=8, blocks=(Block(scale=0.5),) * 4, context=TOKENS, ffn="gated", activation="relu").canonical
    bank = Draws(3, range(1), DOUBLE, CPU)
    [found] = sample([spec], ids(), bank, Plan(1, 2, 2))
    module = build(spec, VOCABULARY, 2).to(DOUBLE)
    with torch.no_grad():
        module.embedding.weight.copy_(bank.normal("tokens", VOCABULARY, 8)[0] / 2**0.5)
        module.positions.weight.copy_(bank.normal("positions", TOKENS, 8)[0] / 2**0.5)
        for number, block in enumerate(module.blocks):
            units = block.branch.inner.out_features
            both = bank.normal(f"gated {number}", 2 * units, 8)[0] / 8**0.5
            block.branch.inner.weight.copy_(both[:units])
            block.branch.up.weight.copy_(both[units:])
            block.branch.outer.weight.copy_(bank.normal(f"outer {number}", 8, units)[0] / units**0.5)
    layers = list(module.stream(bank.samples(ids(), 1)[0].long()))
    expected = [float(layer.detach().square().mean().log()) for layer in layers]
    np.testing.assert_allclose(found.stream[0, 0], expected, atol=1e-9)


@pytest.mark.filterwarnings("error")
def test_a_variance_that_the_draws_do_not_tell_is_nan() -> None:
    """Gated FFNs without norms and skips: one draw may be nearly all of E 𝒥, and log 0 is what the others leave."""
    found = jackknife_variance(np.array([[-np.inf, 1.0], [3.0, 2.0], [3.0, 3.0]]))
    assert np.isnan(found[0]) and found[1] == pytest.approx(4 / 3)


FORMS: dict[str, dict[str, Any]] = {
    "gated, half of the heads": {},
    "geglu, one head of keys": {"activation": "gelu", "kv_heads": 1, "positions": "learned", "qk_norm": False},
    "plain, normed": {"ffn": "plain", "ffn_ratio": 2, "norm": "layernorm", "placement": "sandwich"},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_door_takes_them(form: str, tmp_path: Path) -> None:
    """Training, checkpoints, growing, pruning and diagnosing; the closed forms refuse in a sentence."""
    spec = small(**FORMS[form])
    data = Data(ids(), ids().roll(1, 1), ids()[:8], ids()[:8].roll(1, 1), VOCABULARY)
    [run] = AdamW(steps=4, batch=8, learning_rates=(1e-2,), seeds=(0,)).train(spec, data)
    module = build(spec, VOCABULARY, VOCABULARY)
    module.load_state_dict(dict(run.state))
    with torch.no_grad():
        expected = module(ids())
    checkpoint.save(tmp_path / "kept", spec, module.state_dict(), {"inputs": VOCABULARY, "outputs": VOCABULARY})
    again, loaded, _ = checkpoint.load(tmp_path / "kept")
    assert again == spec and torch.equal(loaded(ids()), expected)
    grown = grow(spec, module.state_dict(), [2, 2], Beginning("zero_last"), VOCABULARY, VOCABULARY)
    torch.testing.assert_close(grown.module(VOCABULARY, VOCABULARY)(ids()), expected)
    assert [block.op for block in grown.spec.blocks] == ["attention", "ffn"] * 3
    smaller = prune(spec, module.state_dict(), [1, 2])
    rest = build(smaller.spec, VOCABULARY, VOCABULARY)
    rest.load_state_dict(smaller.state)
    assert torch.isfinite(rest(ids())).all() and len(smaller.spec.blocks) == 2
    found = nasjac.diagnose(module, ids(4))
    assert len(found.layers) == 2 * 6, "input, four blocks and output, forward and backward"
    assert all(layer.log_mean is not None for layer in found.layers)
    with pytest.raises(InputError, match="`kind` must be one of residual_mlp for a closed form"):
        nasjac.theory(spec)


def test_the_exported_module_is_the_built_one() -> None:
    module = build(small(), VOCABULARY, VOCABULARY, torch.Generator().manual_seed(0))
    exported = torch.export.export(module, (ids(2),)).module()
    torch.testing.assert_close(exported(ids(2)), module(ids(2)))


def test_one_network_has_one_key() -> None:
    """As many heads of keys as of queries is what None says; without attention, or FFNs, its fields do not matter."""
    assert small(kv_heads=4).key == small(kv_heads=None).key != small(kv_heads=2).key
    without = small(blocks=(Block(),))
    assert without.key == replace(without, heads=1, kv_heads=None, qk_norm=False).key != replace(without, ffn="plain").key
    attends = small(blocks=(Block(op="attention"),))
    assert attends.key == replace(attends, ffn="plain", activation="relu").key != replace(attends, qk_norm=False).key
    plain = Decoder(width=16, blocks=LAYER, context=4)
    assert not {"ffn", "ffn_hidden", "kv_heads", "qk_norm"} & set(plain.content)
    assert Spec.from_json(small().to_json()) == small()


OPTIONS: dict[str, Any] = {
    "ffns": ("plain", "gated"),
    "kv_sharing": (1, 4),
    "qk_norms": (False, True),
    "branch_scales": ("one", "inverse_depth"),
    "activations": ("silu", "gelu"),
}
ASKED = {"ffn", "kv_sharing", "qk_norm"}


@pytest.mark.parametrize("of", [TransformerLmSpace, VitSpace])
def test_spaces_ask_for_them_where_there_is_a_choice(of: type[TransformerLmSpace] | type[VitSpace]) -> None:
    """By default no trial is asked, no identity has them, and the branch scales are those of before."""
    study, default = random_study(0), of()
    trial = study.ask()
    assert default(trial).ffn == "plain" and not ASKED & set(trial.params)
    assert not {"ffns", "kv_sharing", "qk_norms"} & set(default.stored(asdict(default)))
    assert default.branch_scales == ("one", "inverse_sqrt_depth", "inverse_sqrt_index", "deepnorm")
    space = of(**OPTIONS)
    assert {"ffns", "kv_sharing", "qk_norms"} <= set(space.stored(asdict(space)))
    other = random_study(1)
    trials = [other.ask() for _ in range(40)]
    specs = [space(trial) for trial in trials]
    assert all(set(trial.params) >= ASKED for trial in trials)
    assert {(spec.ffn, spec.qk_norm, spec.activation) for spec in specs} >= {
        ("gated", True, "silu"),
        ("plain", False, "gelu"),
    }
    assert {(spec.heads, spec.kv_heads) for spec in specs} >= {(4, 1), (2, 1), (4, 4)}


def test_gated_ffns_of_a_space_have_about_the_weights_of_plain_ones() -> None:
    for ratio in (1, 2, 4):
        plain, gated = (
            size_of(spec_of(TransformerLmSpace(ffns=(ffn,)), {"ffn_ratio": ratio}).canonical).params
            for ffn in ("plain", "gated")
        )
        assert abs(gated / plain - 1) < 0.06


@pytest.mark.parametrize("params", [10**4, 10**6, 10**8])
def test_widths_are_solved_for(params: int) -> None:
    space = TransformerLmSpace(**OPTIONS).at_size(Target(size_of, params=params))
    missed = [size for spec in random_specs(space, 24, 0) if abs((size := size_of(spec)).params / params - 1) > 0.1]
    assert len(missed) <= 1, missed


def test_the_branch_scale_of_one_over_depth() -> None:
    spec = spec_of(TransformerLmSpace(branch_scales=("inverse_depth",)), {"branch_scale": "inverse_depth", "depth": 6})
    assert {block.scale for block in spec.blocks} == {1 / 12}, "two branches a layer"
    chosen = ResidualMlpSpace(branch_scales=("inverse_depth",))
    assert {block.scale for block in spec_of(chosen, {"branch_scale": "inverse_depth", "depth": 8}).blocks} == {1 / 8}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: small(kv_heads=3), ["`kv_heads`", "divide `heads`", "3 for 4"]),
        (lambda: small(kv_heads=0), ["`kv_heads`", "at least 1", "0"]),
        (lambda: small(ffn="swiglu"), ["`ffn`", "plain, gated", "'swiglu'"]),
        (lambda: small(ffn_ratio=4), ["`ffn`", "plain", "`ffn_ratio`", "`ffn_hidden`"]),
        (lambda: small(ffn="plain", ffn_hidden=40), ["`ffn_hidden`", "None", "`ffn_ratio`", "40"]),
        (lambda: small(ffn_hidden=0), ["`ffn_hidden`", "at least 1", "0"]),
        (lambda: small(qk_norm=1), ["`qk_norm`", "true or false", "1"]),
        (lambda: Spec.from_json('{"width": 4, "blocks": [], "kv_heads": 2}'), ["`kv_heads`", "not a field of ResidualMLP"]),
        (lambda: TransformerLmSpace(ffns=("glu",)), ["`space.ffns`", "plain, gated", "'glu'"]),
        (lambda: TransformerLmSpace(kv_sharing=()), ["`space.kv_sharing`", "at least 1", "[]"]),
        (lambda: TransformerLmSpace(qk_norms=()), ["`space.qk_norms`", "at least one of False, True"]),
    ],
)
def test_what_does_not_fit_is_said(make: Any, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)
