"""A search around a checkpoint: its networks are those of grow and prune, its terms those of the weights; end to end."""

from __future__ import annotations

import csv
import json
import math
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
from nasjac.searching.objectives import Budget
from nasjac.searching.warm_search import WarmOptions, WarmSearch
from nasjac.searching.warm_space import WarmSpace
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.branches.ours import gated, measurable
from nasjac.surgery.compression import prune
from nasjac.surgery.growth import Beginning, grow
from nasjac.surgery.trained import Trained, profile
from tests.test_grow import CONTEXT, SPECS, Run, kept, run

__all__ = ["run"]
SMALL = ["budget.trials=12", "search.batch=6", "warm.points=16", "quiet=true", "format=json"]
BEGINNING = Beginning("small_gain", 0.1, 0)


def around(name: str, **options: Any) -> WarmSpace:
    spec = SPECS[name]
    data = Text(context=CONTEXT).load() if spec.takes_tokens else Digits().load()
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
    times = 2 if spec.is_transformer else 1
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
        calibrated = {f"blocks.{n}." for n in found.new} if spec.convolves else set()
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
    added = [p for p in (first, last) for _ in range(2 if old.spec.is_transformer else 1)]
    grown = grow(old.spec, old.module.state_dict(), added, space.beginning, *old.sizes)
    gone = [n + sum(p <= n for p in added) for n in (0, 2)]
    gates = torch.tensor([float(n not in gone) for n in range(len(grown.spec.blocks))])
    inputs, whole = old.data.valid_inputs[:8], grown.module(*old.sizes).eval()
    with gated(whole, gates):
        expected = whole(inputs)
    torch.testing.assert_close(found.module(*old.sizes).eval()(inputs), expected, rtol=1e-5, atol=1e-5)
    places = [n - sum(g < n for g in gone) for n in grown.new]
    assert list(found.new) == places and len(found.new) == len(added)


def test_the_identity_measures_what_the_checkpoint_is() -> None:
    space = around("mlp")
    search = job(space)
    row = search.measure({})
    alone = search.measurement("k", measurable(space.old.module))
    for term in ("trainability_cost", "mean_log", "sd_log", "log_rank", "log_decorrelation"):
        assert row[term] == alone.terms[term].value and row[f"{term}_error"] == alone.terms[term].standard_error
    assert row["growth_sum"] == 0 and row["flops"] == facts([space.old.spec])[0].flops
    diagnosed = profile(space.old.module, space.old.points(32), 0)
    assert diagnosed is not None
    [end] = [layer for layer in alone.profile if (layer.name, layer.direction) == ("h_4", "forward")]
    last = [layer for layer in diagnosed.layers if layer.direction == "forward"][-1]
    assert end.standard_error is not None
    assert end.mean_log == pytest.approx(last.mean_log, abs=3 * end.standard_error), "other probes at the same points"


def test_equal_blocks_pruned_are_equal_specs_and_different_networks() -> None:
    search = job(around("mlp"))
    second, third = search.measure({"keep_1": False}), search.measure({"keep_2": False})
    assert second["key"] == third["key"] and second["trainability_cost"] != third["trainability_cost"]
    assert second["effective_depth"] != third["effective_depth"]


def test_the_measured_growth_rule_is_a_bound() -> None:
    large = job(around("mlp", beginning=Beginning("small_gain", 1.0)))
    row = large.measure({"insert_2": 1, "insert_3": 1})
    assert row["state"] == "infeasible" and "ln τ = 0.6931" in row["reason"] and row["growth_sum"] > math.log(2)
    wider = replace(large, options=replace(large.options, tau=1e3))
    assert wider.measure({"insert_2": 1, "insert_3": 1})["state"] == "complete"


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
    assert not (tmp_path / "nasjac.db").exists()
    assert run(*words)[0] == 2, "nothing is overwritten"
    code, out, _ = run(*words, "out=again")
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
    "a study": (["search.warm_start=mlp", "study=k"], ["`study`", "search.warm_start"]),
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
    implicit = Spec(8, (Block(),) * 2, block="implicit", step=0.5)
    checkpoint.save("implicit", implicit, build(implicit, 64, 10).state_dict(), {"inputs": 64, "outputs": 10})
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, out, err = run("search", *words, "budget.trials=4", "quiet=true")
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert all(part in err for part in parts), err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
