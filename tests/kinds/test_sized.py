"""Widths that are solved for: every architecture has the size that is asked for, and widths such as hardware likes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from nasjac.architecture.size import Size, Target
from nasjac.architecture.spec import Spec
from nasjac.kinds.build import build
from nasjac.kinds.facts import facts
from nasjac.kinds.options.sized import SizedSpace, _around
from nasjac.kinds.options.width import _root
from nasjac.kinds.resnet.space import ResNetSpace
from nasjac.kinds.sizes import outside_params, size_of, whole_size_of
from nasjac.kinds.spaces import SPACES
from nasjac.kinds.transformer.decoder_space import TransformerLmSpace
from nasjac.samplers.random_specs import random_specs
from nasjac.samplers.studies import random_study

SIZES = [10**4, 10**5, 10**6, 10**7, 10**8, 10**9]


def at(kind: str, count: int = 24, seed: int = 0, **target: int) -> list[Spec]:
    """Random architectures of a kind's default space at a size."""
    return random_specs(SPACES[kind]().at_size(Target(size_of, **target)), count, seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("params", SIZES)
@pytest.mark.parametrize("kind", SPACES)
def test_architectures_have_the_size(kind: str, params: int) -> None:
    """Within the band; from a million parameters on widths are multiples of 8."""
    specs = at(kind, params=params)
    missed = [size for spec in specs if abs((size := size_of(spec)).params / params - 1) > 0.1]
    assert len(missed) <= 1, missed  # of the smallest some choices leave no such shape; another is drawn then
    assert params < 10**6 or all(spec.width % 8 == 0 for spec in specs)


@pytest.mark.parametrize("kind", SPACES)
def test_there_are_as_many_architectures_as_without_a_size(kind: str) -> None:
    for params in (10**4, 10**5, 10**7):
        sized = {spec.key for spec in at(kind, 60, params=params)}
        assert len(sized) >= len({spec.key for spec in random_specs(SPACES[kind](), 60)})


@pytest.mark.parametrize("kind", SPACES)
def test_a_largest_number_is_never_exceeded(kind: str) -> None:
    """And is nearly reached, as far as steps of the width allow."""
    for bound, most in (("max_flops", 10**7), ("max_flops", 10**9), ("max_params", 10**5)):
        number = Size._fields.index(bound.removeprefix("max_"))
        shares = [size_of(spec)[number] / most for spec in at(kind, **{bound: most})]
        assert max(shares) <= 1, bound
        assert sorted(shares)[len(shares) // 2] > 0.75, bound


def test_both_bounds_hold() -> None:
    """A decoder's FLOPs grow with its parameters: half of what the parameters bring leaves half of them."""
    free = at("transformer_lm", params=10**5)
    most = max(size_of(spec).flops for spec in free) // 2
    for spec in at("transformer_lm", max_params=10**5, max_flops=most):
        assert size_of(spec).params <= 10**5 and size_of(spec).flops <= most


def test_sizes_are_those_of_the_facts_and_of_the_modules() -> None:
    for kind in SPACES:
        specs = random_specs(SPACES[kind](), 12)
        for spec, known in zip(specs, facts(specs), strict=True):
            assert size_of(spec) == (known.params, known.flops)
            inputs = spec.inputs.features or 7
            module = build(spec, inputs, 5, torch.Generator().manual_seed(0))
            assert whole_size_of(spec, inputs, 5).params == sum(part.numel() for part in module.parameters())
            assert outside_params(spec, inputs, 5) > 0


def test_a_learned_gate_is_a_parameter() -> None:
    spec = random_specs(SPACES["residual_mlp"](prune_ratio_max=0.0), 1)[0]
    gated = replace(spec, blocks=tuple(replace(block, gate=True) for block in spec.blocks))
    assert size_of(gated).params == size_of(spec).params + len(spec.blocks) == facts([gated])[0].params


def test_depth_is_what_the_trial_asks_for_where_some_width_has_the_size() -> None:
    space = SPACES["residual_mlp"](prune_ratio_max=0.0).at_size(Target(size_of, params=10**6))
    study = random_study(0)
    for _ in range(20):
        trial = study.ask()
        assert len(space(trial).blocks) == trial.params["depth"] and "width" not in trial.params


def test_widths_that_are_named_stay() -> None:
    named = TransformerLmSpace(widths=(32,))
    assert named.at_size(Target(size_of, params=10**6)) is named


def test_large_decoders_have_heads_of_about_the_size_that_is_chosen() -> None:
    space = TransformerLmSpace().at_size(Target(size_of, params=10**8))
    study = random_study(0)
    for _ in range(24):
        trial = study.ask()
        spec = space(trial)
        assert isinstance(space, SizedSpace) and "heads" not in trial.params
        assert abs(math.log(spec.width / spec.heads / trial.params["head_size"])) <= math.log(2)
    few = TransformerLmSpace(heads=(3,)).at_size(Target(size_of, params=10**7))
    assert {spec.width % 24 for spec in random_specs(few, 12)} == {0}, "a multiple of the heads and of 8"


@given(
    square=st.floats(1, 1e3),
    linear=st.floats(0, 1e3),
    share=st.floats(0.01, 1e4),
    step=st.sampled_from([1, 2, 8, 24]),
    start=st.integers(4, 256),
)
@settings(deadline=None, max_examples=200)
def test_the_root_of_a_polynomial_is_found(square: float, linear: float, share: float, step: int, start: int) -> None:
    """a w² + b w of the exact width is the size, to the next multiple."""
    exact = 4.0 * step * (1 + share)
    size = square * exact**2 + linear * exact
    root = _root(lambda width: (square * width**2 + linear * width) / size, step, start)
    assert abs(min(exact, 65_536) - root) <= step


def test_the_depths_about_one_are_its_neighbours_first() -> None:
    assert list(_around((3,), 1, 5)) == [(3,), (2,), (4,), (1,), (5,)]
    found = list(_around((1, 2), 1, 3))
    assert found[0] == (1, 2) and len(found) == len(set(found)) == 9
    away = [abs(a - 1) + abs(b - 2) for a, b in found]
    assert away == sorted(away)


def test_where_nothing_has_the_size_the_nearest_is_given() -> None:
    """And a size that is below all has the smallest width and depth."""
    space = ResNetSpace(prune_ratio_max=0.0, ops=("basic",)).at_size(Target(size_of, params=100))
    assert {(spec.width, len(spec.blocks)) for spec in random_specs(space, 6)} == {(4, 3)}


def test_the_same_choices_give_the_same_architecture() -> None:
    space = SPACES["resnet"]().at_size(Target(size_of, params=50_000))
    study = random_study(3)
    for _ in range(8):
        trial = study.ask()
        assert space(trial) == space(FixedTrial(trial.params))
