"""Searches at a size: no trial is infeasible for its size, and a size that no architecture has is refused before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nasjac
from nasjac.architecture.spec import Spec
from nasjac.datasets.digits import Digits
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import facts
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.kinds.sizes import outside_params
from nasjac.kinds.spaces import SPACES
from nasjac.samplers import SAMPLERS
from nasjac.searching.objectives import Budget, directions
from nasjac.searching.study import Study
from nasjac.store import Store


def proposals(kind: str, budget: Budget, outside: Callable[[Spec], int] = lambda _: 0, count: int = 24) -> list[Any]:
    target = budget.target(64, 10)
    assert target is not None
    return Study(SPACES[kind]().at_size(target), SAMPLERS["nsga2"], budget, directions(["params"]), 0, outside).ask(
        0, count
    )


@pytest.mark.parametrize("params", ["10k", "100k", "1M", "10M", "100M", "1B"])
@pytest.mark.parametrize("kind", SPACES)
def test_no_trial_is_infeasible(kind: str, params: str) -> None:
    found = proposals(kind, Budget(params=params))
    assert all(proposal.feasible for proposal in found)
    assert len({proposal.spec.key for proposal in found}) == len(found)


def test_all_parameters_count_where_all_are_asked_for() -> None:
    count = lambda spec: outside_params(spec, 64, 10)  # noqa: E731
    for proposal in proposals("transformer_lm", Budget(params=20_000, counts="all"), count):
        assert abs((proposal.facts.params + count(proposal.spec)) / 20_000 - 1) <= 0.1
    for proposal in proposals("transformer_lm", Budget(params=20_000)):
        assert abs(proposal.facts.params / 20_000 - 1) <= 0.1


def searched(database: Path, **budget: Any) -> Any:
    options: dict[str, Any] = {"score": "meanfield", "search": {"batch": 8}, "quiet": True, "database": str(database)}
    return nasjac.search(ResidualMlpSpace(depth_max=9), Digits(), budget=budget, **options)


def test_a_search_at_a_size_goes_on_and_another_size_is_another_study(tmp_path: Path) -> None:
    database = tmp_path / "n.db"
    first = searched(database, trials=8, params="30k")
    assert searched(database, trials=16, params=30_000).outcome.fresh == 8, "the same size, however it is written"
    with pytest.raises(InputError, match=r"space\.size\.params is 30000, asked for 40000"):
        searched(database, trials=16, params="40k")
    with Store(str(database)) as store:
        rows, row = store.trials(first.study), store.study(first.study)
        assert {trial.state for trial in rows} == {"complete"}
        specs = [store.spec(trial.architecture_key) for trial in rows if trial.architecture_key]
    assert all(abs(known.params / 30_000 - 1) <= 0.1 for known in facts(specs))
    assert row.identity["space"]["size"]["params"] == 30_000 and row.identity["space"]["widths"] is None  # type: ignore[index]


def test_without_a_size_the_identity_has_the_usual_widths(tmp_path: Path) -> None:
    database = tmp_path / "n.db"
    found = searched(database, trials=8)
    with Store(str(database)) as store:
        space = store.study(found.study).identity["space"]
    assert space["widths"] == [32, 64, 128] and "size" not in space  # type: ignore[index, operator]


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"params": 50}, ["`budget.params`", "got 50", "blocks of width 4", "parameters"]),
        ({"max_flops": 10}, ["`budget.max_flops`", "got 10", "FLOPs"]),
        ({"params": "10T"}, ["budget.params"]),
        ({"params": 20_000, "counts": "some"}, ["`budget.counts`", "blocks, all", "'some'"]),
    ],
)
def test_a_size_that_nothing_has_is_refused(budget: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        searched(tmp_path / "n.db", trials=8, **budget)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert not (tmp_path / "n.db").exists()
