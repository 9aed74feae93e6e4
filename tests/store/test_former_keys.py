"""Networks that are one function have one key; what earlier versions stored under others is found, and goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nasjac import Block, Spec, Store, build
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import KINDS, spec_class
from nasjac.cli import main
from nasjac.datasets import Data
from nasjac.foundation.interrupts import Interrupted
from nasjac.kinds.facts import facts
from nasjac.kinds.options.stepped import SteppedSpec
from nasjac.kinds.population import sample
from nasjac.kinds.table import kind_of
from nasjac.sampling.draws import Draws
from nasjac.scores.apjn import Apjn
from nasjac.searching.job import SearchOptions
from nasjac.searching.loop import run as search
from nasjac.searching.objectives import Budget
from nasjac.searching.scored import scored_rows
from nasjac.searching.search import Search
from nasjac.searching.train import Task, train_stored
from nasjac.store.checkpoints import checkpoint
from nasjac.trainers import SGD
from tests.kinds.test_every_field import inputs_of, quick, specs
from tests.store.rows import validation

MLP = Spec.of(
    width=8,
    blocks=(Block(scale=0.6), Block(skip=0.0), Block(keep=False), Block(scale=1.4)),
    activation="gelu",
    weight_gain=1.2,
)
TOKENS = Spec.of(
    width=4,
    blocks=(Block(op="attention"), Block()),
    kind="transformer_lm",
    placement="pre",
    context=3,
    heads=4,
    query_gain=1.7,
)
IMAGES = Spec.of(
    width=4,
    blocks=(Block(op="basic", scale=0.6), Block(op="basic", stage=1), Block(op="basic", stage=1, keep=False)),
    kind="resnet",
    norm="none",
    activation="linear",
    shape=(2, 4, 4),
)
DENSE = Spec.of(
    width=4,
    blocks=(Block(op="dense"), Block(op="dense", stage=1, scale=0.5)),
    kind="densenet",
    norm="none",
    activation="linear",
    shape=(2, 4, 4),
    growth=3,
)


def scaled(spec: Spec, factor: float, **fields: Any) -> Spec:
    """With another factor on every branch."""
    return replace(spec, blocks=tuple(replace(b, scale=b.scale * factor) for b in spec.blocks), **fields)


def cut(spec: Spec) -> Spec:
    return replace(spec, blocks=tuple(replace(block, skip=0.0) for block in spec.blocks))


#: two forms of one network, the canonical one second
SAME: dict[str, tuple[Spec, Spec]] = {
    "a step is a factor on branches": (replace(MLP, step=0.3), scaled(MLP, 0.3)),
    "of a resnet too": (replace(IMAGES, step=0.3), scaled(IMAGES, 0.3)),
    "of a leaky block both h and hD": (
        replace(MLP, block="leaky", step=0.3, leak=0.7),
        scaled(MLP, 0.3, block="leaky", leak=0.3 * 0.7),
    ),
    "an implicit block without a skip divides": (
        replace(cut(MLP), block="implicit", step=0.3, leak=0.7),
        scaled(cut(MLP), 0.3 / (1 + 0.3 * 0.7)),
    ),
    "a single unit a head has one logit scale": (replace(TOKENS, logit_scale="inverse"), TOKENS),
    "straight convolutions have one order": (replace(IMAGES, order="pre"), IMAGES),
    "those of a densenet too": (replace(DENSE, order="pre"), DENSE),
    "minus nothing is nothing": (replace(MLP, blocks=(Block(skip=-0.0),)), replace(MLP, blocks=(Block(skip=0.0),))),
}


@pytest.mark.parametrize("name", SAME)
def test_one_network_has_one_key(name: str) -> None:
    """And its forms build one network, are sampled alike and known alike, bit for bit."""
    spec, plain = SAME[name]
    assert spec.key == plain.key and spec.canonical == plain.canonical == spec.canonical.canonical
    assert spec.canonical.to_json() == plain.canonical.to_json()
    assert scored_rows([spec], facts([spec]))[0] == scored_rows([plain], facts([plain]))[0]
    inputs = inputs_of(plain, dtype=torch.float32)
    features = 7 if plain.inputs.takes_ids else inputs.shape[1]
    for seed in range(3):
        outputs = [_raw(form, features, seed)(inputs) for form in (spec, plain)]
        assert torch.equal(*outputs)
    if kind_of(spec).sampling.common(spec) is not None:
        drawn = [
            sample([form], inputs, Draws(1, range(3), torch.float32, torch.device("cpu")))[0] for form in (spec, plain)
        ]
        for values in zip(*(vars(one).values() for one in drawn), strict=True):
            np.testing.assert_array_equal(*values)


def _raw(spec: Spec, features: int, seed: int) -> torch.nn.Module:
    """Built in the very form given, but without pruned blocks."""
    kept = tuple(block for number, block in enumerate(spec.blocks) if block.keep or spec.changes_shape(number))
    bare = replace(spec, blocks=kept)
    bare.__dict__["canonical"] = bare
    return build(bare, features, 3, torch.Generator().manual_seed(seed)).eval()


def test_forms_that_are_equal_on_paper_alone_stay_apart() -> None:
    """Steps of equations; gains that stand for each other; another step of blocks whose skip has a leak."""
    implicit = replace(MLP, block="implicit", step=0.5, leak=0.5)
    apart = [
        (implicit, scaled(MLP, 0.5, block="implicit", leak=0.25)),
        (replace(MLP, activation="relu", weight_gain=2.0), scaled(MLP, 4.0, activation="relu", weight_gain=1.0)),
        (replace(MLP, step=0.1), scaled(MLP, 0.1, block="leaky", leak=0.1)),
        (replace(TOKENS, heads=2, logit_scale="inverse"), replace(TOKENS, heads=2)),
        (replace(IMAGES, activation="relu", order="pre"), replace(IMAGES, activation="relu")),
        (replace(IMAGES, norm="groupnorm", order="pre"), replace(IMAGES, norm="groupnorm")),
    ]
    assert all(one.key != other.key for one, other in apart)
    wide = replace(MLP, blocks=(Block(scale=1e-200),), step=1e-200)
    assert wide.canonical.step == 1e-200 and wide.canonical.canonical == wide.canonical, "their product is no float"


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_equal_exactly_if_canonical_forms_are(kind: str) -> None:
    """Of random Specs and of those that differ in one field: equal keys compute alike, and canonical forms are at rest."""
    changes: dict[str, Sequence[Any]] = {
        "step": (1.0, 0.5),
        "leak": (0.0, 0.5),
        "block": ("explicit", "leaky", "implicit"),
        "logit_scale": ("inverse_sqrt", "inverse"),
        "order": ("pre", "post"),
        "heads": (1, 8),
        "patch": (2, 4),
        "query_gain": (1.0, 2.0),
        "growth": (1, 2),
        "placement": ("none", "pre"),
    }

    own = [name for name in sorted(changes) if name in {entry.name for entry in fields(spec_class(kind))}]

    def check(spec: Spec, name: str, data: st.DataObject) -> None:
        try:
            other = replace(spec, **{name: data.draw(st.sampled_from(changes[name]))})
        except ValueError:  # not with the other fields
            return
        assert (spec.key == other.key) == (spec.canonical == other.canonical)
        for one in (spec, other):
            assert one.canonical.canonical == one.canonical and Spec.from_json(one.to_json()).key == one.key
        if spec.key == other.key:
            assert scored_rows([spec], facts([spec]))[0] == scored_rows([other], facts([other]))[0]

    quick(max_examples=60)(given(specs(kind), st.sampled_from(own), st.data())(check))()


@contextmanager
def before_this_version() -> Iterator[None]:
    """Keys as they were when a step was told from a scale."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SteppedSpec, "_at_step_1", lambda self: self)
        yield


def few(trial: Any) -> Spec:
    """A space of twelve networks in sixteen forms."""
    step, scale = (trial.suggest_categorical(name, (1.0, 0.5)) for name in ("step", "scale"))
    return Spec.of(width=6, blocks=(Block(scale=scale),) * trial.suggest_int("depth", 1, 4), step=step)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Specs that the score is asked to measure, as JSON."""
    seen: list[str] = []
    call = Apjn.race

    def counted(score: Apjn, specs: Sequence[Spec], *rest: Any, **named: Any) -> list[Measurement]:
        seen.extend(spec.to_json() for spec in specs)
        return call(score, specs, *rest, **named)

    monkeypatch.setattr(Apjn, "race", counted)
    return seen


def data() -> Data:
    inputs = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 3
    return Data(inputs[:40], labels[:40], inputs[40:], labels[40:], 3)


def job(trials: int) -> Search:
    names = {part: {"name": part} for part in ("space", "score", "sampler", "dataset")}
    score, options = Apjn(rel_error=None), SearchOptions(batch=8, objectives=("trainability_cost",))
    budget = Budget(trials=trials, min_effective_depth=0)
    return Search(few, score, partial(optuna.samplers.RandomSampler), data(), names, budget, options)


def searched(store: Store, trials: int) -> None:
    wanted = job(trials)
    name = store.open_study("k", wanted.identity, "resume", wanted.score_id)
    search(store, name, wanted, lambda *_: None, Interrupted())


def functions(texts: Sequence[str]) -> list[str]:
    return [Spec.from_json(text).key for text in texts]


@pytest.fixture
def old(tmp_path: Path, asked: list[str]) -> Path:
    """A database whose study has keys of before."""
    path = tmp_path / "old.db"
    with before_this_version(), Store(path) as store:
        searched(store, 16)
    return path


def former(store: Store) -> dict[str, str]:
    """Keys of before that no network has today -> today's, of the architectures stored."""
    rows = store.architectures()
    today = {key: Spec.from_json(json.dumps(row.spec)).key for key, row in rows.items()}
    return {key: new for key, new in today.items() if new != key}


def test_a_study_of_an_earlier_version_goes_on(old: Path, asked: list[str]) -> None:
    """Nothing is lost, nothing measured again, and no network is stored anew under its key of today."""
    before = functions(asked)
    with Store(old) as store:
        trials, renamed = store.trials("k"), former(store)
        assert renamed and not set(renamed.values()) <= set(store.architectures()), "some networks have former keys alone"
        count = len(store.architectures())
        searched(store, 64)
        now = functions(asked)[len(before) :]
        assert not set(now) & set(before) and len(set(now)) == len(now)
        assert store.trials("k")[: len(trials)] == trials and len(store.trials("k")) == 64
        assert len(store.architectures()) == count + len(now)
        names = {store.today(key) for key in store.architectures()}
        assert len(names) == 12 and all(store.resolve_key(store.stored_key(key)) for key in names)
        for row in store.trials("k")[len(trials) :]:
            network = store.today(str(row.architecture_key))
            assert row.architecture_key in store.architectures() and store.today(str(row.kept_key)) == network
            alike = [other for other in store.trials("k") if store.today(str(other.architecture_key)) == network]
            assert len({other.objectives["trainability_cost"] for other in alike}) == 1


def test_what_is_stored_under_a_former_key_is_found_by_either(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(old) as store:
        there = store.architectures()
        key, today = next((key, new) for key, new in former(store).items() if new not in there)
        assert store.stored_key(today) == store.stored_key(key) == key and store.today(key) == today
        assert store.resolve_key(today[:8]) == store.resolve_key(key[:8]) == key
        assert store.architectures([today]) == {today: there[key]} and store.architectures([key]) == {key: there[key]}
        score_id = store.study("k").score_id
        [one], [other] = (store.measurements([name], score_id).values() for name in (today, key))
        assert one == replace(other, key=today) and store.measurements(None, score_id).keys() == there.keys()
        task = Task("d", data(), SGD(steps=1, batch=8, learning_rates=(0.1,), seeds=(0,)))
        done = train_stored(store, today, task, tmp_path / "kept")
        assert done.key == key and [row.architecture_key for row in store.validations()] == [key]
        store.record_picks("k", [(today, "front")])
        store.recommend("k", today, "why")
        assert store.picks("k") == [(key, "front")] and store.study("k").recommended_key == key
    spec, _, info = checkpoint.load(tmp_path / "kept")
    assert spec.key == today and info["key"] == key and spec.step == 0.5
    for asked_for in (key, today[:8]):
        assert main(["show", asked_for, "--database", str(old), "--format", "json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["key"] == key and shown["trials"] and shown["validations"] and shown["measurements"]
    with pytest.raises(ValueError, match="no key starts with it"), Store(old) as store:
        store.resolve_key("zz")


def test_trainings_under_a_former_key_are_found_by_todays(old: Path) -> None:
    """By the key asked for, once each; and those on other data or by another trainer are still told apart."""
    with Store(old) as store:
        there = store.architectures()
        key, today = next((key, new) for key, new in former(store).items() if new not in there)
        made = validation(0, 0.1, 0, 0.5, architecture_key=today, created="t")
        store.record_validations([made, replace(made, dataset_digest="d2"), replace(made, trainer_id="t2")])
        assert {row.architecture_key for row in store.validations()} == {key}
        assert store.validations([today], "d1", "t1") == [made]
        assert store.validations([key], "d1", "t1") == [replace(made, architecture_key=key)]
        assert {row.architecture_key for row in store.validations([today, key])} == {key}, "its own, where it is asked for"
        assert len(store.validations([today])) == len(store.validations([today, key])) == 3


def test_of_a_training_under_both_keys_there_is_one(tmp_path: Path) -> None:
    two = Spec.of(width=6, blocks=(Block(),), step=0.5), Spec.of(width=6, blocks=(Block(scale=0.5),))
    with before_this_version(), Store(tmp_path / "two.db") as store:
        store.record_scored(scored_rows(two, facts(two))[0], [], "apjn", "s1")
        names = [spec.key for spec in two]
        rows = [
            validation(0, 0.1, 0, accuracy, architecture_key=name)
            for name, accuracy in zip(names, (0.25, 0.5), strict=True)
        ]
        store.record_validations([*rows, replace(rows[0], seed=1)])
    with Store(tmp_path / "two.db") as store:
        found = {(row.seed, row.accuracy) for row in store.validations([names[1]])}
        assert len(store.validations([names[1]])) == 2 and found == {(0, 0.5), (1, 0.25)}


def test_a_network_stored_under_two_keys_is_one_from_now_on(tmp_path: Path, asked: list[str]) -> None:
    """Today's key is its own then, and what is known under the other counts for it."""
    two = Spec.of(width=6, blocks=(Block(),), step=0.5), Spec.of(width=6, blocks=(Block(scale=0.5),))
    path, wanted = tmp_path / "two.db", job(1)
    with before_this_version(), Store(path) as store:
        assert two[0].key != two[1].key
        measured = wanted.score.measure([two[0]], data().train_inputs, wanted.device)
        store.record_scored(scored_rows(two, facts(two))[0], measured, "apjn", wanted.score_id)
        first = store.resolve_key(two[0].key)
    again = [Spec.from_json(spec.to_json()) for spec in two]
    with Store(path) as store:
        [key] = {spec.key for spec in again}
        assert key != first and store.today(first) == store.stored_key(key) == key
        assert store.resolve_key(first) == first and store.resolve_key(key) == key
        [found] = store.measurements([key], wanted.score_id).values()
        assert found == replace(store.measurements([first], wanted.score_id)[first], key=key)
