"""Every test of every contract fails for an implementation that is broken in the way which it is about."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from nasjac import Block, Kind, ResidualMLP, Spec
from nasjac.architecture.inputs import Inputs
from nasjac.architecture.measurement import Estimate, Measurement
from nasjac.architecture.space import Space, Trial
from nasjac.datasets import Data, Dataset
from nasjac.kinds.facts import facts
from nasjac.kinds.residual_mlp.network import ResidualMLPNetwork
from nasjac.kinds.sampler import Sampler
from nasjac.kinds.table import TABLE
from nasjac.scores import Score
from nasjac.tables.scores.base import Done, Scored, TableScore
from nasjac.tables.space import Material, TableSpace
from nasjac.tables.spec_table import SpecTable
from nasjac.testing import (
    DatasetContract,
    KindContract,
    ScoreContract,
    SpaceContract,
    TableScoreContract,
    TrainerContract,
)
from nasjac.testing.inputs import clusters
from nasjac.trainers import SGD, Run, Trainer

CONTRACTS = (DatasetContract, KindContract, ScoreContract, SpaceContract, TableScoreContract, TrainerContract)
#: the test of a contract, and what breaks the rule that it is about
BROKEN: list[tuple[str, Any]] = []
CHAINS = [ResidualMLP(width=8, blocks=(Block(),) * depth) for depth in (1, 2, 3)]
calls = itertools.count()


def of_contract(contract: type) -> set[str]:
    """The names of a contract's tests."""
    return {name for name in vars(contract) if name.startswith("test_")}


# kinds: of networks that are those of residual MLPs but for one thing


def kind_of(name: str, members: dict[str, Any] | None = None, **parts: Any) -> KindContract:
    """The contract on a kind whose Specs have other `members`, and which has other `parts`."""
    spec = type(name, (ResidualMLP,), {"kind": f"{__name__}:{name}", "__module__": __name__, **(members or {})})
    made = Kind(**{"spec": spec, "network": ResidualMLPNetwork, **parts})
    globals()[name] = made

    class Broken(KindContract):
        def kind(self) -> Kind:
            return made

        def specs(self) -> Sequence[Spec]:
            return [spec(width=8, blocks=(Block(),) * depth, weight_gain=1.5) for depth in (1, 2)]

    return Broken()


class NamesAnother(KindContract):
    def kind(self) -> Kind:
        return TABLE["resnet"]

    def specs(self) -> Sequence[Spec]:
        return CHAINS


class Louder(ResidualMLPNetwork):
    """Has an output too many."""

    def forward(self, x: Tensor) -> Tensor:
        outputs = super().forward(x)
        return torch.cat([outputs, outputs[..., :1]], dim=-1)


def of_global_randomness(spec: Any, inputs: int, outputs: int, generator: Any = None) -> ResidualMLPNetwork:
    return ResidualMLPNetwork(spec, inputs, outputs)


class Counts(Sampler[Any]):
    """Says other things of an architecture at every call."""

    def sample(self, *args: Any) -> list[Any]:
        return [replace(found, forward=found.forward + next(calls)) for found in super().sample(*args)]


def without_parameters(specs: Sequence[Any]) -> list[Any]:
    return [replace(known, params=0) for known in facts([replace(CHAINS[0], blocks=spec.blocks) for spec in specs])]


def longer(spec: Any) -> Any:
    return replace(spec, blocks=(*spec.blocks, Block()))


def forgetful(spec: Any) -> dict[str, Any]:
    content = ResidualMLP.content.fget(spec)  # type: ignore[attr-defined]
    return {name: value for name, value in content.items() if name != "weight_gain"}


BROKEN += [
    ("test_a_spec_names_its_kind", NamesAnother()),
    ("test_json_is_read_back_as_the_same_spec", kind_of("Forgetful", {"content": property(forgetful)})),
    ("test_a_spec_is_frozen_and_hashable", kind_of("Loose", {"__setattr__": object.__setattr__})),
    ("test_the_canonical_form_is_its_own", kind_of("Growing", {"canonical": property(longer)})),
    ("test_a_network_with_a_pruned_block_has_a_key_of_its_own", kind_of("OneKey", {"key": "0" * 12})),
    ("test_facts_are_finite_and_the_same_for_equal_networks", kind_of("Weightless", facts=without_parameters)),
    (
        "test_branch_energies_are_there_for_every_kept_block",
        kind_of("Silent", branch_energies=lambda spec: np.zeros(0)),
    ),
    ("test_a_module_reads_its_own_stream", kind_of("Loud", network=Louder)),
    ("test_the_generator_decides_the_module", kind_of("Random", network=of_global_randomness)),
    (
        "test_samples_do_not_depend_on_the_other_architectures_of_the_call",
        kind_of("Counting", sampler=Counts(ResidualMLPNetwork)),
    ),
]


# spaces


def space_of(space: Callable[[Any], Any]) -> SpaceContract:
    class Broken(SpaceContract):
        def space(self) -> Callable[[Any], Spec]:
            return space

    return Broken()


def chain(depth: int, of: Callable[..., Any] = ResidualMLP) -> Any:
    return of(width=8, blocks=(Block(),) * depth, weight_gain=1.5)


class Chains(Space):
    """Chains of a depth that is chosen, and sound: each broken one derives from it."""

    def __call__(self, trial: Trial) -> Spec:
        return chain(trial.suggest_int("depth", 1, 9))  # type: ignore[no-any-return]


class Postponed(Chains):
    later = ("leak",)


class Untypical(Chains):
    typical: ClassVar[dict[str, Any]] = {"depth": 0}

    def __call__(self, trial: Trial) -> Spec:
        depth = trial.suggest_int("depth", 1, 9)
        return chain(depth) if depth else None  # type: ignore[return-value]


class ForOthers(Chains):
    def for_data(self, inputs: Inputs) -> Any:
        return Untypical.__call__


class Patterns(Chains):
    """Its reference is an ensemble."""

    def references(self, budget: int) -> tuple[Spec, ...]:
        return (ResidualMLP(width=8, blocks=(Block(skip=0.5),)),)


BROKEN += [
    ("test_options_that_came_later_have_defaults", space_of(Postponed())),
    ("test_typical_choices_make_an_architecture", space_of(Untypical())),
    ("test_the_space_for_its_own_data_takes_them", space_of(ForOthers())),
    ("test_references_are_concrete_architectures_for_the_same_inputs", space_of(Patterns())),
    ("test_every_trial_gives_a_spec", space_of(lambda trial: trial.suggest_int("depth", 1, 9))),
    (
        "test_every_spec_is_read_back_from_its_json",
        space_of(lambda trial: chain(trial.suggest_int("depth", 1, 9), globals()["Forgetful"].spec)),
    ),
    ("test_the_same_choices_give_the_same_spec", space_of(lambda trial: chain(next(calls)))),
    ("test_there_is_a_choice", space_of(lambda trial: chain(3))),
]


# scores


@dataclass(frozen=True)
class Depth(Score):
    """As deep as an architecture is, and sound: each broken one derives from it."""

    name: ClassVar[str] = "depth"  # type: ignore[misc]
    terms: ClassVar[tuple[str, ...]] = ("merit",)  # type: ignore[misc]
    objectives: ClassVar[tuple[str, ...]] = ("merit",)  # type: ignore[misc]

    def measure(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> list[Measurement]:
        return [self.one(spec, specs) for spec in specs]

    def one(self, spec: Spec, specs: Sequence[Spec]) -> Measurement:
        return Measurement(spec.key, "ok", terms={"merit": Estimate(float(len(spec.blocks)), 0.0)})


class Nameless(Depth):
    name = ""


class Backwards(Depth):
    def measure(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> list[Measurement]:
        return super().measure(specs[::-1], inputs, device)


class Undeclared(Depth):
    terms = ("log_mean",)


class Absent(Depth):
    objectives = ("merit", "log_mean")

    def one(self, spec: Spec, specs: Sequence[Spec]) -> Measurement:
        return replace(super().one(spec, specs), terms={"merit": Estimate(None, None)})


class Sociable(Depth):
    def one(self, spec: Spec, specs: Sequence[Spec]) -> Measurement:
        return replace(super().one(spec, specs), draws=len(specs))


class Remembering(Depth):
    def one(self, spec: Spec, specs: Sequence[Spec]) -> Measurement:
        return replace(super().one(spec, specs), draws=next(calls))


class Shaking(Depth):
    def one(self, spec: Spec, specs: Sequence[Spec]) -> Measurement:
        torch.rand(1)
        return super().one(spec, specs)


class Unbound(Depth):
    reference = 256  # type: ignore[assignment]


class Pretending(Depth):
    """Says that it races, and does not."""

    races = True  # type: ignore[assignment]


class OfDepth(ScoreContract):
    """A sound score."""

    def __init__(self, of: type[Depth] = Depth) -> None:
        self.of = of

    def score(self) -> Score:
        return self.of()

    def specs(self) -> Sequence[Spec]:
        return CHAINS


BROKEN += [
    ("test_it_has_a_name", OfDepth(Nameless)),
    ("test_one_measurement_a_spec_in_order", OfDepth(Backwards)),
    ("test_it_has_no_other_terms_than_those_that_it_declares", OfDepth(Undeclared)),
    ("test_its_objectives_are_there", OfDepth(Absent)),
    ("test_a_measurement_does_not_depend_on_the_other_specs", OfDepth(Sociable)),
    ("test_a_measurement_does_not_depend_on_earlier_calls", OfDepth(Remembering)),
    ("test_global_randomness_is_left_alone", OfDepth(Shaking)),
    ("test_a_score_that_ranks_is_bound_to_a_population_and_no_other_is", OfDepth(Unbound)),
    (
        "test_a_race_without_rivals_is_a_measurement_and_a_score_without_races_says_so",
        OfDepth(Pretending),
    ),
]


# datasets


class Points(DatasetContract):
    """A sound dataset, and what is loaded instead of it."""

    def __init__(self, name: str = "points", load: Callable[[], Any] | None = None) -> None:
        self.name, self.load = name, load or points

    def dataset(self) -> Dataset:
        return self


def points(labels: int = 2) -> Data:
    inputs = torch.tensor([[-1.0], [1.0]])
    return Data(inputs, torch.tensor([0, labels - 1]), inputs, torch.tensor([0, 1]), outputs=labels)


def shaken() -> Data:
    torch.rand(1)
    return points()


BROKEN += [
    ("test_it_has_a_name", Points(name="")),
    ("test_it_loads_data", Points(load=lambda: (torch.ones(2, 1), torch.arange(2)))),
    ("test_two_loads_are_the_same_data", Points(load=lambda: points(labels=2 + next(calls)))),
    (
        "test_both_splits_hold_samples",
        Points(load=lambda: replace(points(), valid_inputs=torch.ones(0, 1), valid_labels=torch.arange(0))),
    ),
    (
        "test_training_features_are_standardized",
        Points(load=lambda: replace(points(), train_inputs=torch.tensor([[3.0], [5.0]]))),
    ),
    ("test_loading_leaves_global_randomness_alone", Points(load=shaken)),
]


# trainers


@dataclass(frozen=True)
class Sound(SGD):
    """Two steps of gradient descent: each broken trainer derives from it."""

    steps: int = 2
    batch: int = 16
    seeds: tuple[int, ...] = (0, 3)
    learning_rates: tuple[float, ...] = (0.01, 0.1)

    def train(self, spec: Spec, data: Data, device: str = "cpu", progress: Any = None) -> list[Run]:
        return self.changed(super().train(spec, data, device, progress))

    def changed(self, runs: list[Run]) -> list[Run]:
        return runs


class Anonymous(Sound):
    name = ""  # type: ignore[assignment]


class Disordered(Sound):
    def changed(self, runs: list[Run]) -> list[Run]:
        return runs[::-1]


class Percent(Sound):
    def changed(self, runs: list[Run]) -> list[Run]:
        return [replace(run, accuracy=100 * (1 + (run.accuracy or 0))) for run in runs]


class Zeroed(Sound):
    """Gives the state of another network."""

    def changed(self, runs: list[Run]) -> list[Run]:
        return [
            replace(run, accuracy=0.123, state={name: 0 * tensor for name, tensor in run.state.items()}) for run in runs
        ]


class Lazy(Sound):
    """Trains once, whatever the rate."""

    def changed(self, runs: list[Run]) -> list[Run]:
        return [replace(run, state=runs[0].state) for run in runs]


class Fickle(Sound):
    def changed(self, runs: list[Run]) -> list[Run]:
        return [replace(run, loss=float(next(calls))) for run in runs]


class Endless(Sound):
    def train(self, spec: Spec, data: Data, device: str = "cpu", progress: Any = None) -> list[Run]:
        return super().train(spec, data, device, progress and (lambda done, total, what: progress(done, total + 1, what)))


class ShakenTrainer(Sound):
    def changed(self, runs: list[Run]) -> list[Run]:
        torch.rand(1)
        return runs


class OfClusters(TrainerContract):
    """A sound trainer."""

    def __init__(self, of: type[Sound] = Sound) -> None:
        self.of = of

    def trainer(self) -> Trainer:
        return self.of()


BROKEN += [
    ("test_it_has_a_name_and_an_identity", OfClusters(Anonymous)),
    ("test_a_run_for_every_seed_and_rate_in_order", OfClusters(Disordered)),
    ("test_a_run_has_figures_or_a_reason", OfClusters(Percent)),
    ("test_the_state_is_that_of_a_module_of_the_run_s_accuracy", OfClusters(Zeroed)),
    ("test_every_seed_and_rate_leads_elsewhere", OfClusters(Lazy)),
    ("test_the_same_training_twice_is_the_same", OfClusters(Fickle)),
    ("test_progress_never_falls_and_ends_at_the_total", OfClusters(Endless)),
    ("test_global_randomness_is_left_alone", OfClusters(ShakenTrainer)),
]


# scores of tables


class Blocks(TableScore):
    """As deep as an architecture is, and sound: each broken one derives from it."""

    needs: ClassVar[Material] = Material.FACTS
    name = "blocks"

    def measure(
        self, space: Any, architectures: Sequence[Any], inputs: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        done(len(architectures))
        return [self.one(spec, architectures) for spec in architectures]

    def one(self, spec: Spec, specs: Sequence[Spec]) -> Scored:
        return Scored(float(len(spec.blocks)))


class OfNetworks(Blocks):
    needs = Material.NETWORKS


class Unranked(Blocks):
    def one(self, spec: Spec, specs: Sequence[Spec]) -> Scored:
        return Scored(math.nan)


class Ranked(Blocks):
    """Its rank among those of the call."""

    def one(self, spec: Spec, specs: Sequence[Spec]) -> Scored:
        return Scored(float(sum(len(other.blocks) < len(spec.blocks) for other in specs)))


class Stuck(Blocks):
    def measure(
        self, space: Any, architectures: Sequence[Any], inputs: Tensor, device: torch.device, done: Done
    ) -> list[Scored]:
        return super().measure(space, architectures, inputs, device, lambda count: done(count - 1))


class OfChains(TableScoreContract):
    """A sound score of tables."""

    def __init__(self, of: type[Blocks] = Blocks) -> None:
        self.of = of

    def score(self) -> TableScore:
        return self.of()

    def space(self) -> TableSpace:
        return SpecTable()

    def architectures(self) -> Sequence[Any]:
        return CHAINS

    def inputs(self) -> Tensor:
        return torch.empty(0)


BROKEN += [
    ("test_it_has_a_name_and_needs_what_the_space_offers", OfChains(OfNetworks)),
    ("test_every_architecture_has_a_value_that_can_be_ranked", OfChains(Unranked)),
    ("test_a_value_does_not_depend_on_the_other_architectures", OfChains(Ranked)),
    ("test_progress_never_falls_and_ends_at_the_last_architecture", OfChains(Stuck)),
]
SOUND = [
    kind_of("Plain"),
    space_of(Chains()),
    space_of(lambda trial: chain(trial.suggest_int("depth", 1, 9))),
    OfDepth(),
    Points(),
    OfClusters(),
    OfChains(),
]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_for_every_test_of_a_contract_there_is_something_broken(contract: type) -> None:
    assert {test for test, broken in BROKEN if isinstance(broken, contract)} == of_contract(contract)


@pytest.mark.parametrize(("test", "broken"), BROKEN, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_broken_fails_the_test_that_is_about_it(test: str, broken: Any) -> None:
    with pytest.raises(AssertionError):
        getattr(broken, test)()


@pytest.mark.parametrize("sound", SOUND, ids=lambda sound: type(sound).__mro__[1].__name__)
def test_what_is_sound_passes_them_all(sound: Any) -> None:
    """So that what fails above fails for what is broken and not for what the examples have in common."""
    for test in sorted(of_contract(type(sound).__mro__[1])):
        getattr(sound, test)()


def test_data_of_the_contracts_are_the_same_at_every_call() -> None:
    assert clusters().digest == clusters().digest
