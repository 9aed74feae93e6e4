"""Joints of reports: the number that was found is the number on the page, in the figure and in the sentence."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from nasjac.architecture.measurement import Layer
from nasjac.cli.query_options import SHOWN
from nasjac.searching import figures
from nasjac.searching.findings import front_rows
from nasjac.searching.gather import gather
from nasjac.searching.report import OBJECTIVES, Report, report
from nasjac.searching.sentences import sentences
from nasjac.searching.validated import Pick, Trained
from nasjac.store import Store
from nasjac.store.schema import column_names
from tests.cli.test_cli import SMALL, Run, run
from tests.reporting.test_report import STUDY, Text, make, search, validate
from tests.store.rows import filled

__all__ = ["run"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Report, Store, Path]]:
    """30 architectures, some of them and 14 fresh ones validated; no figures of correlation are asked for."""
    folder = tmp_path_factory.mktemp("joints")
    with Store(folder / "made_up.db") as store:
        kept, fresh = make(30), make(14, seed=1)
        search(store, kept)
        validate(store, kept, fresh, np.random.default_rng(2))
        yield report(store, STUDY, folder / "reports", resamples=20), store, folder


def test_the_front_is_best_in_the_directions_of_its_objectives() -> None:
    values = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 5.0), (5.0, 4.0)]
    rows = [{"cost": cost, "depth": depth} for cost, depth in values]
    assert front_rows(rows, {"cost": "minimize", "depth": "maximize"}) == [rows[0], rows[1], rows[3]]
    assert front_rows(rows, {"depth": "maximize", "cost": "minimize"}) == [rows[3], rows[1], rows[0]]
    assert front_rows(rows, {"cost": "maximize", "depth": "minimize"}) == [rows[4], rows[2], rows[0]]


def test_the_page_shows_values_with_their_errors(made: tuple[Report, Store, Path]) -> None:
    shown, store, _ = made
    words = Text(shown.files["report.html"].read_text(encoding="utf-8")).words
    rows = store.frame("leaderboard", STUDY).sort_values("trainability_cost").to_dict("records")
    for rank, row in enumerate(rows[:20], start=1):
        told = f"{row['trainability_cost']:.3f} ± {row['trainability_cost_se']:.3f}"
        assert told in words and words.index(row["key"]) > 0, (rank, told)
        assert f"{row['params']:,}" in words and f"{row['flops']:,}" in words


def test_best_and_median_of_a_role_are_those_of_its_accuracies(made: tuple[Report, Store, Path]) -> None:
    summary = made[0].summary
    for role in summary["roles"]:
        found = [pick["accuracy"] for pick in summary["picks"] if role["role"] in pick["roles"]]
        ranked = [-1.0 if value is None else value for value in found]
        assert role["trained"] == len(found) and role["diverged"] == found.count(None)
        assert role["best accuracy"] == pytest.approx(max(ranked))
        assert role["median accuracy"] == pytest.approx(statistics.median(ranked))
        assert role["best accuracy"] > role["median accuracy"]


def test_the_difference_is_the_recommended_less_its_rival(made: tuple[Report, Store, Path]) -> None:
    def pick(key: str, role: str, accuracy: float, error: float) -> Pick:
        return Pick(key, (role,), {"params": 100}, Trained(key, accuracy, error, 0.1, {0: accuracy}, 6, 0))

    best, rival = pick("b" * 12, "front", 0.9, 0.03), pick("r" * 12, "random", 0.8, 0.04)
    picks = [best, pick("s" * 12, "random", 0.7, 0.01), rival, pick("t" * 12, "matched", 0.6, 0.02)]
    found = replace(gather(made[1], STUDY, OBJECTIVES), recommended=best, picks=picks)
    said = " ".join(sentences(found))
    assert "an accuracy of 0.9000 ± 0.0300; the strongest of 3 random ones of equal parameters" in said
    assert f"{'r' * 12}, 0.8000 ± 0.0400. Difference +0.1000 ± 0.0500." in said


def test_a_front_without_effective_depths_is_drawn_as_far_as_it_has_both_axes(made: tuple[Any, ...]) -> None:
    found = gather(made[1], STUDY, {"trainability_cost": "minimize"})
    without = replace(found, rows=[{**row, "nonlinear_effective_depth": None} for row in found.rows])
    assert "pareto.png" in figures.pareto(without), "by the effective depth"
    neither = [{**row, "effective_depth": None} for row in without.rows]
    assert figures.pareto(replace(found, rows=neither)) == {}
    half = [{**row, "nonlinear_effective_depth": None if number % 2 else 1.0} for number, row in enumerate(found.rows)]
    assert found.front and "pareto.png" in figures.pareto(replace(found, rows=half))


def test_profiles_are_drawn_in_their_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(figures, "drawn", lambda figure, *rest: drawn.append(figure))
    values = {"forward": [0.0, 1.0, 3.0], "backward": [3.0, 2.5, 0.0]}
    layers = tuple(
        Layer(f"h_{n}", direction, 10.0, value, 0.25)  # type: ignore[arg-type]
        for direction, line in values.items()
        for n, value in enumerate(line)
    )
    figures.profiles({"best": [("one", layers)]}, None)
    [figure] = drawn
    panels = {axes.get_title(loc="left"): axes.lines for axes in figure.axes if axes.get_title(loc="left")}
    for direction, line in values.items():
        [profile] = [one for one in panels[f"best: {direction}"] if len(one.get_xdata()) == 3]  # type: ignore[arg-type]
        assert list(profile.get_ydata()) == line  # type: ignore[arg-type]


def key_of(label: str) -> str:
    """Of "lowest cost: KEY, ..."."""
    return label.partition(": ")[2].partition(",")[0]


def test_the_best_profiles_are_of_the_least_cost(made: tuple[Report, Store, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _, store, folder = made
    asked: dict[str, list[str]] = {}

    def profiles(groups: Mapping[str, Sequence[tuple[str, Any]]], recommended: Any) -> dict[str, bytes]:
        asked.update({name: [key_of(label) for label, _ in group] for name, group in groups.items()})
        asked["recommended"] = [key_of(recommended[0])]
        return {}

    monkeypatch.setattr(figures, "profiles", profiles)
    report(store, STUDY, folder / "again", resamples=1)
    rows = store.frame("leaderboard", STUDY).sort_values("trainability_cost")
    chosen = store.study(STUDY).recommended_key
    others = [key for key in rows["key"] if key != chosen]
    assert asked == {"recommended": [chosen], "lowest cost": others[:3], "highest cost": others[-3:]}


def test_the_predictor_of_a_search_is_its_first_objective(run: Run) -> None:
    words = ["score=meanfield", "study=k", "budget.trials=8", "sampler=random", "format=json"]
    nothing = ["validation.top=0", "validation.random=0", "validation.matched=0"]
    for study, objectives in (
        ("a", ["trainability_cost", "nonlinear_effective_depth", "params"]),
        ("b", ["nonlinear_effective_depth", "flops", "trainability_cost"]),
    ):
        asked = f"search.objectives=[{','.join(objectives)}]"
        code, out, err = run("search", *SMALL, *words, *nothing, f"study={study}", asked)
        assert code == 0, err
        found = json.loads(out)
        assert found["predictor"] == objectives[0] and list(found["objectives"]) == objectives
        ways = {"trainability_cost": "minimize", "nonlinear_effective_depth": "maximize"}
        ways |= {"params": "minimize", "flops": "minimize"}
        assert found["objectives"] == {name: ways[name] for name in objectives}


def test_csv_and_json_have_every_column_of_the_leaderboard(run: Run) -> None:
    filled(Path("nasjac.db")).close()
    every = list(column_names()["leaderboard"])
    code, out, _ = run("query", "--format", "csv")
    assert code == 0 and out.splitlines()[0].split(",") == every and len(out.splitlines()) == 9
    assert [list(row) for row in json.loads(run("query", "--format", "json")[1])] == [every] * 8
    assert run("query", "--format", "table")[1].splitlines()[0].split() == list(SHOWN)


def test_options_of_prescribe_are_what_they_are_called(run: Run) -> None:
    """12 blocks that double energies: E log 𝒥 is about 12 ln 2 = 8.3, which is near enough to 8, and not to 3."""
    words = ["model=tests.models.test_prescribe_model:Model", "blocks=blocks", "input=4x5", "quiet=true", "format=json"]
    code, out, err = run("prescribe", *words, "target=8", "tolerance=3", "seed=1")
    assert code == 0, err
    found = json.loads(out)
    assert (found["target"], found["tolerance"], found["critical"], found["after"]) == (8.0, 3.0, True, 1.0)
