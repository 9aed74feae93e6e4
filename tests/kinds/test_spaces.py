"""What the choices of search spaces mean; their contract is in `test_contracts`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial

from nasjac.architecture.space import Space
from nasjac.architecture.spec import Spec
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.kinds.resnet.space import ResNetSpace
from nasjac.kinds.spaces import SPACES, default_space
from nasjac.models.chosen_spec import spec_of
from nasjac.testing import SpaceContract

CHOICES: dict[str, Any] = {
    "depth": 12,
    "width": 32,
    "skip_density": 0.5,
    "wiring_seed": 3,
    "prune_ratio": 0.25,
    "prune_criterion": "last",
    "branch_scale": "one",
    "placement": "pre",
    "norm": "layernorm",
    "activation": "relu",
    "branch": "two_matrix",
    "weight_gain": 1.0,
}


def of(space: ResidualMlpSpace | None = None, **changes: Any) -> Spec:
    return (space or ResidualMlpSpace())(FixedTrial({**CHOICES, **changes}))


@pytest.mark.parametrize("name", SPACES)
def test_no_space_proposes_what_learns_nothing(name: str) -> None:
    """No linear network; no block without skip and branch; and every trial makes the same choices."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    space = SPACES[name]()
    for _ in range(60):
        trial = study.ask()
        spec = space(trial)
        assert spec.activation != "linear"
        assert all(block.skip or block.scale for block in spec.blocks)
        study.tell(trial, 0.0)
    assert len({tuple(trial.distributions) for trial in study.trials}) == 1, "flat: the same choices in every trial"


def test_pruning_removes_the_branch_and_its_skip() -> None:
    whole, pruned = of(prune_ratio=0.0), of(prune_ratio=0.25)
    assert len(whole.blocks) == 12 and pruned.blocks == whole.blocks[:9]
    assert of(prune_criterion="first").blocks == whole.blocks[3:]


def test_inert_choices_share_a_key() -> None:
    assert of(prune_ratio=0.0, prune_criterion="first").key == of(prune_ratio=0.0, prune_criterion="random").key
    assert of(placement="none", norm="rmsnorm").key == of(placement="none").key
    assert of(skip_density=1.0, wiring_seed=1).key == of(skip_density=1.0, wiring_seed=2).key


def test_skips_follow_the_density() -> None:
    assert {block.skip for block in of(skip_density=1.0).blocks} == {1.0}
    assert {block.skip for block in of(skip_density=0.0).blocks} == {0.0}
    ensemble = of(ResidualMlpSpace(skip_mode="ensemble"), skip_density=0.3)
    assert {block.skip for block in ensemble.blocks} == {0.3} and ensemble.is_ensemble


#: made before there were block types
PINNED = ["37dc5439c460", "1e2fc146809b", "0c4239a13cc2"]
STEPPED = {"block_types": ("explicit", "leaky", "implicit"), "step_min": 0.1}


@pytest.mark.parametrize("kind", [ResidualMlpSpace, ResNetSpace])
def test_block_types_are_choices_where_there_are_several(kind: type[ResidualMlpSpace] | type[ResNetSpace]) -> None:
    """By default nothing more is asked for, and the same seed gives the same trials as before there were block types."""

    def proposals(space: ResidualMlpSpace | ResNetSpace, count: int) -> list[tuple[dict[str, Any], Spec]]:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        trials = [study.ask() for _ in range(count)]
        return [(trial.params, spec) for trial in trials for spec in (space(trial),)]

    new = {"block", "step", "leak"}
    assert all(not new & set(params) and spec.block == "explicit" for params, spec in proposals(kind(), 5))
    fixed = kind(block_types=("leaky",), leak_min=0.25, leak_max=0.25)
    assert all(not new & set(params) for params, _ in proposals(fixed, 3))
    found = proposals(kind(**STEPPED), 40)  # type: ignore[arg-type]
    assert all(new <= set(params) for params, _ in found)
    assert {spec.block for _, spec in found} == {"explicit", "leaky", "implicit"}
    for params, spec in found:
        whole = spec.canonical
        if params["block"] == "explicit":  # whose step is a factor on its branches
            assert (whole.block, whole.leak, whole.step) == ("explicit", 0.0, 1.0)
            kept = [block.scale * spec.step for block in spec.blocks if block.keep]
            assert [block.scale for block in whole.blocks if block.keep] == kept
    gone = {name: value for name, value in found[0][0].items() if name not in new}
    assert set(gone) == set(proposals(kind(), 1)[0][0])


def test_the_default_trials_of_a_seed_are_pinned() -> None:
    """Of a search by seed 0: a choice added later must not change them."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    keys = [ResidualMlpSpace()(study.ask()).key for _ in range(3)]
    assert keys == PINNED


def test_branch_scales() -> None:
    assert of(branch_scale="inverse_sqrt_depth").blocks[0].scale == pytest.approx(12**-0.5)
    scales = [block.scale for block in of(branch_scale="inverse_sqrt_index").blocks[:4]]
    assert scales == pytest.approx([1, 2**-0.5, 3**-0.5, 0.5])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth_min": 9, "depth_max": 3}, ["depth_min", "in order", "9", "3"]),
        ({"prune_ratio_max": 2.0}, ["prune_ratio", "[0, 1]", "2.0"]),
        ({"skip_mode": "both"}, ["skip_mode", "pattern, ensemble", "'both'"]),
        ({"widths": (8, 16, 32, 64)}, ["widths", "one to three"]),
        ({"block_types": ("stiff",)}, ["block_types", "explicit, leaky, implicit", "'stiff'"]),
        ({"block_types": ("leaky",), "leak_max": 1.0}, ["leak_max", "below 1 / `space.step_max`", "1.0"]),
        ({"step_min": 0.0}, ["step_min", "in order"]),
        ({"norms": ()}, ["norms", "at least one of layernorm, rmsnorm"]),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        ResidualMlpSpace(**options)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("name", SPACES)
class TestContract(SpaceContract):
    """Of every kind's own space."""

    @pytest.fixture(autouse=True)
    def _named(self, name: str) -> None:
        self.name = name

    def space(self) -> Space:
        return SPACES[self.name]()


@pytest.mark.parametrize("name", SPACES)
def test_the_default_space_of_an_architecture_takes_its_inputs(name: str) -> None:
    spec = SPACES[name]()(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2)).ask())
    other = {"context": 48} if spec.inputs.takes_ids else {}
    of = default_space(replace(spec, **other))  # type: ignore[arg-type]
    assert type(of) is SPACES[name] and spec_of(of, {}).inputs == replace(spec, **other).inputs  # type: ignore[arg-type]
