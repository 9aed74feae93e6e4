"""A search around a checkpoint: its networks are those of grow and prune, its terms those of the weights; end to end."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from nasjac import Block, Spec, build
from nasjac.datasets import Digits, Text
from nasjac.kinds.facts import facts
from nasjac.searching.job import Verdict
from nasjac.searching.loop import NOTES
from nasjac.searching.objectives import Budget
from nasjac.searching.warm_search import Examined, WarmSearch
from nasjac.searching.warm_space import Choices, WarmOptions, WarmSpace
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.store.rows import TrialRow
from nasjac.surgery.branches.ours import measurable
from nasjac.surgery.compression import prune
from nasjac.surgery.growth import grow
from nasjac.surgery.insertion import Beginning
from nasjac.surgery.trained import Trained
from nasjac.surgery.written import profile
from tests.surgery.at_data import bare
from tests.surgery.test_grow import CONTEXT, SPECS, Run, kept, run

__all__ = ["run"]
SMALL = ["budget.trials=12", "search.batch=6", "warm.points=16", "quiet=true", "format=json"]
BEGINNING = Beginning("small_gain", 0.1, 0)


def around(name: str, **options: Any) -> WarmSpace:
    spec = SPECS[name]
    data = Text(context=CONTEXT).load() if spec.inputs.takes_ids else Digits().load()
    network = build(spec, data.inputs, data.outputs, torch.Generator().manual_seed(0))
    info = {"inputs": data.inputs, "outputs": data.outputs}
    return WarmSpace(Trained(spec.canonical, network.eval(), info, data), **{"beginning": BEGINNING, **options})


def job(space: WarmSpace, **options: Any) -> WarmSearch:
    return WarmSearch(space, partial(optuna.samplers.RandomSampler), Budget(trials=6), WarmOptions(points=32), **options)


@pytest.mark.parametrize("name", SPECS)
def test_choices_of_one_kind_give_the_networks_of_prune_and_grow(name: str) -> None:
    space = around(name)
    spec, state = space.old.spec, space.old.module.state_dict()
    place = space.places[0]
    times = 2 if (spec.tokens > 1) else 1
    expected = {
        "identity": ({}, spec, state),
        "pruned": ({"keep_1": False}, (smaller := prune(spec, state, [1])).spec, smaller.state),
        "grown": (
            {f"insert_{place}": 1},
            (deeper := grow(spec, state, [place] * times, BEGINNING, *space.old.sizes)).spec,
            deeper.state,
        ),
    }
    for choices, wanted, tensors in expected.values():
        found = space.network(choices)
        assert found.spec == wanted == space.spec(choices)
        calibrated = {f"blocks.{n}." for n in found.new} if (spec.kind in ("resnet", "densenet")) else set()
        assert found.state.keys() == tensors.keys()
        for key, tensor in found.state.items():
            own = key.startswith(tuple(calibrated)) and ("running" in key or "num_batches" in key)
            if not own:
                assert torch.equal(tensor, tensors[key]), key


@pytest.mark.parametrize("name", ["mlp", "decoder"])
@pytest.mark.parametrize("init", ["small_gain", "copy"])
def test_growing_and_pruning_at_once_is_the_grown_network_with_shut_gates(name: str, init: str) -> None:
    space = around(name, beginning=Beginning(init, 0.3))
    old, first, last = space.old, space.places[0], space.places[-1]
    choices = {f"insert_{first}": 1, f"insert_{last}": 1, "keep_0": False, "keep_2": False}
    found = space.network(choices)
    assert found.spec == space.spec(choices)
    added = [p for p in (first, last) for _ in range(2 if (old.spec.tokens > 1) else 1)]
    grown = grow(old.spec, old.module.state_dict(), added, space.beginning, *old.sizes)
    gone = [n + sum(p <= n for p in added) for n in (0, 2)]
    gates = torch.tensor([float(n not in gone) for n in range(len(grown.spec.blocks))])
    inputs, whole = old.data.valid_inputs[:8], grown.module(*old.sizes).eval()
    with bare(grown.spec, whole).gated(gates):
        expected = whole(inputs)
    torch.testing.assert_close(found.module(*old.sizes).eval()(inputs), expected, rtol=1e-5, atol=1e-5)
    places = [n - sum(g < n for g in gone) for n in grown.new]
    assert list(found.new) == places and len(found.new) == len(added)


def judged(search: WarmSearch, choices: Choices) -> tuple[Examined, Verdict]:
    """What a network is at the data, and what is said of it."""
    found = search.examine(choices)
    return found, search.verdict(choices, found)


def test_the_identity_measures_what_the_checkpoint_is() -> None:
    space = around("mlp")
    search = job(space)
    found, _ = judged(search, {})
    alone = search.measurement("k", measurable(space.old.module))
    assert found.measurement is not None and found.measurement.terms == alone.terms
    assert found.growth_sum == 0 and found.facts.flops == facts([space.old.spec])[0].flops
    diagnosed = profile(replace(space.old, at=32), 0)
    assert diagnosed is not None
    [end] = [layer for layer in alone.profile if (layer.name, layer.direction) == ("h_4", "forward")]
    last = [layer for layer in diagnosed.layers if layer.direction == "forward"][-1]
    assert end.standard_error is not None
    assert end.mean_log == pytest.approx(last.mean_log, abs=3 * end.standard_error), "other probes at the same points"


def test_equal_blocks_pruned_are_equal_specs_and_different_networks() -> None:
    search = job(around("mlp"))
    (second, of_second), (third, of_third) = judged(search, {"keep_1": False}), judged(search, {"keep_2": False})
    assert second.key == third.key and second.depth != third.depth
    assert of_second.objectives is not None and of_third.objectives is not None
    assert of_second.objectives["trainability_cost"] != of_third.objectives["trainability_cost"]
    assert of_second.score_id != of_third.score_id, "or the database would take one for the other"


def test_the_measured_growth_rule_is_a_bound() -> None:
    large = job(around("mlp", beginning=Beginning("small_gain", 1.0)))
    choices = {"insert_2": 1, "insert_3": 1}
    found, verdict = judged(large, choices)
    assert verdict.state == "infeasible" and "ln τ = 0.6931" in str(verdict.reason) and found.growth_sum > math.log(2)
    wider = replace(large, warm=replace(large.warm, tau=1e3))
    assert judged(wider, choices)[1].state == "complete"


@pytest.mark.parametrize("change", ["weights", "data", "points", "seed", "gain", "tau"])
def test_what_a_measurement_depends_on_is_in_its_digest(change: str) -> None:
    space = around("mlp")
    first, old = job(space), space.old
    with torch.no_grad():
        other = build(old.spec, *old.sizes, torch.Generator().manual_seed(1)).eval()
    changed = {
        "weights": job(replace(space, old=replace(old, module=other))),
        "data": job(replace(space, old=replace(old, data=replace(old.data, valid_inputs=old.data.valid_inputs + 1e-3)))),
        "points": replace(first, warm=replace(first.warm, points=64)),
        "seed": job(space, seed=1),
        "gain": replace(first, warm=replace(first.warm, gain=0.2)),
        "tau": replace(first, warm=replace(first.warm, tau=3.0)),
    }[change]
    assert changed.identity != first.identity
    assert (changed.score_id == first.score_id) == (change == "tau"), "tau bounds what is searched, and changes no value"


def test_end_to_end(run: Run, tmp_path: Path) -> None:
    source = kept("mlp", tmp_path)
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    words = ["search", "search.warm_start=mlp", *SMALL, "budget.max_flops=3000"]
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["trials"] == 12 == sum(found["states"].values())
    assert found["objectives"] == ["trainability_cost", "effective_depth"]
    best = found["recommended"]
    assert best["number"] in [row["number"] for row in found["front"]] and all(r["flops"] <= 3000 for r in found["front"])
    costs, depths = ([row[name] for row in found["front"]] for name in found["objectives"])
    assert costs == sorted(costs) and depths == sorted(depths), "along a front either one is paid for by the other"
    spec, _, info = checkpoint.load("mlp-searched")
    assert spec.key == best["key"] == info["key"] and info["accuracy"] == best["accuracy"]
    assert info["searched"]["pruned"] == best["pruned"]
    kept_blocks = 4 - len(best["pruned"]) + len(best["inserted"])
    assert len(spec.blocks) == kept_blocks and facts([spec])[0].flops == best["flops"]
    with (tmp_path / "mlp-searched" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and {row["state"] for row in rows} == set(found["states"])
    assert all((row["reason"] == "") == (row["state"] in ("complete", "duplicate")) for row in rows)
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    assert run(*words)[0] == 2, "nothing is overwritten"
    code, out, _ = run(*words, "out=again", "database=other.db")
    again = json.loads(out)
    assert [row["choices"] for row in again["front"]] == [row["choices"] for row in found["front"]], "one seed, one search"
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        tmp_path / "mlp-searched" / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("name", ["resnet", "decoder"])
def test_other_kinds(run: Run, tmp_path: Path, name: str) -> None:
    kept(name, tmp_path)
    words = [word for word in SMALL if not word.startswith(("quiet", "format"))]
    code, out, err = run("search", f"search.warm_start={name}", *words, "budget.trials=5", "warm.gain=0.02", "out=new")
    assert code == 0 and "before" in out and "Checkpoint: new" in out and "5/5" in err
    spec, _, _ = checkpoint.load("new")
    assert facts([spec])[0].flops <= facts([SPECS[name]])[0].flops


BAD: dict[str, tuple[list[str], list[str]]] = {
    "nowhere": (["search.warm_start=nowhere"], ["nowhere", "checkpoint"]),
    "a file": (["search.warm_start=mlp/model.safetensors"], ["`search.warm_start`", "folder", "the file"]),
    "dense": (["search.warm_start=dense"], ["densenet"]),
    "implicit": (["search.warm_start=implicit"], ["explicit", "implicit"]),
    "too few FLOPs": (["search.warm_start=mlp", "budget.max_flops=1000"], ["`budget.max_flops`", "at least 1024", "1000"]),
    "a space": (["search.warm_start=mlp", "space=resnet"], ["`space`", "search.warm_start"]),
    "an option of a space": (["search.warm_start=mlp", "space.depth_max=4"], ["`space.depth_max`", "search.warm_start"]),
    "a score": (["search.warm_start=mlp", "score.draws=32"], ["`score.draws`", "search.warm_start"]),
    "merit": (["search.warm_start=mlp", "search.objectives=[merit]"], ["`search.objectives`", "effective_depth", "merit"]),
    "racing": (["search.warm_start=mlp", "search.racing=true"], ["`search.racing`"]),
    "nonlinear depth": (
        ["search.warm_start=mlp", "search.objectives=[nonlinear_effective_depth]"],
        ["`search.objectives`", "effective_depth", "initialization"],
    ),
    "identity": (["search.warm_start=mlp", "warm.init=zero_last"], ["`warm.init`", "small_gain", "'zero_last'"]),
    "odd points": (["search.warm_start=mlp", "warm.points=17"], ["`warm.points`", "even", "17"]),
    "many points": (["search.warm_start=mlp", "warm.points=100000"], ["`warm.points`", "100000"]),
    "tau": (["search.warm_start=mlp", "warm.tau=1"], ["tau", "above 1"]),
    "insert": (["search.warm_start=mlp", "warm.insert=-1"], ["`warm.insert`", "-1"]),
    "without": (["warm.insert=2"], ["`warm.insert`", "search.warm_start"]),
    "other data": (["search.warm_start=mlp", "dataset=text"], ["`dataset`"]),
    "used folder": (["search.warm_start=mlp", "out=mlp"], ["`out`", "nothing is overwritten"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_nothing_is_written(run: Run, tmp_path: Path, case: str) -> None:
    words, parts = BAD[case]
    for name in ("mlp", "dense"):
        kept(name, tmp_path)
    implicit = Spec.of(width=8, blocks=(Block(),) * 2, block="implicit", step=0.5)
    checkpoint.save("implicit", implicit, build(implicit, 64, 10).state_dict(), {"inputs": 64, "outputs": 10})
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, out, err = run("search", *words, "budget.trials=4", "quiet=true")
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert all(part in err for part in parts), err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


AROUND = ["search", "search.warm_start=mlp", "study=around", "budget.trials=30", "search.batch=8", "warm.points=16"]
AROUND += ["warm.gain=0.6", "quiet=true", "format=json"]


def trials(path: str) -> list[TrialRow]:
    with Store(path, read_only=True) as store:
        return store.trials("around")


def without_times(name: str) -> list[dict[str, str]]:
    with Path(name, "trials.csv").open() as file:
        return [{column: value for column, value in row.items() if column != "seconds"} for row in csv.DictReader(file)]


def timeless(rows: list[TrialRow]) -> list[TrialRow]:
    def attributes(row: TrialRow) -> dict[str, Any]:
        notes = row.system_attrs.get(NOTES, {})
        return {**row.system_attrs, NOTES: {name: value for name, value in notes.items() if name != "seconds"}}

    return [replace(row, system_attrs=attributes(row)) for row in rows]


@pytest.mark.parametrize("measured", [3, 8, 13])
def test_a_search_that_was_stopped_goes_on_like_the_unbroken_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: int
) -> None:
    """Stopped after some networks, inside a batch or between two, it measures each of the others once."""
    kept("mlp", tmp_path)
    assert run(*AROUND, "out=whole", "database=whole.db")[0] == 0
    examined, examine = list[Any](), WarmSearch.examine

    def stopping(self: WarmSearch, choices: Choices) -> Examined:
        examined.append(tuple(sorted(choices.items())))
        if len(examined) == measured:
            os.kill(os.getpid(), signal.SIGTERM)
        return examine(self, choices)

    monkeypatch.setattr(WarmSearch, "examine", stopping)
    assert run(*AROUND, "out=broken", "database=broken.db")[0] == 128 + signal.SIGTERM
    assert not Path("broken").exists() and 0 < len(trials("broken.db")) < 30
    monkeypatch.setattr(WarmSearch, "examine", lambda self, choices: examined.append(
        tuple(sorted(choices.items()))) or examine(self, choices))  # fmt: skip
    code, out, _ = run(*AROUND, "out=broken", "database=broken.db")
    assert code == 0 and len(set(examined) - {()}) == len([one for one in examined if one]), "nothing is measured twice"
    assert timeless(trials("broken.db")) == timeless(trials("whole.db"))
    assert without_times("broken") == without_times("whole")
    assert Path("broken", "model.safetensors").read_bytes() == Path("whole", "model.safetensors").read_bytes()
    states = json.loads(out)["states"]
    assert {"complete", "duplicate", "infeasible"} <= set(states), "or the test is not about all of them"


def test_the_database_keeps_networks_of_one_key_apart(run: Run, tmp_path: Path) -> None:
    kept("mlp", tmp_path)
    _, out, _ = run(*AROUND, "out=new")
    found = json.loads(out)
    rows = [row for row in trials("nasjac.db") if row.state == "complete"]
    assert len({row.architecture_key for row in rows}) < len(rows), "or the test is about nothing"
    with Store("nasjac.db", read_only=True) as store:
        for row in rows:
            [item] = store.measurements([str(row.architecture_key)], str(row.score_id)).values()
            assert item.terms["trainability_cost"].value == row.objectives["trainability_cost"]
        assert len(store.select("SELECT * FROM measurement WHERE score = 'checkpoint'").rows) == len(rows)
        assert store.select("SELECT * FROM leaderboard").rows == [], "which is of architectures at initialization"
        study = store.study("around")
        assert study.recommended_key == found["recommended"]["key"]
        assert str(study.recommended_reason) == f"trial {found['recommended']['number']}: {found['reason']}"


@pytest.mark.parametrize("words", [["report"], ["validate"], ["query"]], ids=" ".join)
def test_what_is_of_architectures_alone_refuses_a_study_around_a_checkpoint(
    run: Run, tmp_path: Path, words: list[str]
) -> None:
    kept("mlp", tmp_path)
    assert run(*AROUND, "budget.trials=8", "out=new")[0] == 0
    code, out, err = run(*words, "study=around")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "at initialization" in err and "around a checkpoint" in err and "SELECT * FROM trial" in err


def test_another_checkpoint_is_another_study(run: Run, tmp_path: Path) -> None:
    kept("mlp", tmp_path)
    assert run(*AROUND, "budget.trials=8", "out=new")[0] == 0
    spec, module, info = checkpoint.load("mlp")
    state = module.state_dict()
    checkpoint.save("other", spec, {**state, "readout.bias": state["readout.bias"] + 1}, info)
    code, _, err = run(*[word.replace("=mlp", "=other") for word in AROUND], "out=newer")
    assert code == 2 and "checkpoint.weights is" in err and "on_conflict=new" in err
    assert run(*[word.replace("=mlp", "=other") for word in AROUND], "out=newer", "on_conflict=new")[0] == 0
