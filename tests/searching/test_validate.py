"""Validation: who is picked, that nothing is trained twice or lost, and what `save` leaves; and the verb `train`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
import torch

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.datasets import Data
from nasjac.searching.train import Task, train_stored
from nasjac.searching.validate import ValidationOptions, validate
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.store.rows import ArchitectureRow, TrialRow, ValidationRow
from nasjac.trainers import AdamW, Progress, Run

EXPLODES = Spec.of(width=4, blocks=(Block(),) * 8, weight_gain=1e8)
FRONT = [Spec.of(width=4, blocks=(Block(),) * depth) for depth in (1, 2, 3, 4)]
TRAINER = AdamW(steps=3, batch=10, learning_rates=(0.01, 0.1))
RANDOM = [Spec.of(width=4, blocks=(Block(),) * depth, placement="pre") for depth in (1, 2, 3)]


Trained = list[tuple[str, tuple[int, ...]]]


def row(spec: Spec) -> ArchitectureRow:
    choices = {name: getattr(spec, name) for name in ("kind", "width", "placement", "norm", "activation", "branch")}
    content = json.loads(spec.to_json())
    return ArchitectureRow(spec.key, content, depth=len(spec.blocks), params=100 * len(spec.blocks), **choices)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A study whose front is FRONT, the last of them recommended, with one architecture behind the front."""
    with Store(tmp_path / "nasjac.db") as made:
        made.open_study("k", {"dataset": "clusters"}, "error", "s0")
        costs = dict(zip([*FRONT, EXPLODES], [0.0, 0.4, 2.0, 5.0, 9.0], strict=True))
        trials = [
            TrialRow(
                "k", number, 0, "complete", number, spec.key, spec.key,
                {"trainability_cost": cost, "nonlinear_effective_depth": float(len(spec.blocks) % 8)},
            )
            for number, (spec, cost) in enumerate(costs.items())
        ]  # fmt: skip
        failed = TrialRow("k", len(trials), 0, "failed", len(trials), EXPLODES.key, reason="diverged")
        made.record_batch("k", 0, [*trials, failed], [row(spec) for spec in costs], [], "apjn", "s0", {})
        made.recommend("k", FRONT[-1].key, "because")
        yield made


@dataclass
class Draws:
    """Draws from RANDOM as a search would, and remembers what it was asked for."""

    store: Store
    asked: list[tuple[int, int, int | None]] = field(default_factory=list)

    def __call__(self, seed: int, count: int, params: int | None) -> list[str]:
        self.asked.append((seed, count, params))
        chosen = RANDOM[:count] if params is None else RANDOM[::-1][:count]
        self.store.record_scored([row(spec) for spec in chosen], [], "apjn", "s0")
        return [spec.key for spec in chosen]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Key and seeds of every training."""
    calls: Trained = []
    plain = AdamW.train

    def train(self: AdamW, spec: Spec, data: Data, device: str = "cpu", progress: Progress | None = None) -> list[Run]:
        calls.append((spec.key, self.seeds))
        return plain(self, spec, data, device, progress)

    monkeypatch.setattr(AdamW, "train", train)
    return calls


@pytest.fixture
def task() -> Task:
    inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 2
    data = Data(inputs[:20], labels[:20], inputs[20:], labels[20:], outputs=2)
    return Task("clusters", data, TRAINER)


def figures(store: Store) -> set[tuple[Any, ...]]:
    """What does not depend on the clock."""
    return {
        (r.architecture_key, r.seed, r.learning_rate, r.status, r.reason, r.accuracy, r.loss, r.train_loss, r.steps)
        for r in store.validations()
    }


KEYS = [spec.key for spec in FRONT]
SMALL = ValidationOptions(top=3, random=2, matched=1)
DRAWN = [(RANDOM[0].key, "random"), (RANDOM[1].key, "random"), (RANDOM[2].key, "matched")]


def test_picks_and_rows(store: Store, task: Task, trained: Trained) -> None:
    draws, calls = Draws(store), []
    result = validate(store, "k", task, draws, replace(SMALL, seed=5), None, lambda *call: calls.append(call))
    front = [key for key, role in result.picks if role == "front"]
    assert front[0] == KEYS[3] and len(front) == 3 and set(front) <= set(KEYS)
    assert list(result.picks)[3:] == DRAWN and sorted(store.picks("k")) == sorted(result.picks)
    assert draws.asked == [(10, 2, None), (11, 1, 400)], "the matched ones have the recommended one's parameters"
    assert (result.trained, result.reused, result.left) == (6, 0, 0)
    assert [call[:2] for call in calls] == [(done, 6) for done in range(7)]
    texts = [text for _, _, text in calls[1:]]
    assert sorted(text.split()[0] for text in texts) == sorted(key for key, _ in trained)
    assert all("accuracy" in text for text in texts)
    rows = store.validations(dataset_digest=task.data.digest, trainer_id=task.identity.trainer_id)
    assert sorted((r.architecture_key, r.seed, r.learning_rate) for r in rows) == sorted(
        (key, seed, rate) for key, _ in result.picks for seed in (0, 1) for rate in (0.01, 0.1)
    )
    assert all(r.status == "ok" and r.accuracy is not None and r.seconds is not None for r in rows)


def test_nothing_is_trained_twice_and_stopping_loses_nothing(
    store: Store, task: Task, trained: Trained, tmp_path: Path
) -> None:
    asked = chain([False, False], repeat(True))
    first = validate(store, "k", task, Draws(store), SMALL, stop=lambda: next(asked))
    assert (first.trained, first.reused, first.left) == (2, 0, 4)
    second = validate(store, "k", task, Draws(store), SMALL)
    assert (second.trained, second.reused, second.left) == (4, 2, 0) and second.picks == first.picks
    assert len(trained) == len(set(trained)) == 6
    third = validate(store, "k", task, Draws(store), SMALL)
    assert (third.trained, third.reused) == (0, 6) and len(trained) == 6
    broken = figures(store)
    with Store(tmp_path / "unbroken.db") as other:
        copy(store, other)
        validate(other, "k", task, Draws(other), SMALL)
        assert figures(other) == broken, "the rows are those of a run that nothing stopped"


def copy(store: Store, other: Store) -> None:
    other.open_study("k", {"dataset": "clusters"}, "error", "s0")
    other.record_batch("k", 0, store.trials("k"), list(store.architectures().values()), [], "apjn", "s0", {})
    other.recommend("k", str(store.study("k").recommended_key), "because")


def test_a_further_seed_trains_that_seed_alone(store: Store, task: Task, trained: Trained) -> None:
    options = ValidationOptions(top=2, random=0, matched=0)
    validate(store, "k", task, Draws(store), options)
    before = figures(store)
    more = replace(task, trainer=replace(TRAINER, seeds=(0, 1, 2)))
    validate(store, "k", more, Draws(store), options)
    assert [seeds for _, seeds in trained] == [(0, 1), (0, 1), (2,), (2,)]
    assert before < figures(store) and len(figures(store)) == 12
    other = replace(task, trainer=replace(TRAINER, steps=4))
    assert validate(store, "k", other, Draws(store), options).trained == 2, "another trainer's runs are others"


def test_nothing_to_do(store: Store, task: Task, trained: Trained) -> None:
    draws = Draws(store)
    result = validate(store, "k", task, draws, ValidationOptions(top=0, random=0, matched=0))
    assert result.picks == () and not store.picks("k") and not trained and not draws.asked
    with pytest.raises(ValueError, match="`study` must be"):
        validate(store, "nobody", task, draws)


def test_what_is_matched_to_is_trained_too(store: Store, task: Task) -> None:
    result = validate(store, "k", task, Draws(store), ValidationOptions(top=0, random=0, matched=1))
    assert result.picks == ((KEYS[3], "front"), (RANDOM[2].key, "matched"))


def test_a_study_without_results_still_gets_its_random_ones(store: Store, task: Task) -> None:
    store.open_study("empty", {"dataset": "clusters"}, "error", "s0")
    result = validate(store, "empty", task, Draws(store), SMALL)
    assert [role for _, role in result.picks] == ["random", "random"] and result.trained == 2


def test_a_diverged_architecture_is_a_result(store: Store, task: Task, tmp_path: Path) -> None:
    store.recommend("k", EXPLODES.key, "to see")
    options = ValidationOptions(top=1, random=0, matched=0)
    texts: list[str] = []
    kept = tmp_path / "kept"
    validate(store, "k", task, Draws(store), options, kept, lambda done, total, text: texts.append(text))
    assert texts[-1] == f"{EXPLODES.key} diverged: the loss is not finite at initialization"
    rows = store.validations([EXPLODES.key])
    assert {(r.status, r.accuracy, r.steps) for r in rows} == {("diverged", None, 0)} and len(rows) == 4
    assert not (tmp_path / "kept").exists()
    assert validate(store, "k", task, Draws(store), options, kept).reused == 1, "there is nothing to save, then or later"


def test_save_keeps_the_best_run(store: Store, task: Task, tmp_path: Path) -> None:
    options = ValidationOptions(top=2, random=0, matched=0)
    picks = validate(store, "k", task, Draws(store), options).picks
    kept = tmp_path / "kept"
    assert validate(store, "k", task, Draws(store), options, kept).trained == 2, "trained again, to have what to save"
    assert validate(store, "k", task, Draws(store), options, kept).reused == 2
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == sorted(key for key, _ in picks)
    for key, _ in picks:
        spec, module, info = checkpoint.load(tmp_path / "kept" / key)
        best = max(r.accuracy or 0.0 for r in store.validations([key]))
        assert spec.key == info["key"] == key and info["accuracy"] == best
        assert info["trainer_options"]["steps"] == 3 and info["dataset"] == "clusters"
        assert (module(task.data.valid_inputs).argmax(1) == task.data.valid_labels).double().mean() == best


def test_another_training_s_checkpoint_is_refused_before_training(
    store: Store, task: Task, trained: Trained, tmp_path: Path
) -> None:
    options = ValidationOptions(top=2, random=0, matched=0)
    validate(store, "k", task, Draws(store), options, tmp_path / "kept")
    other = replace(task, dataset="digits")
    with pytest.raises(ValueError, match=r"`save` must be .*dataset 'clusters' instead of 'digits'"):
        validate(store, "k", other, Draws(store), options, tmp_path / "kept")
    assert len(trained) == 2


@pytest.mark.parametrize("split", ["train_labels", "valid_labels", "valid_inputs"])
def test_other_data_of_the_same_name_are_trained_on(
    store: Store, task: Task, trained: Trained, tmp_path: Path, split: str
) -> None:
    options = ValidationOptions(top=2, random=0, matched=0)
    assert validate(store, "k", task, Draws(store), options, tmp_path / "kept").trained == 2
    other = replace(task, data=replace(task.data, **{split: getattr(task.data, split).flip(0)}))
    with pytest.raises(ValueError, match=r"`save` must be .*dataset_digest '\w+' instead of '\w+'"):
        validate(store, "k", other, Draws(store), options, tmp_path / "kept")
    assert len(trained) == 2
    result = validate(store, "k", other, Draws(store), options)
    assert (result.trained, result.reused) == (2, 0) and len(store.validations()) == 16
    assert validate(store, "k", task, Draws(store), options, tmp_path / "kept").reused == 2, (
        "those of before are as they were"
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda info: info.pop("dataset_digest"), r"dataset_digest unknown instead of '\w{12}'"),
        (lambda info: info.update(grown={"blocks": 2}), "grown after its training"),
    ],
)
def test_a_checkpoint_of_unknown_data_or_changed_since_is_not_taken_for_saved(
    store: Store, task: Task, tmp_path: Path, change: Callable[[dict[str, Any]], Any], why: str
) -> None:
    """One from before digests were kept may be of another file of the same name."""
    options = ValidationOptions(top=1, random=0, matched=0)
    validate(store, "k", task, Draws(store), options, tmp_path / "kept")
    (path,) = (tmp_path / "kept").glob("*/spec.json")
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))
    assert checkpoint.load(path.parent)[0].key == path.parent.name, "it stays readable"
    with pytest.raises(ValueError, match=rf"`save` must be a folder without checkpoints of other trainings, .*{why}"):
        validate(store, "k", task, Draws(store), options, tmp_path / "kept")


@pytest.mark.parametrize("name", ["top", "random", "matched", "seed"])
def test_negative_counts(name: str) -> None:
    with pytest.raises(ValueError, match=f"`validation.{name}` must be a whole number of at least 0, got -1"):
        ValidationOptions(**{name: -1})  # type: ignore[arg-type]


def test_train_records_and_saves(store: Store, task: Task, trained: Trained, tmp_path: Path) -> None:
    result = train_stored(store, KEYS[0][:7], task, out=tmp_path / "out")
    assert result.key == KEYS[0] and result.best is not None and result.folder == tmp_path / "out"
    rows = store.validations([KEYS[0]])
    assert {type(r) for r in rows} == {ValidationRow} and len(rows) == len(result.runs) == 4
    assert [r.accuracy for r in rows] == [run.accuracy for run in result.runs]
    spec, _, info = checkpoint.load(tmp_path / "out")
    assert spec.key == KEYS[0] and info["seed"] == result.best.seed and info["accuracy"] == result.best.accuracy
    with pytest.raises(ValueError, match="new or empty folder"):
        train_stored(store, KEYS[0], task, out=tmp_path / "out")
    assert len(trained) == 1
    assert train_stored(store, KEYS[0], task).folder is None
    with pytest.raises(ValueError, match="`key` must be"):
        train_stored(store, "zz", task)


def test_train_of_what_diverges_saves_nothing(store: Store, task: Task, tmp_path: Path) -> None:
    result = train_stored(store, EXPLODES.key, task, out=tmp_path / "out")
    assert result.best is None and result.folder is None and not (tmp_path / "out").exists()
    assert len(store.validations([EXPLODES.key])) == 4


@pytest.mark.parametrize(("objective", "order"), [("merit", (3, 1, 0)), ("trainability_cost", (2, 0, 1))])
def test_of_one_objective_the_best_are_picked(store: Store, task: Task, objective: str, order: tuple[int, ...]) -> None:
    """The front is one point then: merit the largest first, a cost the least; what is recommended leads."""
    store.open_study("one", {"dataset": "clusters"}, "error", "s0")
    values = [0.5, 1.0, -2.0, 3.0]
    trials = [
        TrialRow("one", number, 0, "complete", number, spec.key, spec.key, {objective: value})
        for number, (spec, value) in enumerate(zip(FRONT, values, strict=True))
    ]
    again = replace(trials[order[0]], number=4, state="duplicate")
    store.record_batch("one", 0, [*trials, again], [row(spec) for spec in FRONT], [], "merit", "s0", {})
    store.recommend("one", KEYS[order[0]], "because")
    result = validate(store, "one", task, Draws(store), ValidationOptions(top=3, random=0, matched=0))
    assert result.picks == tuple((KEYS[number], "front") for number in order)
