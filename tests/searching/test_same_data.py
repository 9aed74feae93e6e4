"""What was trained counts on the very data it was trained on, whatever their name: rows, reports and checkpoints."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nasjac import Block, Spec, build
from nasjac.cli import main
from nasjac.datasets import Data, Digits, Text, standardized
from nasjac.searching.report import report
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.sources import own_data
from tests.store.rows import filled, key_of, validation

SEED = torch.Generator().manual_seed(3)
INPUTS, LABELS = torch.randn(30, 4, generator=SEED), torch.arange(30) % 3
DATA = Data(INPUTS[:20], LABELS[:20], INPUTS[20:], LABELS[20:], outputs=3)

OTHERS: dict[str, Callable[[], Data]] = {
    "labels permuted": lambda: replace(DATA, train_labels=DATA.train_labels.roll(1)),
    "other labels to judge by": lambda: replace(DATA, valid_labels=DATA.valid_labels.roll(1)),
    "one input to judge by": lambda: replace(DATA, valid_inputs=DATA.valid_inputs + torch.eye(10, 4) * 1e-6),
    "fewer samples": lambda: replace(DATA, train_inputs=INPUTS[:19], train_labels=LABELS[:19]),
    "a class without samples": lambda: replace(DATA, outputs=4),
    "images": lambda: replace(DATA, shape=(1, 2, 2)),
}


@pytest.mark.parametrize("change", OTHERS)
def test_a_digest_tells_data_apart(change: str) -> None:
    assert OTHERS[change]().digest != DATA.digest


def test_a_digest_tells_the_order_of_axes_apart() -> None:
    ids = torch.arange(24).view(6, 4)
    one, other = (Data(turned, turned, turned, turned, outputs=24) for turned in (ids, ids.view(4, 6)))
    assert one.digest != other.digest


def test_equal_data_have_equal_digests() -> None:
    again = replace(DATA, train_inputs=DATA.train_inputs.t().contiguous().t(), valid_labels=DATA.valid_labels.clone())
    assert again.digest == DATA.digest and len(DATA.digest) == 12 and int(DATA.digest, 16) >= 0
    assert Digits().load().digest == Digits().load().digest


def write(path: Path, predictable: bool) -> str:
    """4,000 characters of the same alphabet, each foretold by the one before, or at random."""
    letters = "abcdefgh" * 500 if predictable else "".join(random.Random(1).choices("abcdefgh", k=4000))
    path.write_text(letters)
    return str(path)


def test_every_option_of_a_text_is_in_the_digest(tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt", predictable=False)
    first = Text(path, context=4)
    changed = [replace(first, limit=3000), replace(first, level="byte"), replace(first, context=5)]
    digests = [text.load().digest for text in (first, *changed)]
    write(tmp_path / "x.txt", predictable=True)
    digests.append(first.load().digest)
    assert len(set(digests)) == len(digests), "limit, level, context and the file's content"


QUIET = ["quiet=true", "format=json"]
TEXT = ["dataset=text", "dataset.context=4"]
TRAINER = ["trainer.steps=50", "trainer.seeds=[0]", "trainer.learning_rates=[0.03]"]
VALIDATION = [*TRAINER, "validation.top=0", "validation.random=2", "validation.matched=0", *QUIET]
SMALL = ["score=apjn", "score.rel_error=null", "budget.trials=4", "search.batch=4", "budget.min_effective_depth=0"]
SMALL += ["space.depth_min=1", "space.depth_max=2", "space.widths=[8]", *VALIDATION]
WORDS = ["space=transformer_lm", "space.context=4", *TEXT, *SMALL]

Answer = dict[str, Any]
Run = Callable[..., Answer]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command in an empty folder: what it answers as JSON; ValueError with what it says if it refuses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")

    def call(*words: str) -> Answer:
        code = main(words)
        printed = capsys.readouterr()
        if code:
            raise ValueError(printed.err)
        return json.loads(printed.out)  # type: ignore[no-any-return]

    return call


def accuracies(found: Answer) -> dict[str, float]:
    return {pick["key"]: pick["accuracy"] for pick in found["picks"]}


def notes() -> Answer:
    """What the last run has noted."""
    with Store("nasjac.db", read_only=True) as store:
        return json.loads(store.select("SELECT notes FROM run ORDER BY run_id DESC LIMIT 1").rows[0][0])  # type: ignore[no-any-return]


def test_another_file_of_the_same_name_is_another_dataset(run: Run, tmp_path: Path) -> None:
    """The same architectures in two studies of one database: each reports what was trained on its own file."""
    paths = {"a": write(tmp_path / "a.txt", True), "b": write(tmp_path / "b.txt", False)}
    found = {}
    for study, path in paths.items():
        found[study] = run("search", f"study={study}", f"dataset.path={path}", *WORDS)
        assert (notes()["validated"], notes()["validated_before"]) == (2, 0)
    assert accuracies(found["a"]).keys() == accuracies(found["b"]).keys()
    assert min(accuracies(found["a"]).values()) > 0.6 > 0.4 > max(accuracies(found["b"]).values())
    run("validate", "study=b", *VALIDATION)
    assert (notes()["validated"], notes()["validated_before"]) == (0, 2), "its own are not trained again"
    run("search", "study=c", f"dataset.path={paths['a']}", "dataset.limit=3000", *WORDS)
    assert (notes()["validated"], notes()["validated_before"]) == (2, 0), "nor are those of another limit its own"
    with Store("nasjac.db", read_only=True) as store:
        digests = {study: store.study(study).dataset_digest for study in "abc"}
        assert len(set(digests.values())) == 3
        assert digests["a"] == Text(paths["a"], context=4).load().digest
        assert {row.dataset_digest for row in store.validations()} == set(digests.values())


def test_a_trained_architecture_counts_where_its_data_are_the_studys(run: Run, tmp_path: Path) -> None:
    """`nasjac train` goes by the same key: by the data, not by their name."""
    paths = {"a": write(tmp_path / "a.txt", True), "b": write(tmp_path / "b.txt", False)}
    key = run("search", "study=b", f"dataset.path={paths['b']}", *WORDS, "validation.random=0")["recommended"]["key"]
    seen = []
    for name, path in paths.items():
        run("train", key, f"dataset.path={path}", f"out={name}", *TEXT, *TRAINER, *QUIET)
        board = run("query", "--study", "b", "--where", f"key = '{key}'", "--format", "json")
        seen.append((board[0]["validation_accuracy"], run("report", "study=b", *QUIET)["recommended"]["accuracy"]))
    assert seen[0] == (None, None) and seen[1][0] == seen[1][1] < 0.4


def test_a_study_of_other_labels_is_not_gone_on_with(run: Run, tmp_path: Path) -> None:
    """A dataset of one's own whose labels change while its inputs, which the score sees, stay."""
    source = """
from dataclasses import dataclass
import torch
from nasjac.datasets import Data, Digits

@dataclass(frozen=True)
class Mine:
    name = "mine"
    def load(self):
        data = Digits().load()
        return Data(data.train_inputs, (data.train_labels + TURN) % 10, data.valid_inputs, data.valid_labels, 10)
"""
    words = ["study=k", "dataset=mine_data:Mine", *SMALL]
    (tmp_path / "mine_data.py").write_text(source.replace("TURN", "0"))
    run("search", *words)
    (tmp_path / "mine_data.py").write_text(source.replace("TURN", "1"))
    sys.modules.pop("mine_data")
    for verb, given in (("search", words), ("validate", ["study=k", "quiet=true", "dataset=mine_data:Mine"])):
        with pytest.raises(ValueError, match=r"`dataset` must hold the data of study 'k', labels and validation split too"):
            run(verb, *given)
    run("search", *words, "on_conflict=new")
    assert (notes()["validated"], notes()["validated_before"]) == (2, 0)
    sys.modules.pop("mine_data")


def test_validating_on_other_data_is_reported_as_such(run: Run, tmp_path: Path) -> None:
    """What was asked for is reported under its digest; the leaderboard stays with the study's own data."""
    paths = {"a": write(tmp_path / "a.txt", True), "b": write(tmp_path / "b.txt", False)}
    run("search", "study=b", f"dataset.path={paths['b']}", *WORDS)
    found = run("validate", "study=b", *VALIDATION, *TEXT, f"dataset.path={paths['a']}")
    assert found["protocol"]["dataset_digest"] == Text(paths["a"], context=4).load().digest
    assert min(accuracies(found).values()) > 0.6
    board = run("query", "--study", "b", "--where", "validation_accuracy > 0.4", "--format", "json")
    assert not board


# Measurements by other formulas


@pytest.mark.parametrize(("score", "formulas"), [("apjn", None), ("apjn", "estimators 0"), ("meanfield", None)])
def test_a_study_measured_by_other_formulas_is_neither_gone_on_with_nor_validated(
    run: Run, score: str, formulas: str | None
) -> None:
    """What is drawn to be compared would be measured by other formulas than the rest of the study; it is still reported."""
    words = ["study=k", f"score={score}", *[word for word in SMALL if not word.startswith("score")]]
    drawn = run("search", *words, "validation.random=0")["recommended"]["key"]
    with Store("nasjac.db") as store:
        identity = json.loads(json.dumps(store.study("k").identity))
        today = identity["score"].pop("formulas")
        if formulas is not None:
            identity["score"]["formulas"] = formulas
        store._connection.execute("UPDATE study SET identity = ?", [json.dumps(identity)])
    there = formulas or "formulas of a version that did not name them"
    told = (
        rf"`study` must have been measured by {score} \({today}\) .*by {score} \({there}\) \(nasjac search on_conflict=new"
    )
    with pytest.raises(ValueError, match=told):
        run("validate", "study=k", *VALIDATION)
    with pytest.raises(ValueError, match=r"`study` must have the same identity to be resumed, got 'k', where score\.form"):
        run("search", *words)
    assert run("report", "study=k", *QUIET)["recommended"]["key"] == drawn
    with Store("nasjac.db", read_only=True) as store:
        assert store.validations() == [] == store.picks("k") and len(store.trials("k")) == 4


# Rows of unknown data


def test_trainings_on_unknown_data_are_marked_and_count_for_nothing(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        store.record_validations([validation(1, 0.1, 0, 0.875), validation(2, 0.1, 0, 0.25)])
        store.record_picks("k", [(key_of(1), "front"), (key_of(2), "random")], "d1")
        store._connection.execute("UPDATE validation SET dataset_digest = NULL WHERE architecture_key = ?", [key_of(1)])
        names = "validation_accuracy, validation_learning_rate, validation_status"
        rows = store.select(f"SELECT {names} FROM leaderboard WHERE number IN (1, 2, 3) ORDER BY number").rows
        assert rows == [(None, None, "unknown"), (0.25, 0.1, "ok"), (None, None, None)]
        assert [row.architecture_key for row in store.validations(dataset_digest="d1")] == [key_of(2)]
        assert len(store.validations()) == 2, "and stay readable"
        made = report(store, "k", tmp_path)
    assert [pick["key"] for pick in made.summary["picks"]] == [key_of(2)]
    assert "1 training of these architectures, stored by an earlier version, count for nothing here" in made.text


def test_a_study_of_unknown_data_takes_those_it_is_resumed_on(tmp_path: Path) -> None:
    """One from before digests were kept goes on, for its training inputs are compared; from then on its data are known."""
    with Store(tmp_path / "x.db") as store:
        for name in "kl":
            store.open_study(name, {"seed": 0}, "error", "s1")
        assert store.open_study("k", {"seed": 0}, "resume", "s1", "d1") == "k"
        store.claim_data("l", "d2")
        assert [store.study(name).dataset_digest for name in "kl"] == ["d1", "d2"]
        for name in "kl":
            with pytest.raises(ValueError, match=f"`dataset` must hold the data of study '{name}'.*digest d3"):
                store.open_study(name, {"seed": 0}, "resume", "s1", "d3")


# Checkpoints


def test_a_checkpoint_of_other_data_is_not_taken_for_the_default_ones() -> None:
    """grow, prune and a search from a checkpoint load the dataset of its name, unless they are told which."""
    data = Digits().load()
    assert own_data({"dataset": "digits"}).digest == own_data({"dataset": "digits", "dataset_digest": data.digest}).digest
    with pytest.raises(ValueError, match=r"`dataset` must be given with its options, .* \(digest abc\), got none"):
        own_data({"dataset": "digits", "dataset_digest": "abc"})


SURGERY = {
    "prune": ["checkpoint=source", "ratio=0.5", "points=4", "fine_tune=0"],
    "grow": ["checkpoint=source", "blocks=1", "points=4"],
    "search": ["search.warm_start=source", "budget.trials=2", "search.batch=2", "warm.points=16"],
}
MINE = """
from dataclasses import dataclass, replace
from nasjac.datasets import Digits

@dataclass(frozen=True)
class Mine:
    name = "mine"
    def load(self):
        data = Digits().load()
        return replace(data, train_labels=data.train_labels.roll(1))
"""


@pytest.mark.parametrize("verb", SURGERY)
def test_a_changed_checkpoint_says_which_data_its_figures_are_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """Name and digest of the data that were used, and beside them those of the training, unknown where they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")
    (tmp_path / "turned_data.py").write_text(MINE)
    data, spec = Digits().load(), Spec.of(width=8, blocks=(Block(),) * 2)
    network = build(spec, data.inputs, data.outputs, torch.Generator().manual_seed(0))
    trained = {"dataset": "digits", "dataset_digest": data.digest, "trainer": "adamw", "trainer_id": "t1"}
    old = {name: value for name, value in trained.items() if name != "dataset_digest"}
    mine = replace(data, train_labels=data.train_labels.roll(1)).digest
    cases = {
        "own": (trained, [], ("digits", data.digest), trained, None),
        "old": (old, [], ("digits", data.digest), {**old, "dataset_digest": "unknown"}, "it is unknown which data the"),
        "other": (
            trained,
            ["dataset=turned_data:Mine"],
            ("mine", mine),
            trained,
            "the checkpoint was trained on other data, ",
        ),
    }
    for case, (info, words, used, before, told) in cases.items():
        sizes = {"inputs": data.inputs, "outputs": data.outputs}
        checkpoint.save(tmp_path / "source", spec, network.state_dict(), {**sizes, **info, "steps": 3})
        for source, out in (("source", case), (case, f"{case}_again")):
            given = [word.replace("source", source) for word in SURGERY[verb]]
            if verb == "prune" and source == case:
                continue  # nothing is left to prune
            given += [f"study={out}"] if verb == "search" else []  # of other data it is another study
            assert main([verb, *given, f"out={out}", "format=json", *words]) == 0
            printed = capsys.readouterr()
            for found in (json.loads(printed.out), checkpoint.read_info(out)):
                assert (found["dataset"], found["dataset_digest"]) == used and found["trained_on"] == before
            kept = checkpoint.read_info(out)
            assert kept["steps"] == 3 and "trainer" not in kept and "trainer_id" not in kept
            assert (told or "") in printed.err and ("which data" in printed.err or "other data" in printed.err) == bool(
                told
            )
        shutil.rmtree(tmp_path / "source")


def test_a_search_keeps_checkpoints_of_its_own_data(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", True)
    run("search", "study=a", f"dataset.path={path}", "save=kept", *WORDS)
    digest = Text(path, context=4).load().digest
    folders = list(Path("kept").iterdir())
    assert len(folders) == 2 and all(checkpoint.read_info(folder)["dataset_digest"] == digest for folder in folders)
    write(tmp_path / "a.txt", False)
    with pytest.raises(ValueError, match=f"`save` must be .*dataset_digest '{digest}' instead of"):
        run("search", "study=b", f"dataset.path={path}", "save=kept", *WORDS)


def test_the_digest_does_not_depend_on_the_number_of_threads() -> None:
    """Of images as large as Fashion-MNIST's, whose sums by several threads differ in the last digit."""
    images = torch.randint(256, (3000, 784), generator=torch.Generator().manual_seed(6), dtype=torch.uint8)
    labels, valid = torch.arange(3000) % 10, torch.arange(3000) % 5 == 0
    before, found = torch.get_num_threads(), set()
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            found.add(standardized(images, labels, valid, 10, (1, 28, 28)).digest)
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int32])
def test_data_have_types_that_can_be_told_apart(dtype: torch.dtype) -> None:
    labels = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="`train_inputs` must be float32 or float64 or int64, got"):
        Data(torch.ones(2, 3, dtype=dtype), labels, torch.ones(2, 3), labels, 2)
    one, other = (Data(sign * torch.zeros(2, 3), labels, torch.ones(2, 3), labels, 2) for sign in (1, -1))
    assert one.digest == other.digest, "0 and -0 are one number"
