"""The Python front door of a search: what it takes, what it returns, and that it is the shell's search."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest

import nasjac
from nasjac import Block, InputError, Spec
from nasjac.datasets import Digits
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.samplers import SAMPLERS
from nasjac.samplers.nsga2 import NSGAII
from nasjac.scores.apjn import Apjn
from nasjac.searching.job import SearchOptions
from nasjac.searching.objectives import Budget
from nasjac.searching.options import choose
from nasjac.searching.results import SearchResult
from nasjac.store import Store
from nasjac.trainers import SGD
from tests.cli.test_cli import Run, run  # noqa: F401

SPACE = ResidualMlpSpace(depth_max=5, widths=(8,), weight_gain_min=1)
SEARCHED: dict[str, Any] = {"score": "apjn", "sampler": "random", "search": {"batch": 8}, "quiet": True}
BUDGET = {"trials": 16, "min_effective_depth": 0.5}
#: the same on the shell
WORDS = ["search", "space.depth_max=5", "space.widths=[8]", "space.weight_gain_min=1", "score=apjn", "sampler=random"]
WORDS += ["search.batch=8", "budget.min_effective_depth=0.5", "quiet=true"]
NOTHING = [f"validation.{name}=0" for name in ("top", "random", "matched")]
BRIEF: dict[str, Any] = {"trainer": SGD(steps=2, seeds=(0,), learning_rates=(0.1,)), "quiet": True}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def searched(**options: Any) -> SearchResult:
    found = nasjac.search(SPACE, "digits", **{**SEARCHED, "budget": BUDGET, **options})
    assert isinstance(found, SearchResult)
    return found


def last_config(store: Store) -> Any:
    """The whole configuration of the last search."""
    return json.loads(store.select("SELECT config FROM run WHERE verb = 'search' ORDER BY run_id DESC LIMIT 1").rows[0][0])


def test_a_study_is_the_same_from_the_shell_and_from_python(run: Run) -> None:  # noqa: F811
    """Either resumes the other, in all its parts, and what it comes to is that of one unbroken search."""
    assert run(*WORDS, *NOTHING, "budget.trials=16")[0] == 0
    resumed = searched(budget={**BUDGET, "trials": 32})
    assert resumed.outcome.trials == 32 and resumed.outcome.fresh == 16
    assert run(*WORDS, *NOTHING, "budget.trials=48")[0] == 0
    whole = searched(budget={**BUDGET, "trials": 48}, database="whole.db")
    with Store("nasjac.db", read_only=True) as one, Store("whole.db", read_only=True) as other:
        assert one.studies() == other.studies() == [resumed.study]
        assert one.study(resumed.study).identity == other.study(whole.study).identity
        assert one.study(resumed.study).score_id == other.study(whole.study).score_id
        assert one.trials(resumed.study) == other.trials(whole.study)


OPTIONS: dict[str, tuple[Callable[[], dict[str, Any]], list[str]]] = {
    "defaults": (lambda: {}, []),
    "meanfield": (lambda: {"score": "meanfield"}, ["score=meanfield"]),
    "a whole number for any": (lambda: {"score": Apjn(rel_error=1)}, ["score=apjn", "score.rel_error=1"]),
    "a population": (
        lambda: {"sampler": partial(NSGAII, population_size=8)},
        ["sampler=nsga2", "sampler.population_size=8"],
    ),
    "tpe": (lambda: {"sampler": "tpe"}, ["sampler=tpe"]),
    "another sampler": (lambda: {"sampler": optuna.samplers.QMCSampler}, ["sampler=optuna.samplers.QMCSampler"]),
    "a sampler of one's own with options": (
        lambda: {"sampler": partial(optuna.samplers.QMCSampler, qmc_type="halton")},
        ["sampler=optuna.samplers.QMCSampler", "sampler.qmc_type=halton"],
    ),
    "resnet": (lambda: {"space": "resnet"}, ["space=resnet"]),
    "text": (lambda: {"space": "transformer_lm", "dataset": "text"}, ["space=transformer_lm"]),
    "mine": (lambda: {"space": "ours:Space"}, ["space=ours:Space"]),
    "mine with an option": (lambda: {"space": _ours().Space(3)}, ["space=ours:Space", "space.deepest=3"]),
    "a function of mine": (lambda: {"space": _ours().space}, ["space=ours:space"]),
    "a score of mine": (lambda: {"score": _ours().Score}, ["score=ours:Score"]),
    "objectives": (lambda: {"search": {"objectives": ["params"]}}, ["search.objectives=[params]"]),
    "seed": (lambda: {"seed": 7}, ["seed=7"]),
}
OURS = """
from dataclasses import dataclass
from nasjac import Block, Spec
from nasjac.scores.apjn import Apjn

@dataclass(frozen=True)
class Space:
    deepest: int = 2
    def __call__(self, trial):
        return Spec.of(width=8, blocks=(Block(),) * trial.suggest_int("depth", 1, self.deepest))

def space(trial):
    return Space()(trial)

@dataclass(frozen=True)
class Score(Apjn): ...
"""


def _ours() -> Any:
    import ours

    return ours


@pytest.mark.parametrize("case", OPTIONS)
def test_every_option_means_the_same_from_the_shell_and_from_python(run: Run, case: str) -> None:  # noqa: F811
    """What a study and its measurements are told apart by is the same."""
    Path("ours.py").write_text(OURS)
    made, words = OPTIONS[case]
    given = made()
    if case != "defaults" and "score" not in given:  # merit measures a population first
        given, words = {**given, "score": "meanfield"}, [*words, "score=meanfield"]
    small = ["search.batch=2", "budget.trials=2", "budget.min_effective_depth=0.1", *NOTHING, "quiet=true"]
    assert run("search", *words, *small, "study=k", "database=shell.db")[0] == 0
    options = {"space": "residual_mlp", "dataset": "digits", **given}
    options["search"] = {"batch": 2, **options.get("search", {})}
    nasjac.search(**options, study="k", database="python.db", budget={"trials": 2, "min_effective_depth": 0.1}, quiet=True)
    with Store("shell.db", read_only=True) as one, Store("python.db", read_only=True) as other:
        assert one.study("k").identity == other.study("k").identity
        assert one.study("k").score_id == other.study("k").score_id
        assert one.trials("k") == other.trials("k")
        first, second = (last_config(store) for store in (one, other))
        assert first and second
        parts = ("space", "score", "dataset", "sampler", "budget", "search", "seed", "choices")
        assert {part: first[part] for part in parts} == {part: second[part] for part in parts}


def test_a_result_is_a_door_to_the_study(here: Path) -> None:
    found = searched()
    best, front, frame = found.recommended, found.front, found.frame()
    assert (best is not None and best.spec.key == best.key and "sum" in best.why) or best is not None
    assert best.key in [point.key for point in front] and all(point.spec.key == point.key for point in front)
    costs = [point.objectives["trainability_cost"] for point in front]
    assert costs == sorted(costs) and list(frame.trainability_cost) == sorted(frame.trainability_cost)
    assert set(frame.key) >= {point.key for point in front}
    done = found.validate(**BRIEF, validation={"top": 1, "random": 1, "matched": 0})
    assert done.validation is not None and done.validation.trained + done.validation.reused == len(
        {key for key, _ in done.validation.picks}
    )
    assert "picks" in repr(done) and done.page is None and not Path("reports").exists()
    page = found.report(out="pages")
    assert page.files["report.html"].exists() and page.summary["study"] == found.study
    shown = repr(found)
    assert best.key in shown and "16 trials" in shown and ".validate()" in shown and "Search(" not in shown


def test_validation_and_report_come_with_the_search_where_they_are_asked_for(here: Path) -> None:
    found = searched(**{**BRIEF, "validation": {"top": 1, "random": 0, "matched": 0}, "out": "pages", "save": "kept"})
    assert found.validation is not None and found.validation.trained == 1
    assert found.page is not None and found.page.files["report.html"].exists() and len(list(Path("kept").iterdir())) == 1


def test_validate_of_another_session_finds_the_search_in_the_database(here: Path) -> None:
    study = searched().study
    done = nasjac.validate(study, **BRIEF, validation={"top": 0, "random": 2, "matched": 0})
    assert done.validation is not None and done.validation.trained == 2
    with pytest.raises(InputError, match="`space` must be left out or be that of study"):
        nasjac.validate(study, space="resnet", quiet=True)


@dataclass(frozen=True)
class Mine:
    deepest: int = 2

    def __call__(self, trial: Any) -> Spec:
        return Spec.of(width=8, blocks=(Block(),) * trial.suggest_int("depth", 1, self.deepest))


def test_what_is_ones_own_is_confirmed(here: Path) -> None:
    options: dict[str, Any] = {**SEARCHED, "budget": {"trials": 4, "min_effective_depth": 0.1}}
    study = nasjac.search(Mine(3), Digits(), **options).study
    with pytest.raises(InputError, match=r"whose stored search would run space=.*:Mine"):
        nasjac.validate(study, **BRIEF)
    few = {"top": 0, "random": 1, "matched": 0}
    done = nasjac.validate(study, space=Mine, **BRIEF, validation=few)
    assert done.validation is not None and done.validation.trained == 1
    with pytest.raises(InputError, match="deepest"):
        nasjac.search(Mine(4), Digits(), **options, study=study)


def test_a_spec_is_trained_and_stored(here: Path) -> None:
    spec = Spec.of(width=8, blocks=(Block(), Block()))
    done = nasjac.train(spec, Digits, **BRIEF, out="kept")
    assert done.best is not None and done.key == spec.key and done.folder == Path("kept") and "accuracy" in repr(done)
    again = nasjac.train(spec.key[:6], **BRIEF)
    assert again.best is not None and again.best.accuracy == done.best.accuracy and again.folder is None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "space": ({"space": "resnets"}, "`space` must be one of residual_mlp.*'resnets'"),
    "score": ({"score": "merits"}, "`score` must be one of merit.*'merits'"),
    "sampler": ({"sampler": "nsga"}, "`sampler` must be one of nsga2.*'nsga'"),
    "dataset": ({"dataset": "mnist"}, "`dataset` must be one of digits.*'mnist'"),
    "trainer": ({"trainer": "adam"}, "`trainer` must be one of adamw.*'adam'"),
    "no space": ({"space": None}, "`space` must be"),
    "budget": ({"budget": {"trails": 4}}, "`budget` must have no options but trials.*did you mean trials"),
    "a word": ({"budget": {"trials": "many"}}, "`budget.trials` must be of its type, got 'many'"),
    "a range": ({"budget": {"trials": 0}}, "`budget.trials` must be"),
    "no mapping": ({"budget": 64}, "`budget` must be a Budget or a mapping of its options, got 64"),
    "search": ({"search": {"objectives": ["merits"]}}, "`search.objectives` must be one of"),
    "warm": ({"warm": {"points": 16}}, "`warm` must come with search.warm_start"),
    "device": ({"device": "tpu"}, "`device` must be one of auto, cpu"),
    "a sampler's option": ({"sampler": partial(NSGAII, population_size=0.5)}, "`sampler.population_size`"),
    "an object for it": ({"sampler": partial(NSGAII, crossover=object())}, "`sampler.crossover` must be a plain value"),
    "no dataset": ({"dataset": Spec.of(width=8, blocks=())}, "`dataset` must be a dataset"),
    "a space that is none": ({"space": 3}, "`space` must be a space"),
    "the folder of reports": ({"out": "file/reports"}, "`out` must be"),
    "on_conflict": ({"on_conflict": "overwrite"}, "`on_conflict` must be one of resume, new, error"),
    "cold options": (
        {"search": {"warm_start": "kept"}},
        "`space` must be left out with search.warm_start",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_one_sentence_before_any_work(here: Path, case: str) -> None:
    options, pattern = REFUSED[case]
    Path("file").write_text("")
    given = {"space": SPACE, "dataset": "digits", **SEARCHED, **options}
    with pytest.raises(InputError, match=pattern):
        nasjac.search(**given)
    with_database = case == "on_conflict"
    assert with_database or not Path("nasjac.db").exists()


def test_options_are_their_dataclass_or_a_mapping(here: Path) -> None:
    one = searched(study="one", budget=Budget(trials=4, min_effective_depth=0.5), search=SearchOptions(batch=4))
    other = searched(study="two", budget={"trials": 4, "min_effective_depth": 0.5}, search={"batch": 4})
    assert one.job.identity == other.job.identity and one.job.budget == other.job.budget


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_by_name_is_the_one_by_its_class(name: str) -> None:
    one, other = choose("sampler", SAMPLERS[name]), choose("sampler", name)
    assert (one.name, one.options) == (other.name, other.options)


def test_a_search_runs_in_any_thread(here: Path) -> None:
    """Signals are the main thread's alone."""
    found = list[SearchResult]()
    thread = threading.Thread(target=lambda: found.append(searched()))
    thread.start()
    thread.join()
    assert found[0].outcome.trials == 16


def test_the_package_is_light_and_its_functions_are_functions() -> None:
    """Whatever else has been imported, and in whatever order."""
    code = (
        "import sys, nasjac\n"
        "heavy = {'torch', 'optuna', 'hydra', 'omegaconf', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import nasjac.searching.loop, nasjac.searching.train, nasjac.searching.validate, nasjac.searching.report\n"
        "for name in ('search', 'validate', 'report', 'train', 'measure', 'diagnose'):\n"
        "    assert callable(getattr(nasjac, name)) and not hasattr(getattr(nasjac, name), '__path__'), name\n"
        "    assert name in dir(nasjac) and name in nasjac.__all__\n"
        "heavy = {'hydra', 'omegaconf', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
