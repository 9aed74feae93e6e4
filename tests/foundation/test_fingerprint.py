"""Every measurement and training says which run made it and on what; what unlike processors made is said to be mixed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nasjac.cli import main
from nasjac.cli.show import as_text
from nasjac.foundation import fingerprint as module
from nasjac.foundation.fingerprint import fingerprint, processor
from nasjac.reporting.wording import mixed
from nasjac.searching import runs
from nasjac.store import Store
from nasjac.store.known import known_of
from nasjac.store.rows import RunRow
from tests.store.rows import filled, key_of, measurement, record, validation

INTEL = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel\t\t: 207\nmodel name\t: Some Processor @ 2 GHz\nstepping\t: 8\n"
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
OTHER = "torch 9.9; another processor; DEFAULT"


def test_the_fingerprint_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(module.INSTRUCTIONS, raising=False)
    version, name, instructions = fingerprint().split("; ")
    assert version == f"torch {torch.__version__}" and name == processor() and name
    assert instructions == torch.backends.cpu.get_cpu_capability()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert fingerprint("cpu") == "; ".join((version, name, instructions)), "whatever the number of threads"
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setenv(module.INSTRUCTIONS, "SSE4_2")
    assert fingerprint().endswith(f"{instructions}; {module.INSTRUCTIONS}=SSE4_2")


def test_the_fingerprint_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert fingerprint(torch.device("cuda", 1)) == f"torch {torch.__version__}; GPU 1; compute capability 9.0"


def test_the_processor_has_a_name_on_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(INTEL)
    assert processor(path) == "Some Processor @ 2 GHz"
    path.write_text(ARM)
    for said, machine in (("arm", "aarch64"), ("", "aarch64")):
        monkeypatch.setattr(module.platform, "processor", lambda said=said: said)
        monkeypatch.setattr(module.platform, "machine", lambda machine=machine: machine)
        assert processor(path) == processor(tmp_path / "none") == (said or machine)


def makers(store: Store, table: str) -> list[tuple[Any, ...]]:
    return store.select(f"SELECT DISTINCT run_id, fingerprint FROM {table} ORDER BY rowid").rows


def test_what_is_recorded_within_a_run_is_that_runs(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        store.record_validations([validation(1, 0.1, 0, 0.5)])
        for number, made_by in ((1, "a"), (2, "b")):
            assert store.begin_run(RunRow("search", study="k", fingerprint=made_by)) == number
            record(store, "k", number + 1, range(8 * number, 8 * number + 2))
            store.record_scored([], [measurement(1, status="failed"), measurement(2)], "apjn", "s2")
            store.record_validations([validation(1, 0.1, 1, 0.5), validation(2, 0.1, number, 0.5)])
            store.finish_run(number, "finished", {}, {})
        record(store, "k", 4, range(30, 31))
        assert makers(store, "measurement") == [(None, None), (1, "a"), (2, "b")]
        sql = "SELECT run_id, fingerprint FROM measurement WHERE architecture_key = :key"
        assert store.select(sql, {"key": key_of(30)}).rows == [(None, None)], "recorded after the runs"
        sql = "SELECT run_id, fingerprint FROM measurement WHERE score_id = 's2' ORDER BY architecture_key"
        assert store.select(sql).rows == [(2, "b"), (1, "a")], "the newest measurement, and the one that was kept"
        found = {(row.architecture_key, row.seed): (row.run_id, row.fingerprint) for row in store.validations()}
    one, two = key_of(1), key_of(2)
    assert found == {(one, 0): (None, None), (one, 1): (2, "b"), (two, 1): (1, "a"), (two, 2): (2, "b")}


def test_show_names_the_makers_and_says_what_is_mixed(tmp_path: Path) -> None:
    with filled(tmp_path / "x.db") as store:
        alone = as_text(known_of(store, key_of(5)))
        assert "  made by no stored run on an unknown processor" in alone and "unlike" not in alone
        number = store.begin_run(RunRow("search", study="k", fingerprint=OTHER))
        store.record_scored([], [measurement(5)], "apjn", "s2")
        store.record_validations([validation(5, 0.1, 0, 0.5)])
        record(store, "k", 2, range(8, 10))
        store.finish_run(number, "finished", {}, {})
        known = known_of(store, key_of(5))
        text = as_text(known)
    assert [(row["run_id"], row["fingerprint"]) for row in known.measurements] == [(None, None), (1, OTHER)]
    assert [(row["run_id"], row["fingerprint"]) for row in known.validations] == [(1, OTHER)]
    assert text.count(f"  made by run 1 on {OTHER}") == 2
    why = "whose values differ by rounding, about 1e-7."
    assert known.mixed == [
        f"The measurements of this architecture are by unlike processors or versions (1 by unknown, 1 by {OTHER}), {why}",
        f"The measurements of study k are by unlike processors or versions (8 by unknown, 2 by {OTHER}), {why}",
    ]
    assert text.endswith("\n".join(["", *known.mixed]))


def test_nothing_is_mixed_where_all_are_alike() -> None:
    assert mixed("The trainings", {}) is mixed("The trainings", {"a": 3}) is None
    assert "(3 by a, 1 by b)" in str(mixed("The trainings", {"a": 3, "b": 1}))


def test_a_study_goes_on_on_another_machine_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fingerprint is outside of every key: nothing is measured or trained again for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")

    def run(*words: str) -> Any:
        assert main([*words, "quiet=true", "format=json"]) == 0
        return json.loads(capsys.readouterr().out)

    small = ["study=k", "score=apjn", "score.rel_error=null", "search.batch=8", "space.depth_max=5", "space.widths=[8]"]
    small += ["validation.top=0", "validation.random=2", "validation.matched=0", "trainer.steps=2", "trainer.seeds=[0]"]
    small += ["trainer.learning_rates=[0.01]"]
    here = fingerprint()
    first = run("search", "budget.trials=8", *small)
    assert first["fingerprints"] == {"measurements": {here: 8}, "trainings": {here: 2}}
    score_id = first_id()
    elsewhere: Callable[[torch.device], str] = lambda device: OTHER  # noqa: E731
    monkeypatch.setattr(runs, "fingerprint", elsewhere)
    second = run("search", "budget.trials=16", *small)
    assert first_id() == score_id and second["fingerprints"]["measurements"] == {here: 8, OTHER: 8}
    assert second["fingerprints"]["trainings"] == {here: 2}, "what is trained already stays"
    run("train", second["picks"][0]["key"], "out=kept", "trainer.steps=3")
    third = run("report", "study=k")
    assert third["fingerprints"] == second["fingerprints"], "a training by another trainer is not shown, so not counted"
    with Store("nasjac.db", read_only=True) as store:
        assert {maker for maker in makers(store, "measurement")} == {(1, here), (2, OTHER)}
        assert set(makers(store, "validation")) == {(1, here), (3, OTHER)}
        assert store.select("SELECT verb, fingerprint FROM run").rows == [
            ("search", here), ("search", OTHER), ("train", OTHER),
        ]  # fmt: skip
    assert main(["report", "study=k", "quiet=true"]) == 0
    said = f"The measurements of this study are by unlike processors or versions (8 by {here}, 8 by {OTHER})"
    assert said in capsys.readouterr().out


def first_id() -> str:
    with Store("nasjac.db", read_only=True) as store:
        (score_id,) = {str(row.score_id) for row in store.trials("k")}
        return score_id
