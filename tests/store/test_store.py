"""What is stored is what was given: whole batches, once, in one order; and the leaderboard says what the rows say."""

from __future__ import annotations

import json
import math
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from nasjac.architecture.block import Block
from nasjac.architecture.measurement import TERMS, Estimate, Layer
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.store import Store, database
from nasjac.store.rows import RunRow
from nasjac.store.schema import relations
from nasjac.store.typed import types
from tests.store.rows import architecture, filled, key_of, measurement, record, trial, validation


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        assert store.trials("k") == [trial(number, batch=number // 4, score_id="s1") for number in range(8)]
        assert store.architectures() == {key_of(number): architecture(number) for number in range(8)}
        assert list(store.architectures([key_of(5), "f" * 12])) == [key_of(5)]
        assert store.measurements([key_of(1)], "other score") == {}
        (found,) = store.measurements([key_of(1)], "s1").values()
        layers = (*measurement(1).profile[:2], Layer("h_0", "backward", None, None, None))  # not finite is None
        assert found == replace(measurement(1), profile=layers)
        assert store.measurements(None, "s1", profile=False)[key_of(1)] == replace(measurement(1), profile=())


def test_what_is_not_finite_or_not_there_is_null(tmp_path: Path) -> None:
    terms = {"log_mean": Estimate(-math.inf, math.nan), "mean_log": Estimate(1e-300, None)}
    with filled(tmp_path / "x.db") as store:
        store.record_scored([], [measurement(2, terms=terms, status="diverged", reason="inf")], "other", "s2")
        found = store.measurements(None, "s2")[key_of(2)]
        assert (found.status, found.reason) == ("diverged", "inf")
        assert found.terms == {term: Estimate(1e-300 if term == "mean_log" else None, None) for term in TERMS}
        store.record_batch(
            "k",
            2,
            [
                trial(
                    8,
                    batch=2,
                    state="failed",
                    kept_key=None,
                    architecture_key=None,
                    objectives={"a": math.inf},
                    system_attrs={"b": [math.nan, 1]},
                )
            ],
            [],
            [],
            "apjn",
            "s1",
            {},
        )
        assert store.trials("k")[-1].objectives == {"a": None}
        assert store.trials("k")[-1].system_attrs == {"b": [None, 1]}
        assert json.loads(store.select("SELECT objectives FROM trial WHERE number = 8").rows[0][0])


def test_profiles_keep_seven_digits(tmp_path: Path) -> None:
    generator = random.Random(0)
    values = [generator.gauss(0, 1) * 10.0 ** generator.randint(-30, 30) for _ in range(300)]
    profile = tuple(Layer(str(number), "forward", value, -value, 3.0) for number, value in enumerate(values))
    with filled(tmp_path / "x.db") as store:
        store.record_scored([], [measurement(2, profile=profile)], "other", "s2")
        found = store.measurements(None, "s2")[key_of(2)].profile
    assert [layer.name for layer in found] == [layer.name for layer in profile]
    assert all(isinstance(layer.standard_error, float) for layer in found)
    for layer, value in zip(found, values, strict=True):
        assert layer.log_mean == pytest.approx(value, rel=5e-7) and layer.mean_log == pytest.approx(-value, rel=5e-7)


def test_json_columns_are_those_the_schema_says() -> None:
    for relation in relations():
        if relation.kind == "table":
            declared = types(relation.name)
            said = {column.name for column in relation.columns if column.meaning.startswith("JSON")}
            assert said == {column.name for column in relation.columns if reads_json(declared[column.name])}


def reads_json(column: Any) -> bool:
    try:
        return isinstance(TypeAdapter(column).validate_python("{}"), Mapping)
    except ValidationError:
        return False


def test_the_text_of_a_spec_is_its_own_json(tmp_path: Path) -> None:
    spec = Spec.of(width=8, blocks=(Block(scale=0.5), Block(skip=0.0)), placement="pre", weight_gain=1.5).canonical
    with filled(tmp_path / "x.db") as store:
        store.record_scored([architecture(9, key=spec.key, spec=json.loads(spec.to_json()))], [], "apjn", "s1")
        text = store.select("SELECT spec FROM architecture WHERE key = :key", {"key": spec.key}).rows[0][0]
    assert text == spec.to_json()


# Batches


def test_a_batch_that_is_not_the_next_one_is_refused_whole(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        for batch in (0, 1, 3):
            with pytest.raises(ValueError, match=f"`study` must be written by one process .* 'k', whose batch {batch}"):
                record(store, "k", batch, range(20, 22))
        store.open_study("l", {}, "error", "s1")
        with pytest.raises(ValueError, match="`study` must be written by one process"):
            record(store, "l", 1, range(20, 22))
        assert len(store.trials("k")) == len(store.architectures()) == 8


def test_a_batch_that_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        trials = [trial(20, batch=2), trial(21, batch=2, architecture_key="0" * 11 + "x")]
        with pytest.raises(InputError, match=r"that SQLite can use, got .*x\.db': FOREIGN KEY constraint failed"):
            store.record_batch("k", 2, trials, [architecture(20)], [measurement(20)], "apjn", "s1", {})
        assert len(store.trials("k")) == len(store.architectures()) == len(store.measurements(None, "s1")) == 8


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        again = replace(measurement(1), draws=99)
        other = trial(8, batch=2, state="duplicate", architecture_key=key_of(1), kept_key=key_of(1))
        store.record_batch("k", 2, [other], [architecture(1)], [again, again], "apjn", "s1", {})
        assert store.measurements([key_of(1)], "s1")[key_of(1)].draws == 16
        store.record_scored([], [again, again], "apjn", "s2")
        assert store.measurements([key_of(1)], "s2")[key_of(1)].draws == 99


def test_a_key_stands_for_one_spec(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        store.record_scored([architecture(1, depth=7)], [], "apjn", "s1")  # the same spec: stays as it is
        assert store.architectures([key_of(1)])[key_of(1)].depth == 3
        with pytest.raises(ValueError, match=f"`spec` must be the one stored under its key {key_of(1)}, .*got .*9"):
            store.record_scored([architecture(1, spec={"width": 9, "blocks": []})], [], "apjn", "s1")


_WRITER = """
import sys
sys.path[:0] = {path!r}
from tests.store.rows import record
from nasjac.store import Store
with Store({database!r}) as store:
    store.open_study("k", {{}}, "resume", "s1")
    trials = store.trials("k")
    for batch in range(len(trials) // 16, 10_000):
        record(store, "k", batch, range(16 * batch, 16 * batch + 16))
        print(batch, flush=True)
"""


def test_a_killed_process_leaves_whole_batches_and_can_go_on(tmp_path: Path) -> None:
    script = _WRITER.format(path=sys.path, database=str(tmp_path / "x.db"))
    generator = random.Random(0)
    stored = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        told = int(process.stdout.readline())
        time.sleep(generator.uniform(0, 0.1))
        os.kill(process.pid, signal.SIGKILL)
        told = max([told, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
        process.wait()
        process.stdout.close()
        with Store(tmp_path / "x.db") as store:
            numbers = [row.number for row in store.trials("k")]
            assert numbers == list(range(len(numbers))) and len(numbers) % 16 == 0
            assert len(numbers) >= 16 * (told + 1) > stored
            assert len(store.architectures()) == len(store.measurements(None, "s1", profile=False)) == len(numbers)
            stored = len(numbers)


def test_writers_wait_for_one_another(tmp_path: Path) -> None:
    filled(tmp_path / "x.db").close()
    blocker = sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False)
    with Store(tmp_path / "x.db") as store:
        blocker.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.4, blocker.execute, ["COMMIT"])
        release.start()
        begun = time.monotonic()
        record(store, "k", 2, range(8, 12))
        assert time.monotonic() - begun > 0.3
        release.join()
    blocker.close()


def test_a_writer_that_waited_in_vain_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "x.db").close()
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    blocker = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    with Store(tmp_path / "x.db") as store:
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(ValueError, match=r"`database` must take writes, got .*x\.db': database is locked"):
            record(store, "k", 2, range(8, 12))
        blocker.execute("COMMIT")
        record(store, "k", 2, range(8, 12))
    with Store(tmp_path / "x.db", read_only=True) as store, pytest.raises(ValueError, match="must take writes"):
        store.recommend("k", key_of(1), "none")
    blocker.close()


def test_a_reader_sees_whole_batches_while_another_writes(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as writer, Store(tmp_path / "x.db", read_only=True) as reader:
        writer._connection.execute("BEGIN IMMEDIATE")
        writer._connection.execute("DELETE FROM trial")
        assert len(reader.trials("k")) == 8
        writer._connection.execute("ROLLBACK")
        record(writer, "k", 2, range(8, 12))
        assert len(reader.trials("k")) == 12


# Studies


def test_opening_a_study(tmp_path: Path) -> None:
    identity = {"space": {"name": "residual_mlp", "widths": (32, 64)}, "seed": 0}
    with Store(tmp_path / "x.db") as store:
        assert store.open_study("k", identity, "resume", "s1") == "k"
        assert store.open_study("k", {**identity}, "resume", "s2") == "k"
        assert [store.open_study("k", identity, "new", "s1") for _ in range(2)] == ["k-2", "k-3"]
        assert store.open_study("l", identity, "new", "s1") == "l"
        assert store.studies() == ["k", "k-2", "k-3", "l"]
        with pytest.raises(ValueError, match="on_conflict=error, got 'k', which exists"):
            store.open_study("k", identity, "error", "s1")
        with pytest.raises(ValueError, match="`on_conflict` must be one of resume, new, error, got 'merge'"):
            store.open_study("k", identity, "merge", "s1")  # type: ignore[arg-type]


def test_resuming_another_study_names_what_differs(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        store.open_study("k", {"space": {"name": "mlp", "depth": 4}, "seed": 0, "old": 1}, "error", "s1")
        with pytest.raises(ValueError) as error:
            store.open_study("k", {"space": {"name": "mlp", "depth": 8}, "seed": 0, "new": 2}, "resume", "s1")
        sentence = str(error.value)
        assert "space.depth is 4, asked for 8; old is 1, asked for 'nothing'; new is 'nothing', asked for 2" in sentence
        assert "seed" not in sentence and "name" not in sentence.replace("same", "")


def test_a_study_knows_its_dataset_and_its_recommendation(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        store.open_study("l", {"dataset": {"name": "fashion_mnist"}}, "error", "s1")
        assert store.study("k").dataset == "digits" and store.study("l").dataset == "fashion_mnist"
        assert store.study("k").recommended_key is None
        store.recommend("k", key_of(3), "the knee")
        assert (store.study("k").recommended_key, store.study("k").recommended_reason) == (key_of(3), "the knee")
        for ask in (store.study, store.trials, store.picks):
            with pytest.raises(ValueError, match="`study` must be one of k, l, got 'm'"):
                ask("m")


def test_runs(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        first, second = (store.begin_run(RunRow("search", study="k", config={"seed": 1})) for _ in range(2))
        store.finish_run(second, "done", {"score": 1.5}, {"trials": 3})
        rows = store.select("SELECT run_id, status, finished IS NULL, timings, notes, config FROM run").rows
    assert rows == [
        (first, "running", 1, "{}", "{}", '{"seed":1}'),
        (second, "done", 0, '{"score":1.5}', '{"trials":3}', '{"seed":1}'),
    ]


def test_resolving_keys(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        store.record_scored([architecture(0, key=key) for key in ("abc000000000", "abd000000000")], [], "apjn", "s1")
        assert store.resolve_key("abc") == store.resolve_key("ABC") == "abc000000000"
        for prefix in ("ab", ""):
            with pytest.raises(ValueError, match="2 keys start with it: abc000000000, abd000000000"):
                store.resolve_key(prefix)
        for prefix in ("b", "%", "a_c"):
            with pytest.raises(ValueError, match=f"got '{prefix}': no key starts with it"):
                store.resolve_key(prefix)


# Validations and the leaderboard


def test_validations(tmp_path: Path) -> None:
    rows = [
        validation(1, 0.1, 0, 0.5, created="t"),
        validation(1, 0.1, 1, None, created="t"),
        validation(2, 0.1, 0, 0.5, dataset="other", dataset_digest="d2", trainer_id="t2", created="t"),
    ]
    with filled(tmp_path / "x.db") as store:
        store.record_validations(rows)
        assert store.validations() == rows
        assert store.validations(keys=[key_of(1)]) == store.validations(dataset_digest="d1") == rows[:2]
        assert store.validations(trainer_id="t2", dataset_digest="d2") == rows[2:]
        assert store.validations(keys=[]) == store.validations(trainer_id="t2", dataset_digest="d1") == []
        store.record_validations([replace(rows[0], accuracy=0.75)])
        assert sorted(row.accuracy or 0 for row in store.validations(keys=[key_of(1)])) == [0, 0.75]
        store.record_picks("k", [(key_of(2), "front"), (key_of(1), "random")])
        store.record_picks("k", [(key_of(2), "front"), (key_of(2), "matched")])
        assert store.picks("k") == [(key_of(2), "front"), (key_of(2), "matched")], "the later choice replaces"


def test_the_leaderboard_is_in_order_of_cost_nulls_last(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        numbers = {9: Estimate(0.5, 0.1), 10: Estimate(None, None)}
        store.record_batch(
            "k",
            2,
            [trial(number, batch=2) for number in numbers],
            [architecture(number) for number in numbers],
            [measurement(number, terms={"trainability_cost": cost}) for number, cost in numbers.items()],
            "apjn",
            "s1",
            {},
        )
        rows = store.select("SELECT * FROM leaderboard").dicts()
    assert [row["number"] for row in rows] == [0, 9, 1, 2, 3, 4, 5, 6, 7, 10]
    assert rows[2]["trainability_cost"] == 1.125 and rows[2]["log_mean_se"] == 0.25 and rows[2]["placement"] == "pre"
    assert rows[-1]["trainability_cost"] is None


def test_the_leaderboard_has_one_row_per_study_and_kept_architecture(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        ensembles = [trial(8, batch=2, kept_key=key_of(1)), trial(9, batch=2, kept_key=key_of(10))]
        repeat = trial(11, batch=2, state="duplicate", architecture_key=key_of(2), kept_key=key_of(2))
        others = [trial(10, batch=2, kept_key=key_of(10)), repeat]
        store.record_batch(
            "k",
            2,
            [*ensembles, *others],
            [architecture(number) for number in range(8, 12)],
            [measurement(number) for number in range(8, 12)],
            "apjn",
            "s1",
            {},
        )
        store.open_study("l", {}, "error", "s2")
        store.record_batch("l", 0, [trial(1, study="l")], [], [measurement(1, draws=32)], "apjn", "s2", {})
        rows = store.select("SELECT study, number, key, trainability_cost, draws FROM leaderboard").dicts()
    of_k = {row["number"]: row for row in rows if row["study"] == "k"}
    assert sorted(of_k) == [*range(8), 9]  # trial 8 kept what trial 1 had, trial 10 what trial 9 had
    assert of_k[9]["key"] == key_of(10) and of_k[9]["trainability_cost"] == 10.125  # the kept pattern's own
    assert [row["draws"] for row in rows if row["study"] == "l"] == [32]  # its own score's measurement


def test_the_leaderboard_shows_the_best_learning_rate_on_the_studys_dataset(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        store.record_validations(
            [
                *(validation(1, 0.1, seed, accuracy) for seed, accuracy in enumerate([0.9, None, 0.5])),  # mean 0.7
                *(validation(1, 0.2, seed, accuracy) for seed, accuracy in enumerate([0.75, 0.75, 0.75])),
                validation(1, 0.3, 0, None),
                validation(1, 0.4, 0, 1.0, dataset="fashion_mnist", dataset_digest="d2"),
                *(validation(2, 0.1, seed, None) for seed in range(2)),
                validation(3, 0.1, 0, 1.0, dataset_digest="d2"),  # another file of the same name
            ]
        )
        names = ", ".join(f"validation_{name}" for name in ("accuracy", "loss", "learning_rate", "status"))
        rows = store.select(f"SELECT {names} FROM leaderboard WHERE number < 4 ORDER BY number").rows
    assert rows == [(None,) * 4, (0.75, 0.25, 0.2, "ok"), (None, None, 0.1, "diverged"), (None,) * 4]


def test_the_leaderboard_looks_up_what_it_joins(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        plan = "\n".join(row[3] for row in store.select("EXPLAIN QUERY PLAN SELECT * FROM leaderboard").rows)
    for table in ("m", "a", "e", "o", "v", "r", "u"):  # all but the trials and their study
        assert re.search(rf"SEARCH (TABLE \w+ AS )?{table} USING", plan)


def test_frames(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        store.open_study("l", {}, "error", "s1")
        record(store, "l", 0, range(2))
        board = store.frame("leaderboard")
        assert len(board) == 10 and board["trainability_cost"].dtype == float and board["number"].dtype == int
        assert list(store.frame("leaderboard", study="l")["number"]) == [0, 1]
        assert list(store.frame("architecture")["key"]) == [key_of(number) for number in range(8)]
        answer = store.query("SELECT key FROM architecture WHERE params = :sql + :name", sql=100, name=3)
        assert list(answer["key"]) == [key_of(3)]
        with pytest.raises(ValueError, match=r"one of run, .*, got 'leaderbord'; did you mean leaderboard\?"):
            store.frame("leaderbord")
        with pytest.raises(ValueError, match=r"`name` must be one of run, trial, .*, got 'architecture'"):
            store.frame("architecture", study="k")
        with pytest.raises(ValueError, match="`study` must be one of k, l, got 'm'"):
            store.frame("leaderboard", study="m")


def test_a_list_of_keys_may_be_of_any_length(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        keys = [key_of(number) for number in range(300_000)]
        assert len(store.architectures(keys)) == len(store.measurements(keys, "s1")) == 8
