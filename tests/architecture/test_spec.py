"""Keys depend on content alone; inert choices vanish; every bad value is named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasjac.architecture.block import Block
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.kinds.options.units import NORMS
from nasjac.kinds.residual_mlp.spec import BRANCHES, ResidualMLP
from nasjac.mathematics.activations import ACTIVATIONS

blocks = st.builds(Block, keep=st.booleans(), skip=st.sampled_from([0.0, 0.25, 1.0]), scale=st.sampled_from([0.5, 1.0]))
specs = st.builds(
    Spec.of,
    width=st.integers(2, 300),
    blocks=st.lists(blocks, max_size=5).map(tuple),
    placement=st.sampled_from(sorted(PLACEMENTS)),
    norm=st.sampled_from(NORMS),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    branch=st.sampled_from(BRANCHES),
    weight_gain=st.floats(0.1, 4),
)


@given(specs)
def test_json_round_trip(spec: Spec) -> None:
    assert Spec.from_json(spec.to_json()) == spec
    assert Spec.from_json(spec.to_json()).key == spec.key


@given(specs)
def test_canonical_form_has_the_same_key(spec: Spec) -> None:
    assert spec.canonical.key == spec.key
    assert spec.canonical.canonical == spec.canonical
    assert all(block.keep for block in spec.canonical.blocks)


@given(specs, st.integers(0, 5), blocks)
def test_a_pruned_block_vanishes_from_the_key(spec: Spec, place: int, block: Block) -> None:
    pruned = (*spec.blocks[:place], replace(block, keep=False), *spec.blocks[place:])
    assert replace(spec, blocks=pruned).key == spec.key


@given(specs)
def test_the_norm_matters_where_the_placement_uses_one(spec: Spec) -> None:
    layer, rms = (replace(spec, norm=norm).key for norm in NORMS)
    used = PLACEMENTS[spec.placement].uses_norm and bool(spec.canonical.blocks)
    assert (layer != rms) == used


def test_the_key_is_that_of_the_non_default_fields() -> None:
    """A pinned key: a field added later, or an order changed, must not change it."""
    spec = Spec.of(width=8, blocks=(Block(), Block(skip=0)), weight_gain=2)
    assert json.loads(spec.to_json()) == {"blocks": [{}, {"skip": 0.0}], "weight_gain": 2.0, "width": 8}
    assert spec.key == "77a1fc2782b6"


def test_a_leak_that_nothing_has_is_no_choice() -> None:
    """Without a leak, or a skip that it takes from, leaky is explicit; implicit is so without equation and leak."""
    plain = Spec.of(width=8, blocks=(Block(), Block(skip=0)))
    cut = replace(plain, blocks=plain.blocks[1:])
    assert replace(plain, block="leaky").key == replace(plain, leak=0.5).key == plain.key
    assert replace(cut, block="leaky", leak=0.5).key == replace(cut, block="implicit").key == cut.key
    apart = [replace(plain, **fields) for fields in ({"step": 0.5}, {"block": "leaky", "leak": 0.5}, {"block": "implicit"})]
    apart += [replace(apart[-1], leak=0.5), replace(cut, block="implicit", leak=0.5)]
    assert len({spec.key for spec in (plain, cut, *apart)}) == len(apart) + 2
    assert all(Spec.from_json(spec.to_json()) == spec for spec in apart)
    assert replace(apart[0], blocks=()).canonical == Spec.of(width=8, blocks=())


def test_a_network_of_pruned_blocks_is_the_identity() -> None:
    spec = Spec.of(width=8, blocks=(Block(keep=False),) * 3, placement="post", activation="tanh")
    assert spec.canonical == Spec.of(width=8, blocks=())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Spec.of(width=0, blocks=()), ["width", "at least 2", "0"]),
        (lambda: Spec.of(width="64", blocks=()), ["width", "whole number", "'64'"]),
        (lambda: Spec.of(width=8, blocks=(), placement="before"), ["placement", "none, pre, post", "'before'"]),
        (lambda: Spec.of(width=8, blocks=(), activation="swish"), ["activation", "relu, gelu, tanh", "'swish'"]),
        (lambda: Spec.of(width=8, blocks=(), weight_gain=0.0), ["weight_gain", "(0, 1e+15]", "0.0"]),
        (lambda: Spec.of(width=8, blocks=(), weight_gain=float("nan")), ["weight_gain", "(0, 1e+15]", "nan"]),
        (lambda: Spec.of(width=8, blocks=(), block="stiff"), ["block", "explicit, leaky, implicit", "'stiff'"]),
        (lambda: Spec.of(width=8, blocks=(), step=0.0), ["step", "greater than 0", "0.0"]),
        (lambda: Spec.of(width=8, blocks=(), leak=-1.0), ["leak", "at least 0", "-1.0"]),
        (
            lambda: Spec.of(width=8, blocks=(), block="leaky", step=0.5, leak=2.0),
            ["leak", "below 1 / `step`", "1 / 0.5", "2.0"],
        ),
        (
            lambda: Spec.of(width=8, blocks=(), kind="transformer_lm", context=4, block="implicit"),
            ["`block`", "not a field of Decoder", "width, blocks, placement"],
        ),
        (
            lambda: Spec.of(width=8, blocks=(), kind="densenet", shape=(1, 8, 8), norm="none", step=0.5),
            ["`step`", "not a field of DenseNet", "width, blocks, norm"],
        ),
        (lambda: Block(skip=1.5), ["skip", "[0, 1]", "1.5"]),
        (lambda: Block(skip=0, scale=0), ["scale", "greater than 0", "0"]),
        (lambda: Spec.from_json('{"width": 8, "blocks": [], "colour": 4}'), ["colour", "its fields are"]),
    ],
)
def test_bad_values_are_named(make: object, words: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        make()  # type: ignore[operator]
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_field_that_the_kind_lacks_is_named_beside_those_that_it_has() -> None:
    with pytest.raises(InputError, match="`heads` is not a field of ResidualMLP; its fields are width, blocks"):
        replace(ResidualMLP(width=8, blocks=()), heads=2)  # type: ignore[call-arg]
