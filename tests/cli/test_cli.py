"""The command line as a user meets it: verbs, resuming, sweeps, experiments, and what is said of bad input."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.cli import PLAIN_VERBS, VERBS, main
from nasjac.scores.apjn import Apjn
from nasjac.store import Store
from nasjac.trainers import SGD

#: a search that takes a second or two
SMALL = [
    "quiet=true",
    "space.depth_max=6",
    "space.widths=[8]",
    "search.batch=8",
    "budget.min_effective_depth=0.5",
    "validation.top=2",
    "validation.random=1",
    "validation.matched=1",
    "trainer.steps=3",
]
CONF = Path(__file__).parents[2] / "conf"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")

    def call(*words: str) -> tuple[int, str, str]:
        code = main(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def trials(study: str = "k") -> list[tuple[object, ...]]:
    with Store("nasjac.db", read_only=True) as store:
        return [(row.number, row.batch, row.state, row.architecture_key, row.objectives) for row in store.trials(study)]


def test_search_validates_reports_and_answers_questions(run: Run) -> None:
    code, out, err = run("search", "study=k", "budget.trials=20", "format=json", *SMALL)
    assert code == 0 and err == ""
    summary = json.loads(out)
    assert summary["study"] == "k" and summary["trials"]["all"] == 20
    key = summary["recommended"]["key"]
    for name in ("report.html", "summary.json", "leaderboard.csv", "pareto.png", "cost_vs_accuracy.png", "profiles.png"):
        assert (Path("reports/k") / name).stat().st_size > 0
    code, out, _ = run("query", "--study", "k", "--where", "depth > 1", "--sort", "trainability_cost", "--format", "json")
    rows = json.loads(out)
    assert code == 0 and rows and rows == sorted(rows, key=lambda row: row["trainability_cost"])
    code, out, _ = run("query", "SELECT count(*) AS n FROM trial", "--format", "csv")
    assert (code, out.split()) == (0, ["n", "20"])
    code, out, _ = run("show", key[:8], "--format", "json")
    assert code == 0 and json.loads(out)["key"] == key
    code, out, _ = run("train", key, "out=kept", "trainer.steps=3", "quiet=true", "format=json")
    assert code == 0 and json.loads(out)["key"] == key and (Path("kept") / "model.safetensors").exists()
    sgd = ["trainer=sgd", "trainer.steps=3", "trainer.momentum=0"]
    code, out, _ = run("train", key, "out=kept_sgd", *sgd, "quiet=true", "format=json")
    assert code == 0 and json.loads(out)["learning_rate"] in SGD().learning_rates
    code, out, _ = run("report", "study=k", "out=again", "quiet=true")
    assert code == 0 and Path("again/k/report.html").exists() and key in out
    code, _, err = run("validate", "study=k", "quiet=true", "trainer.steps=3", "validation.top=3", "save=checkpoints")
    assert code == 0 and err == "" and len(list(Path("checkpoints").iterdir())) >= 3


def test_the_default_name_has_space_dataset_sampler_and_seed(run: Run) -> None:
    run("search", "budget.trials=8", "seed=3", "sampler=random", *SMALL, "validation.top=0", "validation.random=0")
    with Store("nasjac.db", read_only=True) as store:
        assert store.studies() == ["residual_mlp-digits-random-3"]


def test_a_longer_budget_goes_on_as_if_it_had_been_asked_for_at_once(run: Run, tmp_path: Path) -> None:
    """Also where the first one ended inside a batch."""
    nothing = ["validation.top=0", "validation.random=0", "validation.matched=0"]
    for budget in (13, 30):
        assert run("search", "study=k", f"budget.trials={budget}", *SMALL, *nothing)[0] == 0
    parts = trials()
    (tmp_path / "nasjac.db").rename("parts.db")
    run("search", "study=k", "budget.trials=30", *SMALL, *nothing)
    assert trials() == parts and len(parts) == 30


def test_nothing_is_scored_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not within a study, not in another one of the same score, not after an interruption."""
    scored: list[str] = []
    call = Apjn.race

    def counted(self: Apjn, specs: Sequence[Spec], *rest: Any) -> list[Measurement]:
        scored.extend(spec.key for spec in specs)
        return call(self, specs, *rest)

    monkeypatch.setattr(Apjn, "race", counted)
    nothing = ["validation.top=0", "validation.random=0", "validation.matched=0", "sampler=random"]
    narrow = ["space.wiring_seeds=1", "space.weight_gain_max=0.7", "space.skip_density_min=1", "space.prune_ratio_max=0"]
    for study, budget, seed in (("k", 13, 1), ("k", 24, 1), ("l", 24, 2)):
        words = [f"study={study}", f"budget.trials={budget}", f"seed={seed}"]
        assert run("search", *words, *SMALL, *nothing, *narrow)[0] == 0
    assert len(scored) == len(set(scored))
    found = {study: {row[3] for row in trials(study)} for study in "kl"}
    assert found["k"] & found["l"] and found["k"] != found["l"], "the second study met architectures of the first"


def test_an_ensemble_keeps_its_best_pattern(run: Run) -> None:
    words = ["experiment=ensemble", "study=k", "budget.trials=8", "score.patterns=3", "space.skip_density_max=0.9"]
    assert run("search", *words, *SMALL, "validation.random=3")[0] == 0
    with Store("nasjac.db", read_only=True) as store:
        rows = [row for row in store.trials("k") if row.state == "complete"]
        ensembles = [row for row in rows if row.kept_key != row.architecture_key]
        assert ensembles
        score_id = store.study("k").score_id
        for row in ensembles:
            spread = store.measurements([str(row.architecture_key)], score_id)[str(row.architecture_key)].terms
            assert spread["sd_log_patterns"].value is not None
            kept = store.measurements([str(row.kept_key)], score_id)[str(row.kept_key)]
            assert kept.status == "ok" and kept.profile
        picked = [key for key, _ in store.picks("k")]
        assert {row.architecture_key for row in store.validations()} == set(picked)
    assert run("validate", "study=k", "quiet=true", "trainer.steps=3", *SMALL[-4:-1], "validation.random=3")[0] == 0
    with Store("nasjac.db", read_only=True) as store:
        assert [key for key, _ in store.picks("k")] == picked, "the same draws again"
    assert run("search", *words, *SMALL, "budget.trials=24", "validation.random=3")[0] == 0, "it meets what was drawn"


@pytest.mark.parametrize("sweep", sorted(path.stem for path in (CONF / "sweep").glob("*.yaml")))
def test_sweeps(run: Run, sweep: str) -> None:
    """Each file is headed by its command, and does what it says."""
    first, second = (CONF / "sweep" / f"{sweep}.yaml").read_text().splitlines()[:2]
    assert first == "# @package _global_" and second.endswith(f"nasjac search sweep={sweep}")
    words = [word for word in SMALL if not word.startswith(("validation", "space.depth"))]
    nothing = ["validation.top=0", "validation.random=0", "validation.matched=0", "space.depth_max=4"]
    assert run("search", f"sweep={sweep}", "budget.trials=4", *words, *nothing)[0] == 0
    with Store("nasjac.db", read_only=True) as store:
        studies = store.studies()
    assert len(studies) == {"seeds": 5, "samplers": 12, "densities": 5, "placements": 5}[sweep]


@pytest.mark.parametrize("experiment", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
def test_experiments(run: Run, experiment: str) -> None:
    first, second = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()[:2]
    assert first == "# @package _global_" and second.endswith(f"nasjac search experiment={experiment}")
    words = ["budget.trials=6", "search.batch=3", "trainer.steps=2", "validation.top=1", "validation.random=1"]
    assert run("search", f"experiment={experiment}", *words, "validation.matched=0", "quiet=true")[0] == 0


def test_multirun_goes_on_after_a_job_that_is_wrong(run: Run) -> None:
    code, _, err = run("search", "-m", "budget.trials=0,8", *SMALL, "validation.top=0")
    assert code == 2 and "budget.trials" in err and len(trials("residual_mlp-digits-nsga2-0")) == 8


def test_options_of_one_s_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from nasjac import Block, Spec\n"
        "def space(trial):\n"
        "    return Spec.of(width=8, blocks=(Block(),) * trial.suggest_int('depth', 3, 5))\n"
        "@dataclass(frozen=True)\n"
        "class Space:\n"
        "    deepest: int = 4\n"
        "    def __call__(self, trial):\n"
        "        return Spec.of(width=8, blocks=(Block(),) * trial.suggest_int('depth', 3, self.deepest))\n"
    )
    nothing = ["quiet=true", "validation.top=0", "validation.random=0", "validation.matched=0", "budget.trials=8"]
    assert run("search", "space=mine:space", *nothing)[0] == 0
    assert run("search", "space=mine:Space", "space.deepest=6", "sampler=optuna.samplers.QMCSampler", *nothing)[0] == 0
    with Store("nasjac.db", read_only=True) as store:
        assert store.studies() == ["space-digits-nsga2-0", "Space-digits-optuna.samplers.QMCSampler-0"]
        assert {row.architecture_key for row in store.trials("space-digits-nsga2-0")} <= set(store.architectures())
    code, _, err = run("search", "space=mine:other", *nothing)
    assert code == 2 and "mine:other" in err


BAD = {
    "density outside [0, 1]": (["search", "space.skip_density_max=1.5"], ["skip_density", "[0, 1]", "1.5"]),
    "depth 0": (["search", "space.depth_min=0"], ["depth", "at least 1", "got 0"]),
    "unknown placement": (["search", "space.placements=[before]"], ["placements", "none, pre, post", "'before'"]),
    "linear is not sampled": (["search", "space.activations=[linear]"], ["activations", "relu, gelu, tanh", "'linear'"]),
    "width not a number": (["search", "space.widths=[wide]"], ["space.widths", "wide"]),
    "missing dataset": (
        ["search", "dataset=fashion_mnist", "dataset.root=/nowhere"],
        ["dataset.root", "train-images-idx3-ubyte", "/nowhere", "dataset-fashion-mnist"],
    ),
    "missing dataset of batches": (
        ["search", "dataset=cifar10", "dataset.root=/nowhere"],
        ["dataset.root", "data_batch_1, data_batch_2", "/nowhere", "CIFAR-10 python version"],
    ),
    "missing dataset of text": (["search", "dataset=text", "dataset.path=/nowhere"], ["dataset.path", "/nowhere"]),
    "dataset of tokens for an MLP": (["search", "dataset=text"], ["dataset", "features", "residual_mlp", "token ids"]),
    "no folder for the database": (["search", "database=/nowhere/x.db"], ["database", "folder", "/nowhere/x.db"]),
    "foreign file": (["search", "database=foreign.txt"], ["database", "foreign.txt"]),
    "budget 0": (["search", "budget.trials=0"], ["budget.trials", "greater than 0", "0"]),
    "negative validation": (["search", "validation.top=-1"], ["validation.top", "at least 0", "-1"]),
    "negative seed": (["search", "seed=-1"], ["seed", "-1"]),
    "unknown space": (["search", "space=nope"], ["space", "nope", "residual_mlp"]),
    "unknown sampler": (["search", "sampler=nope"], ["nope", "nsga2", "random", "tpe"]),
    "unknown option": (["search", "budget.trails=3"], ["trails", "trials", "max_params"]),
    "unknown objective": (["search", "search.objectives=[speed]"], ["search.objectives", "trainability_cost", "'speed'"]),
    "unknown device": (["search", "device=tpu"], ["device", "auto, cpu", "'tpu'"]),
    "unknown format": (["search", "format=xml"], ["format", "text, json", "'xml'"]),
    "conflict": (["search", "on_conflict=maybe"], ["on_conflict", "resume, new, error", "'maybe'"]),
    "few draws": (["search", "score.draws=4"], ["score.draws", "at least 16", "4"]),
    "unknown verb": (["serach"], ["search, design, validate", "'serach'"]),
    "no database": (["validate", "study=k"], ["database", "nasjac.db"]),
    "no study": (["validate", "database=there.db"], ["study"]),
    "no key": (["train", "out=x", "database=there.db"], ["key"]),
    "malformed where": (["query", "--where", "depth >", "--database", "there.db"], ["where", "depth >"]),
    "SQL that writes": (["query", "DELETE FROM run", "--database", "there.db"], ["SELECT", "DELETE FROM run"]),
    "two statements": (["query", "SELECT 1; SELECT 2", "--database", "there.db"], ["one", "SELECT 1; SELECT 2"]),
    "unknown column": (
        ["query", "--sort", "cost", "--database", "there.db"],
        ["`sort`", "'cost'", "nasjac query --schema"],
    ),
    "unknown key": (["show", "fff", "--database", "there.db"], ["key", "fff"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(run: Run, tmp_path: Path, case: str) -> None:
    words, parts = BAD[case]
    (tmp_path / "foreign.txt").write_text("not a database")
    Store(tmp_path / "there.db").close()
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = run(*words)
    assert code == 2 and out == ""
    assert err.count("\n") == 1 and "Traceback" not in err, err
    assert all(part in err for part in parts), err
    assert {name: (tmp_path / name).read_bytes() for name in files} == files, "nothing is lost"


def test_a_newer_schema_is_refused(run: Run, tmp_path: Path) -> None:
    import sqlite3

    Store("nasjac.db").close()
    with sqlite3.connect("nasjac.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    code, _, err = run("search", *SMALL)
    assert code == 2 and "99" in err and err.count("\n") == 1


def test_another_identity_is_refused_with_the_fields(run: Run) -> None:
    nothing = ["validation.top=0", "validation.random=0", "validation.matched=0", "budget.trials=8"]
    assert run("search", "study=k", *SMALL, *nothing)[0] == 0
    code, _, err = run("search", "study=k", *SMALL, *nothing, "seed=4", "space.depth_max=5")
    assert code == 2 and "seed" in err and "depth_max" in err and len(trials()) == 8
    assert run("search", "study=k", *SMALL, *nothing, "seed=4", "on_conflict=new")[0] == 0
    assert run("search", "study=k", *SMALL, *nothing, "on_conflict=error")[0] == 2
    with Store("nasjac.db", read_only=True) as store:
        assert store.studies() == ["k", "k-2"]


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "import sys; from nasjac.cli import main; sys.exit(main())", *words]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_a_batch_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    words = ["search", "study=k", "budget.trials=100000", *(word for word in SMALL if not word.startswith("quiet"))]
    process = subprocess.Popen(command(*words), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    wait_for_batches(tmp_path, 2)
    process.send_signal(number)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert "Go on with: nasjac search study=k budget.trials=100000" in err
    with Store(tmp_path / "nasjac.db", read_only=True) as store:
        rows = store.trials("k")
        status = store.select("SELECT status FROM run").rows
    assert len(rows) % 8 == 0 and len(rows) >= 16 and status == [("interrupted",)]


def test_kill_9_loses_at_most_the_batch_in_flight(tmp_path: Path, run: Run) -> None:
    nothing = ["validation.top=0", "validation.random=0", "validation.matched=0"]
    words = ["search", "study=k", "budget.trials=160", *SMALL, *nothing]
    for batches in (3, 9):
        process = subprocess.Popen(command(*words), cwd=tmp_path)
        wait_for_batches(tmp_path, batches)
        process.kill()
        process.wait()
    assert run(*words)[0] == 0
    broken = trials()
    Path("nasjac.db").rename("broken.db")
    assert run(*words)[0] == 0
    assert trials() == broken and len(broken) == 160


def wait_for_batches(folder: Path, count: int) -> None:
    """Until so many batches are stored."""
    for _ in range(600):
        if (folder / "nasjac.db").exists():
            try:
                with Store(folder / "nasjac.db", read_only=True) as store:
                    if store.select("SELECT count(*) FROM batch").rows[0][0] >= count:
                        return
            except ValueError:
                pass  # it is being made
        time.sleep(0.1)
    raise AssertionError("no batch in a minute")


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in PLAIN_VERBS])
def test_help_lists_groups_and_options(verb: str, tmp_path: Path) -> None:
    done = subprocess.run(command(verb, "--help"), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"nasjac {verb}")
    for word in {"search": ["nsga2", "residual_mlp", "trials: 2000", "weight_gain_max"], "train": ["steps"]}.get(verb, []):
        assert word in done.stdout
    assert not list(tmp_path.iterdir())


def test_plain_help_is_light(tmp_path: Path) -> None:
    """`nasjac --help` loads none of the large libraries."""
    code = "import sys; from nasjac.cli import main; main(['--help']); print([m for m in sys.modules if '.' not in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert "nasjac search" in done.stdout
    assert not {"torch", "optuna", "hydra", "pandas", "numpy"} & set(eval(done.stdout.splitlines()[-1]))


def test_a_reader_that_has_seen_enough_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`nasjac query ... | head`: the pipe is closed while there is more to write."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["query", "--schema"]) == 128 + signal.SIGPIPE
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["experiment=nope"], ["nope", "quick"]),
        (["search.objectives=[params,params]"], ["search.objectives", "different", "params, params"]),
        (["sampler=nsga2", "+sampler.nope=1"], ["sampler", "nope"]),
        (["sampler=optuna.samplers.GridSampler"], ["sampler", "search_space"]),
        (["space=os:sep"], ["space", "callable"]),
        (["study=.."], ["study", ".."]),
        (["budget.min_effective_depth=nan"], ["budget.min_effective_depth", "nan"]),
        (["space.weight_gain_max=inf"], ["weight_gain", "inf"]),
    ],
)
def test_what_is_wrong_shows_before_a_study_is_made(run: Run, words: list[str], parts: list[str]) -> None:
    code, out, err = run("search", "budget.trials=8", "quiet=true", *words)
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert all(part in err for part in parts), err
    if Path("nasjac.db").exists():
        with Store("nasjac.db", read_only=True) as store:
            assert store.studies() == []


def test_racing_stops_what_is_dominated_and_goes_on_as_unbroken(run: Run) -> None:
    """Raced measurements say so, belong to their study alone, and are dominated by what was known when they stopped."""
    nothing = [f"validation.{name}=0" for name in ("top", "random", "matched")]
    precise = ["score=apjn", "search.racing=true", "score.rel_error=0.02", "score.max_draws=64"]
    for budget in (24, 64):
        assert run("search", "study=broken", f"budget.trials={budget}", *precise, *SMALL, *nothing)[0] == 0
    assert run("search", "study=k", "budget.trials=64", *precise, *SMALL, *nothing)[0] == 0
    assert run("search", "study=free", "budget.trials=24", *precise, "search.racing=false", *SMALL, *nothing)[0] == 0
    names = [column[0] for column in trials("broken")]
    assert trials("broken") == trials("k") and len(names) == 64
    with Store("nasjac.db", read_only=True) as store:
        ids = {study: str(store.trials(study)[0].score_id) for study in ("k", "broken", "free")}
        assert len(set(ids.values())) == 3, "no study shares what another has raced"
        found = store.measurements(None, ids["k"])
        raced = {key for key, measurement in found.items() if measurement.raced}
        assert raced and all(found[key].draws < 64 and found[key].precision_reached is False for key in raced)
        assert not any(m.raced for m in store.measurements(None, ids["free"]).values())
        rows = store.trials("k")
    cost, depth = "trainability_cost", "nonlinear_effective_depth"
    for row in rows:
        if row.architecture_key in raced and row.objectives:
            before = [other.objectives for other in rows if other.batch < row.batch and other.objectives]
            assert any(o[depth] >= row.objectives[depth] and o[cost] < row.objectives[cost] for o in before)


def test_racing_wants_a_score_that_samples(run: Run) -> None:
    code, _, err = run("search", "search.racing=true", "score=meanfield", *SMALL)
    assert code == 2 and "`search.racing` must be false for a score that does not sample, got true with meanfield" in err
    code, _, err = run("search", "search.racing=true", *SMALL)
    assert code == 2 and "`search.racing` must be false unless trainability_cost is sampled and an objective" in err


def test_block_types_are_searched_validated_and_reported(run: Run) -> None:
    """Explicit, leaky and implicit blocks in one search; the database tells them apart."""
    types = ["space.block_types=[explicit,leaky,implicit]", "space.step_min=0.1", "space.step_max=0.4"]
    small = ["space.depth_min=2", "space.depth_max=3", "space.skip_density_min=0.9", "budget.min_effective_depth=0"]
    words = ["study=k", "score=apjn", "budget.trials=12", "score.rel_error=null", *SMALL, *small, *types]
    assert run("search", *words, "format=json")[0] == 0
    sql = "SELECT block, count(*) AS n, min(step) AS step, max(leak) AS leak FROM leaderboard GROUP BY block"
    code, out, _ = run("query", sql, "--format", "json")
    rows = {row["block"]: row for row in json.loads(out)}
    assert code == 0 and set(rows) == {"explicit", "leaky", "implicit"} and rows["explicit"]["leak"] == 0
    assert 0.1 <= rows["implicit"]["step"] <= 0.4
    assert rows["explicit"]["step"] == rows["leaky"]["step"] == 1, "their step is in the scales, and hD the leak"
    assert 0 < rows["leaky"]["leak"] <= 0.5 * 0.4
    code, out, _ = run("query", "--study", "k", "--where", "block='implicit'", "--format", "json")
    key = json.loads(out)[0]["key"]
    assert run("train", key, "out=kept", "trainer.steps=2", "quiet=true")[0] == 0
    assert run("validate", "study=k", "quiet=true", "trainer.steps=3", "validation.top=3")[0] == 0
    assert run("report", "study=k", "out=again", "quiet=true")[0] == 0
    code, _, err = run("theory", key, "quiet=true")
    assert code == 2 and "`block` must be one of explicit, leaky for a closed form, got 'implicit'" in err


def test_a_study_from_before_block_types_goes_on(run: Run) -> None:
    """Its identity does not name them, as that of a new one does not while they have their defaults."""
    assert run("search", "study=k", "budget.trials=8", *SMALL)[0] == 0
    with Store("nasjac.db", read_only=True) as store:
        space = store.study("k").identity["space"]
    assert "branch_scales" in space and not {"block_types", "step_min", "step_max", "leak_min", "leak_max"} & set(space)
    code, _, err = run("search", "study=k", "budget.trials=16", *SMALL, "space.block_types=[leaky]")
    assert code == 2 and "block_types is 'nothing', asked for ['leaky']" in err
    assert run("search", "study=k", "budget.trials=16", *SMALL)[0] == 0


def test_theory_of_a_leaky_chain(run: Run) -> None:
    """log 𝒥 = L log((1 − hD)² + h² χ), χ = 1/2 of relu; a leak too large is refused by its rule."""
    words = ["theory", "block=leaky", "leak=0.5", "step=0.5", "depth=8", "out=null", "format=json"]
    code, out, _ = run(*words)
    assert code == 0 and json.loads(out)["log_norm"] == pytest.approx(8 * math.log(0.75**2 + 0.25 / 2))
    code, _, err = run(*(w.replace("leak=0.5", "leak=2.0") for w in words))
    assert code == 2 and "`leak` must be below 1 / `step` in leaky blocks, 1 / 0.5, got 2.0" in err
