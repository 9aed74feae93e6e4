"""A study proposes the same whether it ran on or was rebuilt, with every sampler; constraints are tested first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import optuna
import pytest

from nasjac.foundation.errors import InputError
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.samplers.nsga2 import NSGAII
from nasjac.samplers.random_specs import random_specs
from nasjac.searching.objectives import Budget, directions
from nasjac.searching.study import TRIES, Study
from nasjac.store.rows import TrialRow

optuna.logging.set_verbosity(optuna.logging.WARNING)
SAMPLERS: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
    "nsga2": partial(NSGAII, population_size=8),
    "optuna nsga2": partial(optuna.samplers.NSGAIISampler, population_size=8),
    "nsga3": partial(optuna.samplers.NSGAIIISampler, population_size=8),
    "tpe": partial(optuna.samplers.TPESampler, multivariate=True, constant_liar=True, n_startup_trials=8),
    "random": optuna.samplers.RandomSampler,
}
SPACE = ResidualMlpSpace(depth_max=9, widths=(8, 16))
NAMES = ("trainability_cost", "nonlinear_effective_depth")


SMALL = Budget(max_params=2500)


def study(sampler: str, budget: Budget = SMALL) -> Study:
    return Study(SPACE, SAMPLERS[sampler], budget, directions(NAMES), seed=5)


def run(made: Study, batch: int, number: int) -> list[TrialRow]:
    """One batch of six, a made-up cost, some of them without one."""
    rows = []
    for proposal in made.ask(batch, 6):
        values = {NAMES[0]: proposal.facts.params / 1000, NAMES[1]: proposal.facts.nonlinear_effective_depth}
        failed = not proposal.feasible or proposal.facts.depth == 5
        state: Any = "failed" if failed else "complete"
        row = TrialRow("k", number + len(rows), batch, state, asked=0, objectives={} if failed else values)
        rows.append(made.tell(proposal, row))
    return rows


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_rebuilt_study_goes_on_like_the_unbroken_one(sampler: str) -> None:
    whole, rows, notes = study(sampler), list[TrialRow](), dict[str, Any]()
    for batch in range(7):
        rebuilt = study(sampler)
        rebuilt.replay(rows, notes)
        expected = run(whole, batch, len(rows))
        assert run(rebuilt, batch, len(rows)) == expected
        rows += expected
        notes |= whole.take_notes()
    assert any(row.asked > row.number for row in rows), "some proposals were rejected"
    assert len({str(row.choices) for row in rows}) > 20


def test_constraints_are_kept_or_the_trial_is_infeasible() -> None:
    for proposal in study("random").ask(0, 40):
        assert proposal.feasible and proposal.facts.params <= 2500 and proposal.facts.effective_depth >= 1
    hopeless = study("random", Budget(max_params=10))
    proposals = hopeless.ask(0, 3)
    assert not any(proposal.feasible for proposal in proposals)
    assert max(proposal.trial.number for proposal in proposals) == 3 * (TRIES + 1) - 1


def test_a_band_of_parameters() -> None:
    for proposal in study("random", Budget(params=1000, params_band=0.2)).ask(0, 10):
        assert proposal.feasible == (800 <= proposal.facts.params <= 1200)


@pytest.mark.parametrize("field", ["trials", "minutes", "params", "params_band", "max_params", "max_flops"])
def test_a_budget_of_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"`budget.{field}` must be (greater than 0|a whole number of at least 1)"):
        Budget(**{field: 0})


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("asked", 2**62, "trial.asked must be at most"),
        ("distributions", {"depth": "{}"}, "trial.distributions, choices and objectives"),
        ("distributions", {"depth": '{"name": "IntDistribution", "attributes": 3}'}, "trial.distributions, choices"),
        ("choices", {"depth": 3}, "trial.distributions, choices and objectives"),
        ("objectives", {"merit": 1.0, "depth": 2.0, "width": 3.0}, "trial.distributions, choices and objectives"),
    ],
)
def test_stored_trials_that_optuna_can_make_nothing_of_are_named(column: str, value: Any, said: str) -> None:
    row = TrialRow("s", 0, 0, "complete", asked=0, objectives={"merit": 1.0}, system_attrs={})
    made = Study(SPACE, SAMPLERS["random"], SMALL, ("maximize",), seed=0)
    with pytest.raises(InputError, match=f"{said}.* in 's', number 0"):
        made.replay([replace(row, **{column: value})], {})


def test_a_space_that_makes_no_spec_is_named() -> None:
    with pytest.raises(InputError, match="`space` must return a Spec for every trial, got 3"):
        random_specs(lambda trial: 3, 2)  # type: ignore[arg-type, return-value]
