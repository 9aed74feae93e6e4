"""What is history and what may be taken again: the machine's failures, and measurements that racing stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nasjac.architecture.block import Block
from nasjac.architecture.measurement import OF_THE_MACHINE, Measurement, Status
from nasjac.architecture.spec import Spec
from nasjac.cli import main
from nasjac.kinds import common_probe
from nasjac.scores.apjn import Apjn
from nasjac.scores.merit import Merit
from nasjac.store import Store
from nasjac.store.rows import TrialRow
from tests.store.rows import architecture, filled, key_of, measurement, trial

NOTHING = [f"validation.{name}=0" for name in ("top", "random", "matched")]
#: few architectures, so that studies meet those of one another
NARROW = ["space.depth_min=1", "space.depth_max=3", "space.widths=[8]", "space.placements=[none,pre]"]
NARROW += ["space.skip_density_min=1", "space.prune_ratio_max=0", "space.weight_gain_max=0.7", "space.wiring_seeds=1"]
WORDS = ["quiet=true", "score=apjn", "score.rel_error=null", "search.batch=8", "budget.min_effective_depth=0", *NARROW]
Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command in an empty folder, which must succeed; it draws no report, which takes most of its time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")
    monkeypatch.setattr("nasjac.searching.report.report", lambda *_: SimpleNamespace(text="", summary={}))

    def call(*words: str) -> None:
        assert main(words) == 0, capsys.readouterr().err

    return call


class Machine:
    """A sampled score on a machine that cannot measure networks of more than one block while it is `short`."""

    def __init__(self) -> None:
        self.short: Status | None = None
        self.measured: Counter[str] = Counter()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made, call = Machine(), Apjn.race

    def limited(self: Apjn, specs: Sequence[Spec], *rest: Any, **named: Any) -> list[Measurement]:
        made.measured.update(spec.key for spec in specs)
        found = call(self, specs, *rest, **named)
        if made.short is None:
            return found
        lacking = Measurement("", made.short, "there is no memory for it", kept_key="")
        deep = [len(spec.blocks) > 1 for spec in specs]
        return [
            replace(lacking, key=item.key, kept_key=item.key) if is_deep else item
            for item, is_deep in zip(found, deep, strict=True)
        ]

    monkeypatch.setattr(Apjn, "race", limited)
    yield made


def statuses() -> Counter[str]:
    with Store("nasjac.db", read_only=True) as store:
        return Counter(dict(store.select("SELECT status, count(*) FROM measurement GROUP BY status").rows))


def trials(study: str) -> list[TrialRow]:
    with Store("nasjac.db", read_only=True) as store:
        return store.trials(study)


# What the machine decides


@pytest.mark.parametrize("status", sorted(OF_THE_MACHINE))
def test_a_study_with_more_memory_measures_what_another_could_not(run: Run, machine: Machine, status: Status) -> None:
    words = ["budget.trials=16", "sampler=random", *WORDS, *NOTHING]
    machine.short = status
    run("search", "study=poor", *words)
    lacking = {row.architecture_key for row in trials("poor") if row.status == status}
    assert lacking and statuses()[status] == len(lacking)
    assert all(row.state == "failed" and row.objectives == {} for row in trials("poor") if row.status == status)
    machine.short = None
    before = machine.measured.copy()
    run("search", "study=rich", *words)
    assert set(machine.measured - before) == lacking, "and nothing else is measured again"
    assert statuses() == {"ok": len(machine.measured)}, "the newest measurement replaces that of the machine"
    assert {row.state for row in trials("rich")} == {"complete", "duplicate"}
    assert {row.architecture_key for row in trials("rich") if row.state == "complete"} >= lacking
    with Store("nasjac.db", read_only=True) as store:
        keys = {row["key"] for row in store.select("SELECT key FROM leaderboard WHERE study = 'poor'").dicts()}
        assert not keys & lacking, "what the first study saw stays its history"


def test_a_resumed_study_with_more_memory_measures_again(run: Run, machine: Machine) -> None:
    words = ["study=k", "sampler=random", *WORDS, *NOTHING]
    machine.short = "out_of_memory"
    run("search", "budget.trials=16", *words)
    lacking = {row.architecture_key for row in trials("k") if row.status == "out_of_memory"}
    machine.short = None
    run("search", "budget.trials=48", *words)
    later = [row for row in trials("k")[16:] if row.architecture_key in lacking]
    assert {row.state for row in later} in ({"complete"}, {"complete", "duplicate"}), "some are proposed again"
    assert all(row.objectives for row in later)


def test_a_study_that_lacks_memory_ends_where_an_unbroken_one_ends(run: Run, machine: Machine) -> None:
    machine.short = "out_of_memory"
    ends = []
    for study, budgets in (("broken", (13, 40)), ("whole", (40,))):
        for budget in budgets:
            run("search", f"study={study}", f"budget.trials={budget}", *WORDS, *NOTHING)
        ends.append([replace(row, study="", score_id=None) for row in trials(study)])
        Path("nasjac.db").rename(f"{study}.db")
    assert ends[0] == ends[1] and sum(row.status == "out_of_memory" for row in ends[0]) > 1


def test_fresh_draws_are_measured_again_too(run: Run, machine: Machine) -> None:
    words = ["budget.trials=8", "sampler=random", *WORDS, "validation.top=0", "validation.random=3", "validation.matched=0"]
    words += ["trainer.steps=2", "trainer.seeds=[0]"]
    machine.short = "out_of_memory"
    run("search", "study=k", *words)
    machine.short = None
    run("validate", "study=k", "quiet=true", *words[-5:])
    with Store("nasjac.db", read_only=True) as store:
        found = store.measurements([key for key, _ in store.picks("k")], store.study("k").score_id)
    assert len(found) == 3 and {item.status for item in found.values()} == {"ok"}


def test_the_newest_measurement_replaces_one_of_the_machine_and_no_other(tmp_path: Path) -> None:
    def lacking(number: int, reason: str) -> Measurement:
        return Measurement(key_of(number), "out_of_memory", reason)

    with filled(tmp_path / "x.db") as store:
        store.record_scored([], [lacking(1, "late"), lacking(1, "late")], "apjn", "s1")
        assert store.measurements(None, "s1")[key_of(1)].status == "ok"
        for reason in ("first", "second"):
            store.record_scored([], [lacking(1, reason)], "apjn", "s2")
            assert store.measurements(None, "s2")[key_of(1)].reason == reason and store.reusable([key_of(1)], "s2") == {}
        store.record_scored([], [measurement(1), lacking(1, "beside it")], "apjn", "s2")
        assert store.measurements(None, "s2")[key_of(1)].status == "ok"
        store.record_scored([], [Measurement(key_of(2), "diverged", "inf")], "apjn", "s2")
        assert set(store.reusable([key_of(1), key_of(2)], "s2")) == {key_of(1), key_of(2)}, "to diverge is a property"


WHOLE, PATTERN = key_of(7), key_of(1)
#: measurements of one architecture that are history, and those that are not
DIRECT = {
    "good": measurement(1, draws=64),
    "diverged": Measurement(PATTERN, "diverged", "inf"),
    "lacking": Measurement(PATTERN, "out_of_memory", "none"),
    "failed": Measurement(PATTERN, "failed", "lost"),
    "raced": measurement(1, raced=True),
    "pattern": measurement(1, pattern_of=WHOLE),
    "lacking pattern": Measurement(PATTERN, "out_of_memory", "none", pattern_of=WHOLE),
    "diverged pattern": Measurement(PATTERN, "diverged", "inf", pattern_of=WHOLE),
    "another's pattern": measurement(1, pattern_of=key_of(6), draws=32),
}


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [
        ("pattern", "lacking", "pattern"),
        ("pattern", "failed", "pattern"),
        ("pattern", "raced", "pattern"),
        ("pattern", "lacking pattern", "pattern"),
        ("pattern", "diverged pattern", "pattern"),
        ("pattern", "another's pattern", "pattern"),
        ("raced", "lacking", "raced"),
        ("raced", "pattern", "raced"),
        ("diverged pattern", "lacking", "diverged pattern"),
        ("diverged pattern", "pattern", "pattern"),
        ("lacking pattern", "lacking", "lacking"),
        ("lacking", "pattern", "pattern"),
        ("lacking", "diverged pattern", "diverged pattern"),
        ("pattern", "good", "good"),
        ("pattern", "diverged", "diverged"),
        ("good", "pattern", "good"),
        ("good", "diverged", "good"),
        ("diverged", "pattern", "diverged"),
    ],
)
def test_what_replaces_what(tmp_path: Path, first: str, second: str, stays: str) -> None:
    """A figure that a study has is replaced by a measurement of the architecture itself alone; also within one batch."""
    one, two = DIRECT[first], DIRECT[second]
    with filled(tmp_path / "x.db") as store:
        store.record_scored([], [one], "apjn", "s2")
        store.record_scored([], [two], "apjn", "s2")
        store.record_scored([], [one, two], "apjn", "s3")
        for score_id in ("s2", "s3"):
            found, wanted = store.measurements(None, score_id)[PATTERN], DIRECT[stays]
            assert (found.status, found.pattern_of, found.raced, found.draws) == (
                wanted.status, wanted.pattern_of, wanted.raced, wanted.draws,
            )  # fmt: skip


def test_a_kept_pattern_keeps_its_figures_where_another_study_lacks_memory(tmp_path: Path) -> None:
    """The leaderboard of the first study said out_of_memory and no cost."""
    with filled(tmp_path / "x.db") as store:
        store.open_study("b", {"seed": 1}, "error", "s1")
        whole, pattern = measurement(9, kept_key=key_of(20)), measurement(20, pattern_of=key_of(9))
        rows = [architecture(9), architecture(20)]
        store.record_batch("k", 2, [trial(8, batch=2, architecture_key=key_of(9), kept_key=key_of(20))], rows,
            [whole, pattern], "apjn", "s1", {})  # fmt: skip
        failed = trial(0, "b", architecture_key=key_of(20), kept_key=None, state="failed", status="out_of_memory")
        lacking = Measurement(key_of(20), "out_of_memory", "there is no memory for it")
        store.record_batch("b", 0, [replace(failed, objectives={})], rows[1:], [lacking], "apjn", "s1", {})
        sql = "SELECT status, trainability_cost FROM leaderboard WHERE study = 'k' AND key = :key"
        assert store.select(sql, {"key": key_of(20)}).rows == [("ok", 20.125)]


# What depends on other architectures

RACING = ["quiet=true", "score=apjn", "search.racing=true", "score.rel_error=0.02", "score.max_draws=64", "search.batch=8"]
RACING += ["space.depth_min=1", "space.depth_max=3", "space.widths=[8]"]


def values(study: str) -> list[tuple[Any, ...]]:
    """What a study found, and how far it sampled what it measured."""
    sql = """SELECT number, t.state, t.architecture_key, objectives, draws, raced FROM trial AS t
        LEFT JOIN measurement AS m ON m.architecture_key = t.architecture_key AND m.score_id = t.score_id
        WHERE study = :study ORDER BY number"""
    with Store("nasjac.db", read_only=True) as store:
        return store.select(sql, {"study": study}).rows


def test_racing_studies_of_different_budgets_do_not_share_what_they_raced(run: Run) -> None:
    """Each is in one database what it is alone: how far a candidate is sampled is up to all that its study has met."""
    budgets = {"small": 0.5, "free": 0.1, "between": 0.3}
    words = ["sampler=random", "budget.trials=64", *RACING, *NOTHING]
    alone = {}
    for study, budget in budgets.items():
        run("search", f"study={study}", *words, f"budget.min_effective_depth={budget}")
        alone[study] = values(study)
        Path("nasjac.db").rename(f"{study}.db")
    for study, budget in budgets.items():
        run("search", f"study={study}", *words, f"budget.min_effective_depth={budget}")
    assert {study: values(study) for study in budgets} == alone
    raced = {row[2] for row in alone["small"] if row[-1]}
    assert raced & {row[2] for row in alone["free"]}, "there is something that they could have shared"


def test_a_racing_study_broken_inside_a_batch_ends_where_an_unbroken_one_ends(run: Run) -> None:
    ends = []
    for study, budgets in (("k", (13, 40)), ("k", (40,))):
        for budget in budgets:
            run("search", f"study={study}", f"budget.trials={budget}", "budget.min_effective_depth=0.1", *RACING, *NOTHING)
        ends.append(values(study))
        Path("nasjac.db").rename(f"{len(ends)}.db")
    assert ends[0] == ends[1] and any(row[-1] for row in ends[0])


def test_what_racing_stopped_or_an_ensemble_sampled_is_not_taken_again(tmp_path: Path) -> None:
    """Also of a database from before, where a raced row may stand under a key that other studies have."""
    with filled(tmp_path / "x.db") as store:
        numbers = {1: {"raced": True}, 2: {"pattern_of": key_of(3)}, 3: {}}
        store.record_scored([], [measurement(number, **changes) for number, changes in numbers.items()], "apjn", "s2")
        assert set(store.reusable([key_of(number) for number in range(8)], "s2")) == {key_of(3)}
        found = store.measurements(None, "s2")
        assert found[key_of(1)].raced and found[key_of(2)].pattern_of == key_of(3)
        store.record_scored([], [measurement(number, draws=64) for number in numbers], "apjn", "s2")
        assert {item.key: item.draws for item in store.measurements(None, "s2").values()} == {
            key_of(1): 64, key_of(2): 64, key_of(3): 16,
        }  # fmt: skip


def test_the_patterns_of_an_ensemble_are_measured_anew_where_they_are_proposed(run: Run) -> None:
    """In an ensemble they are sampled to the ensemble's precision, so that values depended on an earlier study."""
    words = ["sampler=random", "budget.trials=24", "score.rel_error=0.2", "score.max_draws=64", "score.patterns=3"]
    words = ["quiet=true", "score=apjn", "search.batch=8", "budget.min_effective_depth=0", *words, *NOTHING]
    small = [word for word in NARROW if "skip_density" not in word and "placements" not in word]
    small += [
        "space.placements=[none]",
        "space.activations=[relu]",
        "space.norms=[layernorm]",
        "space.branches=[two_matrix]",
    ]
    run("search", "study=alone", *words, *small)
    alone = values("alone")
    Path("nasjac.db").rename("alone.db")
    run("search", "study=ensembles", "space.skip_mode=ensemble", *words, *small)
    with Store("nasjac.db", read_only=True) as store:
        patterns = {key for (key,) in store.select("SELECT architecture_key FROM measurement WHERE pattern_of <> ''").rows}
    run("search", "study=alone", *words, *small)
    assert patterns & {row[2] for row in alone} and values("alone") == alone


CPU = torch.device("cpu")
POPULATION = [
    Spec.of(width=8, blocks=(Block(),) * depth, activation="relu", weight_gain=gain)
    for depth in (1, 2)
    for gain in (0.5, 0.7, 0.9, 1, 2)
]


def test_merit_without_memory_for_its_decorrelation_is_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was `ok` without a merit, which later studies took for what the architecture is worth."""
    spec, inputs = Spec.of(width=8, blocks=(Block(),) * 3), torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    score = Merit(rel_error=None).bind(POPULATION)
    [whole] = score.measure([spec], inputs, CPU)
    assert whole.status == "ok" and whole.terms["merit"].value is not None
    sampled = common_probe.sampled
    monkeypatch.setattr(common_probe, "sampled", lambda specs, *rest: ((n, None) for n, _ in sampled(specs, *rest)))
    [found] = score.measure([spec], inputs, CPU)
    assert found.status == "out_of_memory" and found.terms["merit"].value is None and not found.is_reusable
    with pytest.raises(
        ValueError, match=r"`score.reference` must be architectures that there is memory for, all 10 of them"
    ):
        Merit(rel_error=None).bind(POPULATION).measure([spec], inputs, CPU)
    assert np.isnan(Merit().decorrelations([spec], inputs, CPU)).all()
