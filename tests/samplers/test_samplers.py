"""Our NSGA-II proposes what Optuna's does."""

from __future__ import annotations

import optuna
import pytest

from nasjac.samplers.nsga2 import NSGAII


def proposals(kind: type[optuna.samplers.NSGAIISampler], batch: int, dynamic: bool) -> list[dict[str, object]]:
    """The choices of a search in batches, a new sampler for each, some trials failing, some breaking a constraint."""
    study = optuna.create_study(directions=["minimize", "maximize"])
    for number in range(0, 120, batch):
        study.sampler = kind(population_size=10, seed=number)
        trials = [study.ask() for _ in range(batch)]
        for trial in trials:
            x = trial.suggest_float("x", 0, 1)
            y = trial.suggest_categorical("y", ["a", "b", "c"])
            z = trial.suggest_int("z", 1, 9)
            if dynamic and z > 4:
                trial.suggest_float("w", 0, z)
            trial.set_constraint("half", x - 0.8)
        for trial in reversed(trials) if dynamic else trials:
            x, y, z = (trial.params[name] for name in "xyz")
            if z == 2:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, [x * z, x + (y == "b")])
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("batch", [1, 8, 15])
@pytest.mark.parametrize("dynamic", [False, True])
def test_proposals_are_optuna_s(batch: int, dynamic: bool) -> None:
    ours = proposals(NSGAII, batch, dynamic)
    assert ours == proposals(optuna.samplers.NSGAIISampler, batch, dynamic)
    assert len({str(choice) for choice in ours}) > 60  # it did search
