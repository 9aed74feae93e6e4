"""Joints of search and store: what is computed of an architecture is what its columns hold, also after a resume.

Every number differs from every other one that it could be taken for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from torch import Tensor

from nasjac import build
from nasjac.architecture.block import Block
from nasjac.architecture.facts import Facts
from nasjac.architecture.measurement import TERMS, Estimate, Measurement
from nasjac.architecture.spec import Spec
from nasjac.datasets import Data
from nasjac.kinds.facts import facts
from nasjac.scores.base import Score
from nasjac.scores.meanfield import Meanfield
from nasjac.searching import racing
from nasjac.searching.draw import draw
from nasjac.searching.job import SearchOptions
from nasjac.searching.loop import run
from nasjac.searching.objectives import Budget, objective_values
from nasjac.searching.scored import scored_rows
from nasjac.searching.search import Search
from nasjac.searching.study import Proposal
from nasjac.searching.train import Task, keep
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.store.rows import TrialRow
from nasjac.trainers import AdamW, Run, best
from tests.store.rows import architecture, filled, key_of, measurement, trial, validation

optuna.logging.set_verbosity(optuna.logging.WARNING)
#: chi is gain⁴ scale² / 2 in each block, 1, 1/4 and 1
CHAIN = Spec.of(width=16, blocks=(Block(), Block(scale=0.5), Block(skip=0)), weight_gain=2**0.25)
#: share of its variance that no linear map explains of relu: 1 − (1/4) / (1/2 − 1/2π)
BENT = 0.2665289


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store(tmp_path / "nasjac.db") as opened:
        yield opened


def data(count: int = 20) -> Data:
    inputs = torch.randn(2 * count, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(2 * count) % 2
    return Data(inputs[:count], labels[:count], inputs[count:], labels[count:], outputs=2)


# columns


def test_facts_are_in_the_columns_of_their_names(store: Store) -> None:
    store.record_scored(scored_rows([CHAIN], facts([CHAIN]))[0], [], "apjn", "s1")
    names = ("params", "flops", "effective_depth", "nonlinear_effective_depth", "log2_paths", "depth", "skip_count")
    [row] = store.select(f"SELECT {', '.join(names)}, skip_density, branch_scale FROM architecture").dicts()
    weights, biases, shares = 2 * 16**2, 2 * 16, 1 / 2 + 1 / 5 + 1
    assert row == {
        "params": 3 * (weights + biases),
        "flops": 2 * 3 * weights,
        "effective_depth": pytest.approx(shares),
        "nonlinear_effective_depth": pytest.approx(BENT * shares, rel=1e-6),
        "log2_paths": 2,
        "depth": 3,
        "skip_count": 2,
        "skip_density": pytest.approx(2 / 3),
        "branch_scale": pytest.approx(5 / 6),
    }


def test_an_ensemble_has_a_density_and_no_count_of_skips(store: Store) -> None:
    ensemble = Spec.of(width=16, blocks=(Block(skip=0.5),) * 4)
    store.record_scored(scored_rows([ensemble], facts([ensemble]))[0], [], "apjn", "s1")
    [row] = store.architectures().values()
    assert (row.skip_density, row.skip_count) == (0.5, None)


def test_each_term_and_its_error_are_in_the_columns_of_their_names(tmp_path: Path) -> None:
    terms = {term: Estimate(1.0 + place, (1 + place) / 1000) for place, term in enumerate(TERMS)}
    with Store(tmp_path / "nasjac.db") as store:
        store.open_study("k", {"dataset": "digits"}, "error", "s1")
        store.record_batch("k", 0, [trial(0)], [architecture(0)], [measurement(0, terms=terms)], "apjn", "s1", {})
        for relation in ("measurement", "leaderboard"):
            [row] = store.select(f"SELECT * FROM {relation}").dicts()
            found = {term: (row[term], row[f"{term}_se"]) for term in TERMS}
            assert found == {term: (1.0 + place, (1 + place) / 1000) for place, term in enumerate(TERMS)}
        [read] = store.measurements(None, "s1").values()
        assert dict(read.terms) == terms


def test_measurements_are_those_of_the_score_that_is_asked_for(store: Store) -> None:
    for value, score_id in ((1.0, "s1"), (2.0, "s2")):
        terms = {"trainability_cost": Estimate(value, 0.5)}
        store.record_scored([architecture(0)], [measurement(0, terms=terms)], "apjn", score_id)
    for value, score_id in ((1.0, "s1"), (2.0, "s2")):
        assert store.measurements(None, score_id)[key_of(0)].terms["trainability_cost"].value == value
        assert store.measurements([key_of(0)], score_id)[key_of(0)].terms["trainability_cost"].value == value
    assert store.measurements(None, "s3") == {}


def test_the_figures_of_a_run_are_in_the_columns_and_in_the_checkpoint(store: Store, tmp_path: Path) -> None:
    state = build(CHAIN, 3, 2, torch.Generator().manual_seed(0)).state_dict()
    runs = [
        Run(5, 0.25, "ok", None, accuracy=0.5, loss=1.5, train_loss=2.5, steps=7, seconds=0.125, state=state),
        Run(6, 0.75, "diverged", "because", None, None, None, steps=3, seconds=0.375),
    ]
    store.record_scored(scored_rows([CHAIN], facts([CHAIN]))[0], [], "apjn", "s1")
    [row] = store.architectures().values()
    keep(store, row, Task("clusters", data(), AdamW(steps=7)), runs, tmp_path / "kept")
    names = ("seed", "learning_rate", "status", "reason", "accuracy", "loss", "train_loss", "steps", "seconds", "dataset")
    stored = store.select(f"SELECT {', '.join(names)} FROM validation ORDER BY seed").rows
    assert [tuple(one) for one in stored] == [
        (5, 0.25, "ok", None, 0.5, 1.5, 2.5, 7, 0.125, "clusters"),
        (6, 0.75, "diverged", "because", None, None, None, 3, 0.375, "clusters"),
    ]
    info = checkpoint.read_info(tmp_path / "kept")
    names = ("inputs", "outputs", "seed", "learning_rate", "accuracy", "loss", "train_loss", "steps")
    assert [info[name] for name in names] == [3, 2, 5, 0.25, 0.5, 1.5, 2.5, 7]


def test_of_equally_accurate_runs_the_one_of_least_loss_is_best() -> None:
    runs = [Run(seed, 0.1, "ok", None, 0.5, loss, 0.0, 1, 0.0) for seed, loss in enumerate((0.7, 0.3, 0.5))]
    winner = best([*runs, Run(3, 0.1, "diverged", "because", None, None, None, 1, 0.0)])
    assert winner is not None and winner.seed == 1


# objectives


def some_facts(**values: Any) -> Facts:
    content = {"depth": 3, "skip_density": 0.5, "skip_count": 2, "branch_scale": 0.25, "params": 20, "flops": 70}
    content |= {"log2_paths": 4.0, "effective_depth": 1.75, "nonlinear_effective_depth": 0.625}
    return Facts(**{**content, **values})


def test_each_objective_is_the_term_or_fact_of_its_name() -> None:
    terms = {"merit": Estimate(-1.5, 0.1), "trainability_cost": Estimate(2.5, 0.2)}
    expected = {
        "merit": -1.5,
        "trainability_cost": 2.5,
        "nonlinear_effective_depth": 0.625,
        "effective_depth": 1.75,
        "params": 20.0,
        "flops": 70.0,
    }
    assert objective_values(list(expected), Measurement("k", "ok", terms=terms), some_facts()) == (expected, None)


def test_each_constraint_is_on_the_fact_of_its_name() -> None:
    budget = Budget(params=10, params_band=0.5, max_params=16, max_flops=50, min_effective_depth=2)
    assert budget.violations(some_facts()) == {
        "min_effective_depth": 0.25,
        "params_band": pytest.approx(0.5),
        "max_params": pytest.approx(0.25),
        "max_flops": pytest.approx(0.4),
    }


def test_the_recommended_architecture_is_the_knee_in_logarithms_of_ratios(store: Store) -> None:
    """From one to the next a nat buys a factor 3, 2.9, 2 and 1.9 of depth: the third is the last worth its nat."""
    store.open_study("k", {"dataset": "digits"}, "error", "s1")
    depths, numbers = (1.0, 3.0, 8.7, 17.4, 33.0), range(5)
    architectures = [architecture(n, nonlinear_effective_depth=depths[n]) for n in numbers]
    measured = [measurement(n, terms={"trainability_cost": Estimate(float(n), 0.1)}) for n in numbers]
    store.record_batch("k", 0, [trial(n) for n in numbers], architectures, measured, "apjn", "s1", {})
    asked = SimpleNamespace(objectives=("trainability_cost", "nonlinear_effective_depth"))
    Search.recommend(asked, store, "k")  # type: ignore[arg-type]
    row = store.study("k")
    assert row.recommended_key == key_of(2) and "log nonlinear_effective_depth" in str(row.recommended_reason)


# racing, drawing, resuming


def test_the_rival_is_the_cheapest_of_those_as_good_in_everything_else(store: Store) -> None:
    """Two are as small as the proposal, one is cheaper still but larger."""
    specs = [Spec.of(width=8, blocks=(Block(),) * depth) for depth in (2, 2, 4, 3)]
    specs[1] = Spec.of(width=8, blocks=(Block(),) * 2, placement="pre")
    *seen, proposed = specs
    known = facts(specs)
    store.record_scored(scored_rows(seen, known[:3])[0], [], "apjn", "s1")
    told = [
        TrialRow(
            "k", n, 0, "complete", n, spec.key, objectives={"trainability_cost": cost, "params": float(known[n].params)}
        )
        for n, (spec, cost) in enumerate(zip(seen, (3.0, 2.0, 1.0), strict=True))
    ]
    proposal = Proposal(None, proposed, known[3], {})  # type: ignore[arg-type]
    [rival] = racing.rivals(store, [proposal], told, ("trainability_cost", "params"))
    assert rival is not None and rival.key == seen[1].key


@dataclass
class Scripted(Score):
    """A score of made-up costs, by width; odd widths diverge."""

    measured: list[str] = field(default_factory=list)
    name = "scripted"

    def measure(self, specs: Sequence[Spec], inputs: Tensor, device: torch.device) -> list[Measurement]:
        self.measured += [spec.key for spec in specs]
        return [self._of(spec) for spec in specs]

    def _of(self, spec: Spec) -> Measurement:
        if spec.width % 2:
            return Measurement(spec.key, "diverged", f"width {spec.width} is odd", kept_key=spec.key)
        terms = dict.fromkeys(TERMS, Estimate(None, None)) | {"trainability_cost": Estimate(spec.width / 8, 0.0)}
        return Measurement(spec.key, "ok", terms=terms, kept_key=spec.key)


def job(trials: int, space: Any, sampler: Any = optuna.samplers.RandomSampler, score: Any = None) -> Search:
    names = {part: {"name": part} for part in ("space", "score", "sampler", "dataset")}
    budget, options = Budget(trials, min_effective_depth=0.0), SearchOptions(4, ("trainability_cost",))
    return Search(space, score or Scripted(), sampler, data(), names, budget, options)


def searched(store: Store, made: Search) -> list[TrialRow]:
    name = store.open_study("k", made.identity, "resume", made.score_id)
    run(store, name, made, lambda done, text: None, lambda: False)  # type: ignore[arg-type]
    return store.trials("k")


def one_of_four(trial: optuna.Trial) -> Spec:
    return Spec.of(width=trial.suggest_categorical("width", [4, 5, 6, 7]), blocks=(Block(),) * 2)  # type: ignore[arg-type]


def test_what_failed_before_a_resume_is_known_after_it(store: Store) -> None:
    """Met again it is a duplicate, with the reason of the first time, and never a second failure."""
    searched(store, job(8, one_of_four))
    failed = {row.architecture_key: row.reason for row in store.trials("k") if row.state == "failed"}
    assert set(failed.values()) <= {"diverged: width 5 is odd", "diverged: width 7 is odd"} and failed
    later = [row for row in searched(store, job(24, one_of_four)) if row.number >= 8 and row.architecture_key in failed]
    assert later and {(row.state, row.reason) for row in later} == {
        ("duplicate", failed[row.architecture_key]) for row in later
    }


class Counting(optuna.samplers.RandomSampler):
    """Proposes widths 2, 4, 6, ..., by a count that it notes on the study."""

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> int:
        count = study._storage.get_study_system_attrs(study._study_id).get("count", 0) + 1
        study._storage.set_study_system_attr(study._study_id, "count", count)
        return 2 * int(count)


def test_a_resumed_sampler_has_its_notes(store: Store) -> None:
    def wide(trial: optuna.Trial) -> Spec:
        return Spec.of(width=trial.suggest_int("width", 2, 200), blocks=(Block(),))

    for trials in (8, 16):
        rows = searched(store, job(trials, wide, Counting))
    assert [row.choices["width"] for row in rows] == list(range(2, 34, 2))


def test_a_duplicate_of_an_ensemble_keeps_the_same_pattern(store: Store) -> None:
    def ensemble(trial: optuna.Trial) -> Spec:
        return Spec.of(width=trial.suggest_categorical("width", [8, 12]), blocks=(Block(skip=0.5),) * 4, placement="pre")  # type: ignore[arg-type]

    rows = searched(store, job(12, ensemble, score=Meanfield(patterns=3)))
    kept = {row.architecture_key: row.kept_key for row in rows if row.state == "complete"}
    assert len(kept) == 2 and all(key not in (None, whole) for whole, key in kept.items())
    again = [row for row in rows if row.state == "duplicate"]
    assert len(again) == 10 and all(row.kept_key == kept[row.architecture_key] for row in again)


def test_what_is_drawn_to_match_has_as_many_parameters(store: Store) -> None:
    def deep(trial: optuna.Trial) -> Spec:
        return Spec.of(width=8, blocks=(Block(),) * trial.suggest_int("depth", 1, 40), placement="pre")

    made = job(4, deep)
    each = 2 * 8**2 + 2 * 8 + 2 * 8  # with its norm
    keys = draw(store, made, 0, 3, 20 * each)
    found = [row.params for row in store.architectures(keys).values()]
    assert len(found) == 3 and all(18 * each <= (size or 0) <= 22 * each for size in found)
    everything = [row.params or 0 for row in store.architectures(draw(store, made, 0, 10, None)).values()]
    assert min(everything) < 18 * each and max(everything) > 22 * each


def test_the_leaderboard_shows_the_most_accurate_rate_with_its_loss(tmp_path: Path) -> None:
    """Of rates at which every seed finished; neither the first one stored nor the lowest or highest."""
    with filled(tmp_path / "nasjac.db") as store:
        accuracies = {0.01: (0.6, 0.7), 0.1: (0.8, 0.9), 1.0: (0.5, 0.4)}
        rows = [
            validation(1, rate, seed, found, loss=3 * found, train_loss=5 * found)
            for rate, both in accuracies.items()
            for seed, found in enumerate(both)
        ]
        store.record_validations(rows)
        names = ", ".join(f"validation_{name}" for name in ("accuracy", "loss", "learning_rate", "status"))
        [row] = store.select(f"SELECT {names} FROM leaderboard WHERE number = 1").rows
    assert row == (pytest.approx(0.85), pytest.approx(2.55), 0.1, "ok")
