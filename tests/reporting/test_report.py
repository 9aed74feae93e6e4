"""The report of studies made up so that what it must say is known."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from nasjac.architecture.measurement import Estimate, Layer, Measurement
from nasjac.mathematics.pareto import covering_points, knee
from nasjac.searching.agreement import rivals
from nasjac.searching.findings import Findings
from nasjac.searching.gather import gather
from nasjac.searching.page import page, table
from nasjac.searching.report import OBJECTIVES, Report, report
from nasjac.searching.sentences import sentences
from nasjac.searching.validated import Pick, by_protocol, trained
from nasjac.store import Store
from nasjac.store.rows import ArchitectureRow, RunRow, TrialRow, ValidationRow

SCORE = "score-1"
STUDY = "made_up"
Made = tuple[ArchitectureRow, Measurement]


def profile(rng: np.random.Generator, depth: int, end: float, error: float) -> tuple[Layer, ...]:
    """log 𝒥 wanders from 0 to `end`, and the rest of the way back from it."""
    walk = rng.gamma(2.0, size=depth).cumsum()
    forward = np.append(0, walk / walk[-1] * end)
    share = np.arange(depth + 1) / depth
    return tuple(
        Layer(str(number), direction, float(value), float(value), error * math.sqrt(part))
        for direction, values, parts in (("forward", forward, share), ("backward", end - forward, 1 - share))
        for number, (value, part) in enumerate(zip(values, parts, strict=True))
    )


def architecture(rng: np.random.Generator, key: str) -> Made:
    """One of a made-up space: deeper ones cost more, and without a norm they vanish or explode."""
    depth, width, density = int(rng.integers(4, 65)), int(rng.choice([32, 64, 128])), float(rng.uniform())
    placement = str(rng.choice(["none", "pre", "post", "res_post", "sandwich"]))
    end = float(depth * (density - 0.6) * {"none": 0.6, "post": 0.2}.get(placement, 0.08) + rng.normal(0, 0.3))
    cost = float(max(-end, end / 2) + 0.03 * depth + rng.gamma(4, 0.4))
    error = float(0.02 + 0.03 * cost * rng.uniform(0.5, 1.5))
    effective = float(depth * density * rng.uniform(0.02, 0.12) + 0.3)
    row = ArchitectureRow(
        key, {"number": key}, "residual_mlp", depth, width, placement, "layernorm",
        str(rng.choice(["relu", "gelu", "tanh"])), "two_matrix", density, round(depth * density), 1.0, 1.0,
        params=2 * depth * width**2, flops=4 * depth * width**2, log2_paths=depth * density,
        effective_depth=2.5 * effective, nonlinear_effective_depth=effective,
    )  # fmt: skip
    terms = {"trainability_cost": Estimate(cost, error), "mean_log": Estimate(end, error)}
    return row, Measurement(key, "ok", None, terms, profile(rng, depth, end, error), 16, 0.001)


def trainings(rng: np.random.Generator, key: str, cost: float) -> list[ValidationRow]:
    """Accuracy falls with cost; above a cost of 8 every training diverges, above 5 those at the highest rate."""
    skill, rows = 0.97 - 0.012 * cost + rng.normal(0, 0.01), []
    for seed in (0, 1):
        for rate, penalty in ((0.001, 0.01), (0.003, 0.0), (0.01, 0.02)):
            lost = cost > 8 or (cost > 5 and rate == 0.01)
            accuracy = None if lost else float(skill - penalty + rng.normal(0, 0.003))
            rows.append(validation(key, accuracy, seed, rate))
    return rows


def validation(key: str, accuracy: float | None, seed: int = 0, rate: float = 0.003, **other: str) -> ValidationRow:
    protocol = {"dataset": "digits", "dataset_digest": "d1", "trainer": "adamw", "trainer_id": "adamw-1", **other}
    status = "diverged" if accuracy is None else "ok"
    return ValidationRow(key, **protocol, seed=seed, learning_rate=rate, status=status, accuracy=accuracy)


def search(store: Store, made: Sequence[Made], study: str = STUDY) -> str:
    """A finished search that kept `made`, with some repeats and some infeasible trials; returns the recommended key."""
    count = len(made)
    store.open_study(study, {"space": "residual_mlp", "seed": 0, "dataset": "digits"}, "error", SCORE, "d1")
    command = f"nasjac search study={study} <b>"
    run = store.begin_run(RunRow("search", study, versions={"nasjac": "0.1.0"}, command=command))
    trials = [TrialRow(study, number, 0, "complete", number, row.key, row.key) for number, (row, _) in enumerate(made)]
    trials += [replace(trials[i], number=count + i, state="duplicate") for i in range(count // 10)]
    why = "parameters above the band"
    trials += [TrialRow(study, len(trials) + i, 0, "infeasible", len(trials) + i, reason=why) for i in range(count // 20)]
    store.record_batch(study, 0, trials, [row for row, _ in made], [found for _, found in made], "apjn", SCORE, {})
    store.finish_run(run, "finished", {"sampler": 0.4, "score": 12.5, "store": 0.2}, {})
    chosen, reason = knee(objectives(made), tuple(OBJECTIVES.values()), tuple(OBJECTIVES))
    store.recommend(study, made[chosen][0].key, reason)
    return made[chosen][0].key


def objectives(made: Sequence[Made]) -> list[list[float]]:
    return [[found.terms["trainability_cost"].value, row.nonlinear_effective_depth] for row, found in made]


def validate(store: Store, made: Sequence[Made], fresh: Sequence[Made], rng: np.random.Generator) -> None:
    """Front picks from `made`; of `fresh` the last four are matched, the rest random."""
    store.record_scored([row for row, _ in fresh], [found for _, found in fresh], "apjn", SCORE)
    along = [made[i] for i in covering_points(objectives(made), tuple(OBJECTIVES.values()), 10)]
    roles = {"front": along, "random": fresh[:-4], "matched": fresh[-4:]}
    store.record_picks(STUDY, [(row.key, role) for role, group in roles.items() for row, _ in group])
    for row, found in (item for group in roles.values() for item in group):
        store.record_validations(trainings(rng, row.key, found.terms["trainability_cost"].value))


def make(count: int, seed: int = 0) -> list[Made]:
    rng = np.random.default_rng(seed)
    return [architecture(rng, f"{seed:02x}{number:010x}") for number in range(count)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "made_up.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Store]:
    """500 architectures, 24 of them or drawn afresh validated."""
    folder = tmp_path_factory.mktemp("whole")
    store, made, fresh = Store(folder / "made_up.db"), make(500), make(14, seed=1)
    search(store, made)
    validate(store, made, fresh, np.random.default_rng(2))
    return report(store, STUDY, folder / "reports"), store


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} in JSON")


class Text(HTMLParser):
    """The words of a page, and whether every element is closed."""

    def __init__(self, page: str):
        super().__init__()
        self.words, self.open = "", []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data + " "


def check_page(made: Report) -> str:
    """The page's text, having made sure that it is whole and shows no value that is none."""
    text = Text(made.files["report.html"].read_text(encoding="utf-8"))
    assert not text.open
    assert not re.search(r"\b(nan|NaN|None|inf|Infinity)\b", text.words + made.text)
    json.loads(made.files["summary.json"].read_text(encoding="utf-8"), parse_constant=refuse)
    return text.words


def test_the_files_are_there_and_complete(whole: tuple[Report, Store]) -> None:
    made, store = whole
    names = {"report.html", "summary.json", "leaderboard.csv", "pareto.png", "cost_vs_accuracy.png", "profiles.png"}
    assert set(made.files) == {path.name for path in made.folder.iterdir()} == names
    assert all(made.files[name].read_bytes().startswith(b"\x89PNG") for name in names if name.endswith("png"))
    text = check_page(made)
    assert f"nasjac search study={STUDY} <b>" in text and "parameters above the band" in text
    assert "575 trials (500 complete, 50 duplicate, 25 infeasible)" in made.text
    assert json.loads(made.files["summary.json"].read_text()) == json.loads(json.dumps(made.summary))
    with made.files["leaderboard.csv"].open(newline="") as file:
        keys = [row["key"] for row in csv.DictReader(file)]
    assert keys == store.frame("leaderboard", STUDY)["key"].tolist() and len(keys) == 500


def test_correlations_are_those_of_the_rows(whole: tuple[Report, Store]) -> None:
    """Computed anew from the tables, with scipy: the cost negated, a diverged architecture below all others."""
    made, store = whole
    means: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in store.validations():
        means[row.architecture_key][row.learning_rate].append(-1.0 if row.accuracy is None else row.accuracy)
    best = {key: max(float(np.mean(found)) for found in rates.values()) for key, rates in means.items()}
    roles, found, rows = dict(store.picks(STUDY)), store.measurements(list(best), SCORE), store.architectures()
    assert -1.0 in best.values() and len(best) == 24
    for subset, keys in (("all", list(best)), ("random", [key for key in best if roles[key] == "random"])):
        accuracy = [best[key] for key in keys]
        cost = [-found[key].terms["trainability_cost"].value for key in keys]
        assert made.summary["kendall"][subset]["value"] == pytest.approx(stats.kendalltau(cost, accuracy).statistic)
        assert made.summary["spearman"][subset]["value"] == pytest.approx(stats.spearmanr(cost, accuracy).statistic)
        for name in ("params", "flops", "depth", "skip_count"):
            expected = stats.kendalltau([getattr(rows[key], name) for key in keys], accuracy).statistic
            shown = made.summary["baselines"][name]["kendall"][subset]
            assert shown["value"] == pytest.approx(expected) and shown["low"] <= expected <= shown["high"]
            assert shown["n"] == len(keys)


def test_the_same_study_gives_the_same_figures(whole: tuple[Report, Store]) -> None:
    made, store = whole
    assert json.loads(gather(store, STUDY, OBJECTIVES, resamples=1000).to_json()) == made.summary


def test_an_accuracy_is_that_of_the_best_rate_and_carries_the_seeds_error() -> None:
    rows = [validation("a", accuracy, seed, rate) for rate, accuracies in ((0.01, (0.9, None)), (0.1, (0.8, 0.6)))
            for seed, accuracy in enumerate(accuracies)]  # fmt: skip
    found = trained("a", rows)
    assert (found.accuracy, found.learning_rate) == (0.7, 0.1), "a rate at which a seed diverged does not win by the other"
    assert found.standard_error == pytest.approx(0.1)
    assert (found.by_seed, found.trainings, found.diverged) == ({0: 0.9, 1: 0.6}, 4, 1)
    assert trained("a", rows[2:]).standard_error == pytest.approx(0.1)
    lost = trained("a", rows[1:2])
    assert lost.accuracy is None and lost.by_seed == {1: -math.inf}


def test_protocols_are_never_mixed() -> None:
    rows = [validation(key, 0.5, trainer_id=trainer) for trainer in ("long", "short") for key in "abc"]
    rows = [replace(row, accuracy=0.9, created="2") if row.trainer_id == "short" else row for row in rows]
    rows.append(validation("a", 0.1, trainer_id="newest", dataset_digest="other"))
    protocol, found = by_protocol(rows)
    assert protocol and (protocol.trainer_id, protocol.others) == ("short", 2)
    assert {item.accuracy for item in found.values()} == {0.9}
    assert by_protocol([]) == (None, {})


def pick(key: str, role: str, params: int, accuracy: float | None) -> Pick:
    return Pick(key, (role,), {"params": params}, trained(key, [validation(key, accuracy)]))


def test_rivals_are_random_and_equal_in_parameters() -> None:
    best = pick("best", "front", 1000, 0.9)
    picks = [
        best, pick("front", "front", 1000, 0.99), pick("far", "random", 1101, 0.98), pick("lost", "random", 1000, None),
        pick("near", "random", 1100, 0.8), pick("matched", "matched", 950, 0.85),
        Pick("untrained", ("random",), {"params": 1000}, None),
    ]  # fmt: skip
    assert [item.key for item in rivals(best, picks)] == ["matched", "near", "lost"]


def told(store: Store) -> tuple[Findings, dict, str]:
    found = gather(store, STUDY, OBJECTIVES, resamples=50)
    return found, json.loads(found.to_json()), "\n".join(sentences(found))


def picked(store: Store, made: Sequence[Made], accuracies: Sequence[float | None]) -> None:
    store.record_picks(STUDY, [(row.key, "random") for (row, _), _ in zip(made, accuracies, strict=False)])
    for (row, _), accuracy in zip(made, accuracies, strict=False):
        store.record_validations([validation(row.key, accuracy)])


@pytest.mark.parametrize(
    ("accuracies", "reason"),
    [
        ((0.9,), "1 architecture, a rank correlation needs 3"),
        ((0.9, 0.8), "2 architectures, a rank correlation needs 3"),
        ((0.9, 0.9, 0.9, 0.9), "the accuracy is the same for all"),
        ((None, None, None), "the accuracy is the same for all"),
    ],
)
def test_where_there_is_no_correlation_the_report_says_why(
    store: Store, accuracies: Sequence[float | None], reason: str
) -> None:
    made = make(6)
    search(store, made)
    picked(store, made, accuracies)
    _, found, text = told(store)
    assert found["kendall"]["all"]["value"] is None and found["spearman"]["random"]["value"] is None
    assert f"not known ({reason})" in text and "training seeds" not in text


def test_diverged_trainings_rank_lowest_and_are_said(store: Store) -> None:
    made = sorted(make(5), key=lambda item: item[1].terms["trainability_cost"].value)
    search(store, made)
    picked(store, made, (0.9, 0.8, 0.7, 0.6, None))
    _, found, text = told(store)
    assert found["kendall"]["all"]["value"] == pytest.approx(1)
    assert "1 of 5 validated architectures diverged in every training; they rank below every finished one." in text
    assert found["roles"] == [{"role": "random", "trained": 5, "diverged": 1, "best accuracy": 0.9, "median accuracy": 0.7}]


def test_architectures_without_a_cost_are_left_out_and_counted(store: Store) -> None:
    made = make(6)
    made[0] = (made[0][0], Measurement(made[0][0].key, "diverged", "all samples are zero"))
    search(store, made[1:])
    store.record_scored([made[0][0]], [made[0][1]], "apjn", SCORE)
    picked(store, made, (0.9, 0.8, 0.7, 0.6, 0.5))
    found, figures, _ = told(store)
    assert figures["kendall"]["all"]["n"] == 4 and figures["validated"]["without_score"] == 1
    assert "because they have no cost: 1." in page(found, 20, {})


def test_a_search_without_validation_has_a_report_without_claims(store: Store, tmp_path: Path) -> None:
    chosen = search(store, make(12))
    stale = tmp_path / STUDY / "cost_vs_accuracy.png"
    stale.parent.mkdir()
    stale.write_bytes(b"of an earlier report")
    made = report(store, STUDY, tmp_path)
    assert not stale.exists() and {"pareto.png", "profiles.png"} < set(made.files)
    assert made.summary["recommended"]["key"] == chosen and made.summary["recommended"]["accuracy"] is None
    assert "It has not been trained." in made.text and "Nothing has been validated" in check_page(made)


def test_a_study_without_trials_has_a_report(store: Store, tmp_path: Path) -> None:
    store.open_study(STUDY, {}, "error", SCORE)
    made = report(store, STUDY, tmp_path)
    assert set(made.files) == {"report.html", "summary.json", "leaderboard.csv"}
    assert "0 trials (none yet)" in made.text and "No architecture is recommended" in check_page(made)


def test_the_pattern_kept_of_an_ensemble_goes_by_its_own_measurement(store: Store, tmp_path: Path) -> None:
    """What is trained is the pattern, so cost and profile are the pattern's, beside its own accuracy."""
    (ensemble, whole), (kept, found) = make(2)
    store.open_study(STUDY, {}, "error", SCORE)
    trial = TrialRow(STUDY, 0, 0, "complete", 0, ensemble.key, kept.key)
    store.record_batch(STUDY, 0, [trial], [ensemble, kept], [whole, found], "apjn", SCORE, {})
    store.recommend(STUDY, kept.key, "the only one")
    made = report(store, STUDY, tmp_path)
    assert "Recommended: " + kept.key in made.text
    assert made.summary["recommended"]["trainability_cost"] == found.terms["trainability_cost"].value
    assert "profiles.png" in made.files


def test_where_every_training_diverged_there_is_still_a_page(store: Store, tmp_path: Path) -> None:
    made = make(4)
    search(store, made)
    picked(store, made, (None, None, None))
    text = check_page(report(store, STUDY, tmp_path, resamples=10))
    assert "3 of 3 validated architectures diverged in every training" in text
    assert not re.search(r"accuracy of \d", text)


def test_names_are_text_and_never_markup_or_paths(store: Store, tmp_path: Path) -> None:
    store.open_study("../<i>", {}, "error", SCORE)
    made = report(store, "../<i>", tmp_path / "out")
    assert made.folder.parent == tmp_path / "out" and "study ../<i>" in check_page(made)
    assert table([{"<a>": "<b>"}]) == (
        '<div class="wide"><table><tr><th>&lt;a&gt;</th></tr><tr><td>&lt;b&gt;</td></tr></table></div>'
    )


def test_bad_input_is_named(store: Store, tmp_path: Path) -> None:
    store.open_study("..", {}, "error", SCORE)
    with pytest.raises(ValueError, match=r"`study` must be .* got 'nowhere'"):
        report(store, "nowhere", tmp_path)
    with pytest.raises(ValueError, match=r"`study` must be a name that a folder can have, got '\.\.'"):
        report(store, "..", tmp_path)
    with pytest.raises(ValueError, match=r"`objectives` must be one of .*params.* got 'size'"):
        report(store, "..", tmp_path, objectives={"size": "minimize"})
    (tmp_path / "file").write_text("in the way")
    store.open_study(STUDY, {}, "error", SCORE)
    with pytest.raises(ValueError, match=r"`out` must be a folder that can be written, got '.*file'"):
        report(store, STUDY, tmp_path / "file")


def test_the_predictor_is_the_first_objective(store: Store, tmp_path: Path) -> None:
    """merit made up from the cost, so that it says the same the other way round; the cost stays among the others."""
    made = [(row, with_merit(found)) for row, found in make(40)]
    search(store, made)
    rng = np.random.default_rng(3)
    validate(store, made, [(row, with_merit(found)) for row, found in make(16, seed=1)], rng)
    one = report(store, STUDY, tmp_path / "merit", {"merit": "maximize"}, resamples=100)
    other = report(store, STUDY, tmp_path / "cost", resamples=100)
    assert (one.summary["predictor"], other.summary["predictor"]) == ("merit", "trainability_cost")
    for name in ("kendall", "spearman"):
        assert one.summary[name] == other.summary[name] == one.summary["baselines"]["trainability_cost"][name]
    assert one.summary["top_k"] == other.summary["top_k"]
    sizes = {"params", "flops", "depth", "skip_count"}
    assert set(one.summary["baselines"]) == {"trainability_cost", *sizes}
    assert set(other.summary["baselines"]) == {"nonlinear_effective_depth", *sizes}
    with one.files["leaderboard.csv"].open(newline="") as file:
        merits = [float(row["merit"]) for row in csv.DictReader(file)]
    assert merits == sorted(merits, reverse=True) and len(merits) == 40
    assert len(one.summary["front"]) == 1 and "1 architecture on the front" in one.text
    assert "Kendall's tau of merit with accuracy (plus: the score is right)" in one.text
    assert "Kendall's tau of trainability_cost with accuracy (plus: the cost is right)" in other.text
    shown, before = check_page(one), check_page(other)
    assert "rank 1 is the highest merit" in " ".join(shown.split()) and "with the highest merit" in shown
    assert "rank 1 is the lowest cost" in " ".join(before.split()) and "highest merit" not in before
    assert "is right, and for trainability_cost, which is negated, that the cost is; for a size" in " ".join(shown.split())
    assert "is right (it is negated); for a size" in " ".join(before.split())


def test_a_size_can_be_the_predictor(store: Store, tmp_path: Path) -> None:
    made = make(12)
    search(store, made)
    picked(store, made, (0.9, 0.8, 0.7, 0.6))
    found = report(store, STUDY, tmp_path, {"params": "minimize", "trainability_cost": "minimize"}, resamples=50).summary
    params = [-row.params for row, _ in made[:4]]
    assert found["predictor"] == "params" and "params" not in found["baselines"]
    assert found["kendall"]["all"]["value"] == pytest.approx(stats.kendalltau(params, (0.9, 0.8, 0.7, 0.6)).statistic)


def with_merit(found: Measurement) -> Measurement:
    cost = found.terms["trainability_cost"]
    assert cost.value is not None
    return replace(found, terms={**found.terms, "merit": Estimate(1 - cost.value, cost.standard_error)})
