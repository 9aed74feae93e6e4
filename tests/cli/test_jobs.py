"""How a command ends: exit codes of jobs in whatever process, and faults of our own code that stay faults."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from nasjac.cli import main
from tests.crafted.fuzzing import Outcome, call_forked

SMALL = ["quiet=true", "space.depth_max=5", "space.widths=[8]", "search.batch=4", "budget.trials=4", "score=meanfield"]
SMALL += ["budget.min_effective_depth=0.5", "validation.top=0", "validation.random=0", "validation.matched=0"]
EXCEPTIONS = [KeyError("planted"), TypeError("planted"), ValueError("planted"), ZeroDivisionError("planted")]
EXCEPTIONS += [RuntimeError("planted"), ImportError("planted"), UnicodeDecodeError("utf-8", b"", 0, 1, "planted")]
FUNCTIONS = ["nasjac.searching.search.knee_of", "nasjac.searching.report.report", "nasjac.searching.study.facts"]


def sweep(folder: Path, *words: str) -> Outcome:
    """A sweep whose jobs run in other processes."""

    def run() -> int:
        sys.path.insert(0, str(Path(__file__).parent))
        from hydra_plugins.forked_launcher import ForkedLauncher

        Plugins.instance().register(ForkedLauncher)  # where Hydra has looked for its plugins before
        target = "hydra_plugins.forked_launcher.ForkedLauncher"
        ConfigStore.instance().store(group="hydra/launcher", name="forked", node={"_target_": target})
        return main([words[0], "-m", *words[1:], "hydra/launcher=forked"])

    return call_forked(run, folder)


def test_a_job_that_fails_elsewhere_fails_the_sweep_and_the_others_run(tmp_path: Path) -> None:
    done = sweep(tmp_path, "theory", "depth=4,nope,6", "format=json", "out=null")
    assert done.code == 2 and done.fault is None
    assert done.out.count('"key"') == 2, "the jobs before and behind it have run"
    assert done.err.count("\n") == 1 and "`depth`" in done.err
    assert sweep(tmp_path, "theory", "depth=4,6", "quiet=true", "out=null").code == 0


def test_a_fault_in_a_job_elsewhere_shows_its_own_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasjac.cli.theory.theory", _raising(ZeroDivisionError("planted")))
    done = sweep(tmp_path, "theory", "depth=4,6", "out=null")
    assert done.code not in (0, 2) and done.fault == "traceback"
    assert "in _raise" in done.err and "ZeroDivisionError: planted" in done.err


def test_a_sweep_by_joblib_fails_with_its_job(tmp_path: Path) -> None:
    words = ["theory", "-m", "depth=4,nope", "out=null", "quiet=true", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert call_forked(lambda: main(words), tmp_path, 60).code == 2
    words[2] = "depth=4,6"
    assert call_forked(lambda: main(words), tmp_path, 60).code == 0


@pytest.mark.parametrize("error", EXCEPTIONS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_fault_of_ours_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: Exception
) -> None:
    monkeypatch.setattr(function, _raising(error))
    done = call_forked(lambda: main(["search", *SMALL]), tmp_path)
    assert done.code not in (0, 2) and done.fault == "traceback", done.err
    assert "in _raise" in done.err and type(error).__name__ in done.err


@pytest.mark.parametrize("error", EXCEPTIONS, ids=lambda error: type(error).__name__)
def test_a_fault_in_a_query_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr("nasjac.cli.query.answered", _raising(error))
    done = call_forked(lambda: main(["query", "SELECT 1"]), tmp_path)
    assert done.code not in (0, 2) and "in _raise" in done.err


def _raising(error: Exception) -> Callable[..., object]:
    def _raise(*words: object, **options: object) -> object:
        raise error

    return _raise
