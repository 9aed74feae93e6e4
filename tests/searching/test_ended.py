"""Samplers that end a search themselves, and options and spaces that a sampler refuses."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
import optuna
import pytest

from nasjac.architecture.block import Block
from nasjac.architecture.space import Trial
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.samplers.nsga2 import NSGAII
from nasjac.samplers.options import check_sampler
from nasjac.samplers.refusals import refusals_of_sampler
from nasjac.searching.objectives import Budget, directions
from nasjac.searching.study import Study
from nasjac.store import Store
from nasjac.store.rows import TrialRow
from tests.cli.test_cli import Run, run  # noqa: F401

samplers = optuna.samplers
#: a search without validation
PLAIN = ["search", "study=k", "score=meanfield", "validation.top=0", "validation.random=0", "validation.matched=0"]
PLAIN += ["budget.min_effective_depth=0.1", "search.batch=4", "budget.trials=100"]
#: a residual MLP of which depth and width alone are chosen
FIXED = ["space.placements=[pre]", "space.norms=[layernorm]", "space.activations=[relu]", "space.branches=[two_matrix]"]
FIXED += ["space.weight_gain_min=1", "space.weight_gain_max=1", "space.skip_density_min=1", "space.skip_density_max=1"]
FIXED += ["space.wiring_seeds=1", "space.prune_ratio_max=0", "space.prune_criteria=[random]", "space.branch_scales=[one]"]
FIXED += [
    "space.widths=[8,16]",
    "space.depth_min=2",
    "space.depth_max=4",
    "budget.min_effective_depth=0.1",
    "search.batch=4",
]
GRID = ["sampler=optuna.samplers.GridSampler", "sampler.search_space={depth:[2,4],width:[8,16]}"]
BRUTE = ["sampler=optuna.samplers.BruteForceSampler"]
#: a space without real numbers, as the sampler by brute force wants it
MINE = """
from nasjac import Block, Spec

def space(trial):
    return Spec.of(width=trial.suggest_categorical("width", [8, 16]), blocks=(Block(),) * trial.suggest_int("depth", 2, 4))
"""


def stored() -> list[tuple[int, object]]:
    with Store("nasjac.db", read_only=True) as store:
        return [(row.number, row.architecture_key) for row in store.trials("k")]


@pytest.mark.parametrize(
    ("sampler", "different"), [([*FIXED, *GRID], 4), ([*BRUTE, "space=ended_space:space"], 6)], ids=["grid", "brute force"]
)
def test_a_sampler_ends_the_search_with_everything_stored(
    run: Run,  # noqa: F811
    sampler: list[str],
    different: int,
) -> None:
    Path("ended_space.py").write_text(MINE)
    words = [*PLAIN, *sampler]
    code, out, err = run(*words)
    rows = stored()
    assert code == 0 and "Recommended" in out and "Traceback" not in err
    assert len({key for _, key in rows}) == different and len(rows) % 4 == 0, "the batch in flight is stored, too"
    assert f"the sampler has ended the search after {len(rows)} trials" in err
    assert Path("reports/k/report.html").exists()
    code, _, err = run(*words)
    assert code == 0 and stored() == rows, "going on does nothing more"
    assert f"ended the search after {len(rows)} trials" in err


WRONG = {
    "no grid": (GRID[:1], ["sampler", "search_space"]),
    "not all choices": ([GRID[0], "sampler.search_space={depth:[2]}"], ["`sampler`", "width", "grid"]),
    "a depth that the space does not have": (
        [GRID[0], "sampler.search_space={depth:[2,9],width:[8]}"],
        ["`sampler.search_space`", "`depth`", "[2, 4]", "got 9"],
    ),
    "a width that the space does not have": (
        [GRID[0], "sampler.search_space={depth:[2],width:[8,12]}"],
        ["`sampler`", "12", "8, 16"],
    ),
    "a wrong name": ([GRID[0], "sampler.search_space={depth:[2],widht:[8]}"], ["`sampler`", "width", "grid"]),
    "options without names": (
        ["sampler=optuna.samplers.RandomSampler", "+sampler._args_=[1]"],
        ["`sampler._args_`", "[1]"],
    ),
    "an empty list": ([GRID[0], "sampler.search_space={depth:[],width:[8]}"], ["lists", "'depth'"]),
    "no list": ([GRID[0], "sampler.search_space={depth:3,width:[8]}"], ["lists", "got 3"]),
    "no mapping": ([GRID[0], "sampler.search_space=[1]"], ["map choices", "[1]"]),
    "a mapping inside": ([GRID[0], "sampler.search_space={depth:[{a:1}],width:[8]}"], ["numbers, names", "'a': 1"]),
    "too many": (
        [GRID[0], f"sampler.search_space={{depth:[{'2,' * 1000}2],width:[{'8,' * 1000}8]}}"],
        ["at most 1000000 combinations", "1002001"],
    ),
    "endless": ([*BRUTE, "space.weight_gain_max=1.5"], ["`sampler`", "infinite"]),
    "one objective alone": (["sampler=optuna.samplers.CmaEsSampler", "score=apjn"], ["`sampler`", "multi-objective"]),
    "its own seed": (["sampler=optuna.samplers.RandomSampler", "sampler.seed=3"], ["`sampler.seed`", "got 3"]),
    "unknown option": (["sampler=optuna.samplers.RandomSampler", "sampler.x=3"], ["`sampler`", "'x'"]),
    "no sampler": (["sampler=json.dumps"], ["`sampler`", "dumps"]),
    "not there": (["sampler=optuna.samplers.Nope"], ["optuna.samplers.Nope"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_sampler_refuses_is_one_sentence(run: Run, case: str) -> None:  # noqa: F811
    words, parts = WRONG[case]
    code, out, err = run(*PLAIN, *FIXED, "quiet=true", *words)
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert all(part in err for part in parts), err


OPTIONS: list[tuple[type[optuna.samplers.BaseSampler], dict[str, Any], str]] = [
    (NSGAII, {"population_size": float("nan")}, "`sampler.population_size` must be of type int, got nan"),
    (NSGAII, {"population_size": 2.0}, "type int, got 2.0"),
    (NSGAII, {"population_size": True}, "type int, got True"),
    (NSGAII, {"population_size": "many"}, "type int, got 'many'"),
    (NSGAII, {"population_size": 10**9}, r"in \[0, 1000000\], got 1000000000"),
    (NSGAII, {"population_size": 1}, "greater than or equal to 2"),
    (NSGAII, {"crossover_prob": float("nan")}, "`sampler.crossover_prob` must be a finite number"),
    (NSGAII, {"crossover": "uniform"}, "crossover"),
    (samplers.TPESampler, {"n_ei_candidates": 0}, r"in \[1, 1000000\], got 0"),
    (samplers.TPESampler, {"multivariate": 1}, r"type bool \| None, got 1"),
    (samplers.TPESampler, {"gamma": 0.1}, "`sampler.gamma` must be of type Callable"),
    (samplers.QMCSampler, {"qmc_type": "lattice"}, "lattice"),
    (samplers.NSGAIIISampler, {"dividing_parameter": 10**5}, r"in \[1, 50\]"),
    (samplers.BaseSampler, {}, "seed"),
]


@pytest.mark.parametrize(("kind", "options", "told"), OPTIONS)
def test_an_option_of_a_sampler_is_checked(kind: type, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_sampler(partial(kind, **options), 0)


def test_options_that_are_right_are_taken() -> None:
    check_sampler(partial(NSGAII, population_size=50, mutation_prob=None, swapping_prob=1), 0)
    check_sampler(partial(samplers.TPESampler, multivariate=True, n_startup_trials=0), 0)
    check_sampler(samplers.RandomSampler, 2**32 - 1)


class Ending(samplers.RandomSampler):
    """Ends the search at its third result."""

    def after_trial(self, study: optuna.Study, trial: Any, state: Any, values: Any) -> None:
        if trial.number == 2:
            study.stop()


class Faulty(samplers.RandomSampler):
    """Has a fault."""

    def sample_independent(self, *words: Any) -> Any:
        raise ValueError("planted")


def space(trial: Trial) -> Spec:
    return Spec.of(width=trial.suggest_categorical("width", (8, 16)), blocks=(Block(),) * trial.suggest_int("depth", 1, 9))


def told(study: Study, batch: int) -> list[TrialRow]:
    rows = [(proposal, {"params": float(proposal.facts.params)}) for proposal in study.ask(batch, 2)]
    return [study.tell(proposal, TrialRow("k", 0, batch, "complete", 0, objectives=values)) for proposal, values in rows]


def test_an_end_is_noted_and_a_rebuilt_study_has_ended() -> None:
    def made() -> Study:
        return Study(space, Ending, Budget(min_effective_depth=0), directions(["params"]), 0)

    whole = made()
    assert len(told(whole, 0)) == 2 and not whole.ended and not whole.take_notes()
    assert len(told(whole, 1)) == 2 and whole.ended, "the batch in flight is finished"
    notes = whole.take_notes()
    assert notes == {"nasjac:ended": True} and whole.take_notes() == {}
    rebuilt = made()
    rebuilt.replay([], notes)
    assert rebuilt.ended
    rebuilt.replay([], {})
    assert not rebuilt.ended


def test_a_fault_of_a_sampler_of_one_s_own_or_of_a_space_is_none_of_the_user() -> None:
    with pytest.raises(ValueError, match="planted") as caught:
        Study(space, Faulty, Budget(), directions(["params"]), 0).ask(0, 1)
    assert not isinstance(caught.value, InputError)
    with pytest.raises(RuntimeError, match="planted"), refusals_of_sampler():
        raise RuntimeError("planted")
    with pytest.raises(ValueError, match="shape") as caught, refusals_of_sampler():
        np.zeros(3).reshape(2)
    assert not isinstance(caught.value, InputError)


def test_a_grid_may_have_choices_that_depend_on_others() -> None:
    """In a batch of one trial no more is asked for than that trial needs."""

    def space(trial: optuna.Trial) -> Spec:
        deep = trial.suggest_categorical("kind", ["a", "b"]) == "b" and trial.suggest_categorical("deep", [2, 3]) == 3
        return Spec.of(width=8, blocks=(Block(),) * (3 if deep else 1))

    grid = {"kind": ["a", "b"], "deep": [2, 3]}
    made = Study(space, partial(optuna.samplers.GridSampler, grid), Budget(min_effective_depth=0.0), ("maximize",), 0)  # type: ignore[arg-type]
    for batch in range(4):
        (proposal,) = made.ask(batch, 1)
        made.tell(proposal, TrialRow("k", 0, batch, "complete", 0, objectives={"merit": 1.0}))
    assert made.ended


def test_a_sampler_of_ones_own_checks_its_options_itself() -> None:
    class Own(optuna.samplers.RandomSampler):
        def __init__(self, n: Optional[int] = None, mode: Literal["a", "b"] = "a", seed: int | None = None) -> None:  # noqa: UP045
            super().__init__(seed)

    check_sampler(partial(Own, n=3, mode="b"), 0)
