"""Every experiment runs, at small size."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def run(name: str, folder: Path, *words: str) -> dict[str, object]:
    """The JSON object that the experiment prints last."""
    command = [sys.executable, str(EXPERIMENTS / name / "run.py"), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_recommended_against_random(tmp_path: Path) -> None:
    words = ["out=here", "dataset=digits", "seed=1,2", "budget.trials=12", "search.batch=6", "validation.matched=2"]
    small = ["space.depth_max=6", "space.widths=[8]", "budget.params_band=0.3", "trainer.steps=2"]
    found = run("001_recommended_against_random", tmp_path, *words, *small)
    assert found["searches"] == 2 and found["random"] == 4
    assert 0 <= int(str(found["random_beaten"])) <= 4
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0
    assert len((tmp_path / "here" / "table.csv").read_text().splitlines()) == 3


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_skip_density(tmp_path: Path) -> None:
    small = [
        "width=16",
        "depth=6",
        "chi=[0.5]",
        "densities=5",
        "groups=8",
        "patterns=4",
        "phase_depth=8",
        "phase_densities=9",
    ]
    found = run("002_skip_density", tmp_path, "out=here", *small)
    assert float(str(found["max_z_stratified"])) < 4
    assert float(str(found["max_z_quenched"])) < 4
    [row] = table(tmp_path / "here" / "table.csv")
    assert float(row["s_star"]) == 0.5 and math.isclose(float(row["s_q"]), 0.6309)
    assert float(row["stratified"]) < float(row["quenched"])
    assert len(table(tmp_path / "here" / "curves.csv")) == 5
    assert not (tmp_path / "outputs").exists()
    for name in ("figure.png", "phase_diagram.png"):
        assert (tmp_path / "here" / name).stat().st_size > 0


def test_pruning(tmp_path: Path) -> None:
    small = ["width=12", "depth=8", "draws=128", "ratios=[0,0.25,0.75]"]
    found = run("003_pruning", tmp_path, "out=here", *small)
    assert found["paths"] == 2**8
    assert all(float(str(found[name])) < 4 for name in ("max_z_norm", "max_z_removed", "max_z_lengths"))
    rows = table(tmp_path / "here" / "table.csv")
    assert {int(row["paths"]) for row in rows} == {2**8, 2**6, 2**2}
    for row in rows:
        removed, alone = float(row["damage_removed"]), float(row["damage_alone"])
        # behind the last branches nothing is left whose masks could differ; elsewhere the closed form is a lower bound
        assert alone == removed if row["criterion"] == "last" else alone >= removed - 4 * float(row["damage_alone_se"])
        weakest = next(r for r in rows if r["criterion"] == "lowest_energy" and r["ratio"] == row["ratio"])
        assert float(weakest["damage_closed"]) <= float(row["damage_closed"])
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_placement(tmp_path: Path) -> None:
    small = ["widths=[64]", "depths=[4,8,16,32]", "fit_from=8", "block_width=64", "block_depth=8", "block_draws=64"]
    found = run("004_placement", tmp_path, "out=here", *small)
    assert float(str(found["deviation_to_allowance"]["64"])) < 1  # type: ignore[index]
    assert float(str(found["max_z_net"])) < 4
    deepest = {(row["activation"], row["placement"]): row for row in table(tmp_path / "here" / "curves.csv")}
    for column in ("log_norm_closed", "log_norm"):
        order = [float(deepest["relu", name][column]) for name in ("none", "sandwich", "pre", "deepnorm")]
        assert order == sorted(order, reverse=True)
    net = {
        (row["activation"], row["outer_bias"]): float(row["net"]) for row in table(tmp_path / "here" / "contraction.csv")
    }
    assert net["relu", "0.5"] < 1 and net["tanh", "0.5"] < 1
    unbiased = {row["activation"]: float(row["net"]) for row in reversed(table(tmp_path / "here" / "contraction.csv"))}
    assert unbiased["relu"] == 1 and unbiased["tanh"] > 1 and unbiased["gelu"] > 1
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_foreign_models(tmp_path: Path) -> None:
    """The DenseNet alone, which needs no other package."""
    small = ["models=[densenet]", "depths=[4,8]", "pixels=16", "batch=2", "reinitialize=2"]
    found = run("006_foreign_models", tmp_path, "out=here", *small)
    rows = found["rows"]
    assert isinstance(rows, list) and [row["blocks"] for row in rows] == [4, 8]
    assert all(row["norm_law"] and row["norm_low"] <= row["norm_rate"] <= row["norm_high"] for row in rows)
    layers = table(tmp_path / "here" / "layers.csv")
    assert {row["direction"] for row in layers} == {"forward", "backward"} and len(layers) == 2 * (4 + 8 + 4)
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_bdf2_stiff(tmp_path: Path) -> None:
    small = ["steps=[20,40,80]", "tolerances=[1e-3,1e-4]", "looked_at=1e-4", "matrices=10"]
    found = run("007_bdf2_stiff", tmp_path, "out=here", *small)
    orders, exponents = found["last_order"], found["tolerance_exponent"]
    assert isinstance(orders, dict) and all(1.9 < order < 2.05 for order in orders.values())
    assert isinstance(exponents, dict) and all(0.5 < exponent < 0.9 for exponent in exponents.values())
    rows = table(tmp_path / "here" / "table.csv")
    assert len(rows) == 3 * 2 * 2
    assert all(float(row["end_error"]) < 1e3 * float(row["tolerance"]) for row in rows)
    robertson = [row for row in table(tmp_path / "here" / "matrices.csv") if row["problem"] == "robertson"]
    assert sum(abs(float(row["real"]) - 1) < 1e-3 for row in robertson) >= len(robertson) / 3  # mass: λ = 0
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_reactor(tmp_path: Path) -> None:
    small = ["end=60", "gray_scott=[0.12,0.17]", "gray_scott_end=200", "width=32"]
    found = run("008_reactor", tmp_path, "out=here", *small)
    assert "only there" in str(found["note"])
    events = table(tmp_path / "here" / "table.csv")
    kinds = [(row["kind"], float(row["dilution"])) for row in events]
    expected = [("hopf", 0.5), ("hopf", 0.0980469999), ("fold", 0.01), ("hopf", 0.0152786405), ("fold", 0.16)]
    assert [kind for kind, _ in kinds] == [kind for kind, _ in expected]
    assert all(math.isclose(a, b, rel_tol=1e-8) for (_, a), (_, b) in zip(kinds, expected, strict=True))
    runs = found["runs"]
    assert isinstance(runs, list) and [run["swing"] > 0.1 for run in runs] == [True, False, False, False]
    assert runs[2]["end"][1] > 0.5 > 1e-6 > runs[3]["end"][1] and all(run["off_radau"] < 1e-3 for run in runs)
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_preln_vs_postln(tmp_path: Path) -> None:
    small = ["depths=[2,4]", "tokens=8", "width=16", "trained=[1]", "steps=3", "rates=[1e-2]", "seeds=[0]", "batch=8"]
    found = run("009_preln_vs_postln", tmp_path, "out=here", *small)
    norms = {(row["kind"], row["placement"], row["layers"]): row for row in found["norms"]}  # type: ignore[attr-defined]
    assert len(norms) == 8
    # the closed form's order: what differs between tokens grows in pre-LN, and goes in post-LN
    for kind in ("decoder", "encoder"):
        for column in ("token_mean_log", "closed_differential"):
            values = [norms[kind, placement, 4][column] for placement in ("pre", "post")]
            assert values[0] > norms[kind, "pre", 2][column] > 0 > values[1]
    assert {row["branches"] for row in found["best"]} == {"plain", "matched"}  # type: ignore[attr-defined]
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_leaky_blocks(tmp_path: Path) -> None:
    chain = ["width=16", "depth=3", "steps=[0.25,0.5,2.0]", "shown=2.0", "block_width=24"]
    training = [
        "trained_width=8",
        "trained_depth=2",
        "trained_steps=[0.25,0.5]",
        "updates=3",
        "rates=[1e-2]",
        "seeds=[0,1]",
    ]
    found = run("010_leaky_blocks", tmp_path, "out=here", *chain, *training)
    assert float(str(found["leaky_off_shift"])) < 1e-10 and float(str(found["max_z_closed_form"])) < 4
    norms = {(row["kind"], float(row["step"])): row for row in table(tmp_path / "here" / "norms.csv")}
    assert ("leaky", 2.0) not in norms and ("implicit", 2.0) in norms
    assert float(norms["explicit", 2.0]["mean_log"]) > 0 > float(norms["implicit", 2.0]["mean_log"])
    rows = {(row["kind"], float(row["step"])): row for row in table(tmp_path / "here" / "table.csv")}
    assert len({row["params"] for row in rows.values() if row["params"]}) == 1 and rows["leaky", 0.5]["accuracy"] != ""
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_growing(tmp_path: Path) -> None:
    small = ["width=16", "depth=3", "steps=40", "seeds=[0,1]", "gains=[0.1,1.0]", "most=128", "smooth=5"]
    found = run("011_growing", tmp_path, "out=here", *small)
    arms = found["arms"]
    assert isinstance(arms, dict)
    for name in ("shallow", "zero_last", "rezero"):  # nothing changes at first
        assert arms[name]["loss_grown"] == arms[name]["loss_before"]
    assert arms["naive"]["loss_grown"][0] > 2 * arms["small_gain"]["loss_grown"][0]
    small_blocks = found["bounds"][0]  # type: ignore[index]
    assert small_blocks["worst_case"] < small_blocks["edge"] < small_blocks["rms"]
    assert small_blocks["edge"] / 2 < small_blocks["blocks_sigma_beyond_tau"] < small_blocks["edge"] * 2
    assert len(table(tmp_path / "here" / "table.csv")) == 2 * 7 and len(table(tmp_path / "here" / "bounds.csv")) == 4
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_pruning_trained(tmp_path: Path) -> None:
    small = [
        "width=16",
        "depth=6",
        "steps=60",
        "seeds=[0]",
        "ratios=[0,0.5]",
        "fine_tuned=[0.5]",
        "fine_tune=5",
        "points=4",
    ]
    found = run("012_pruning_trained", tmp_path, "out=here", *small)
    rows = table(tmp_path / "here" / "table.csv")
    assert len(rows) == 8 * 2 and {row["kept"] for row in rows} == {"6", "3"}
    whole = found["whole"]
    assert isinstance(whole, dict)
    assert all(float(row["effective_depth"]) < whole["effective_depth"][0] for row in rows if row["ratio"] == "0.5")
    assert all(bool(row["fine_tuned"]) == (row["ratio"] == "0.5") for row in rows)
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_phase_diagram(tmp_path: Path) -> None:
    chains = ["width=16", "depths=[2,24]", "densities=[0.0,0.5,1.0]", "placements=[none,pre]", "wirings=2"]
    found = run("014_phase_diagram", tmp_path, "out=here", *chains, "steps=20", "rates=[1e-2]", "seeds=[0]", "fine=5")
    assert found["s_star"] == 0.5 and math.isclose(float(str(found["s_q"])), math.log(2) / math.log(3))
    cells = {(row["placement"], int(row["depth"]), float(row["s"])): row for row in table(tmp_path / "here" / "table.csv")}
    assert len(cells) == 2 * 2 * 3
    for depth in (2, 24):
        for s in (0.0, 0.5, 1.0):  # chains of one branch energy: L log (s + 1/2), and L (s log 3 - log 2) for typical ones
            row = cells["none", depth, s]
            assert math.isclose(float(row["annealed"]), depth * math.log(s + 0.5), abs_tol=1e-12)
            assert math.isclose(float(row["typical"]), depth * (s * math.log(3) - math.log(2)))
    for placement in ("none", "pre"):
        for s in (0.0, 0.5, 1.0):  # two inputs only ever come closer
            assert (
                float(cells[placement, 24, s]["log_decorrelation"]) < float(cells[placement, 2, s]["log_decorrelation"]) < 0
            )
        assert cells[placement, 24, 0.5]["wirings"] == "2" and cells[placement, 24, 1.0]["wirings"] == "1"
    assert float(cells["pre", 24, 1.0]["accuracy"]) > 0.5 > float(cells["none", 24, 0.0]["accuracy"])
    assert len(table(tmp_path / "here" / "wirings.csv")) == found["networks"]
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_causality(tmp_path: Path) -> None:
    levers = ["width=16", "depth=6", "gains=[0.7,1.5]", "densities=[0.0,1.0]", "placements=[none,res_post]", "draws=16"]
    rates = ["adamw_rates=[1e-2]", "sgd_rates=[0.1]", "plain_rates=[0.1,1e-3]"]
    found = run("015_causality", tmp_path, "out=here", *levers, *rates, "steps=10", "seeds=[0]")
    rows = {(row["placement"], row["s"], row["gain"]): row for row in table(tmp_path / "here" / "table.csv")}
    assert len(rows) == found["networks"] == 8 and found["depth"] == [6] and found["flops"] == [6 * 2 * 2 * 16**2]
    assert found["params"] == [6 * 2 * (16**2 + 16), 6 * 2 * (16**2 + 16 + 16)]  # with a norm in each block
    assert float(rows["none", "0.0", "0.7"]["mean_log"]) < 6 * math.log(0.7**4 / 2)  # log E without skips, any width
    assert float(rows["none", "1.0", "1.5"]["mean_log"]) < 6 * math.log(1 + 1.5**4 / 2)
    ranges, directions = found["gain_ranges"], found["gain_directions"]
    assert isinstance(ranges, dict) and isinstance(directions, dict)
    assert ranges["res_post"]["trainability_cost"] < 0.01 < 1 < ranges["none"]["trainability_cost"]
    assert list(directions) == ["none"], "the norm on the branch takes the gain out"
    effects = found["effects"]
    assert isinstance(effects, dict)
    for shares in effects.values():
        assert math.isclose(sum(shares.values()), 1, abs_tol=0.01) and min(shares.values()) > -0.01
    table_of_ranks = table(tmp_path / "here" / "spearman.csv")
    assert len(table_of_ranks) == 3 * 7 * 9
    assert all(abs(float(row["rho"])) <= 1 for row in table_of_ranks if row["rho"])
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_groundtruth_and_which_score(tmp_path: Path) -> None:
    """A table of a few chains: made, found again, asked by SQL, and judged."""
    small = ["kinds=residual_mlp", "validation.random=24", "trainer.steps=4", "space.depth_max=6", "space.widths=[8]"]
    first, again = (run("groundtruth", tmp_path, "out=here", "stages=table", *small) for _ in range(2))
    assert first == again and first["residual_mlp"]["architectures"] == 72  # type: ignore[index]
    path = tmp_path / "here" / "groundtruth.csv.gz"
    sql = "SELECT half, count(*) AS n, sum(status = 'ok') AS ok FROM groundtruth GROUP BY half ORDER BY half"
    nasjac = [sys.executable, "-c", "from nasjac.cli import main; main()"]
    command = [*nasjac, "query", "--table", str(path), sql, "--format", "json"]
    found = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert [(row["half"], row["n"]) for row in found] == [("choose", 48), ("report", 24)]
    words = [f"groundtruth={path}", "kinds=[residual_mlp]", "half=choose", "resamples=20", "out=judged"]
    [row] = run("which_score", tmp_path, *words)["tables"]  # type: ignore[misc]
    assert row["n"] == found[0]["ok"] and row["spearman_low"] <= row["spearman"] <= row["spearman_high"]
    scores = {row["score"]: float(row["spearman"]) for row in table(tmp_path / "judged" / "scores.csv")}
    assert scores["merit"] == row["spearman"] and len(scores) == 1 + 6 + 2 + 6 + 12 + 3 + 2
    assert (tmp_path / "judged" / "figure.png").stat().st_size > 0


def test_search_value(tmp_path: Path) -> None:
    chains = ["seconds=2", "seeds=[1,2]", "depth=4", "widths=[8]", "among=16", "picks=2"]
    training = ["rates=[1e-2]", "train_seeds=[0]", "final_seeds=[1]", "brief=3", "first=1", "rungs=2", "long=30", "wide=3"]
    found = run("016_search_value", tmp_path, "out=here", *chains, *training)
    assert found["samples"] == {"train": 1154, "select": 288, "report": 355}
    rows = table(tmp_path / "here" / "table.csv")
    assert len(rows) == 2 * (5 + 2) and {row["width"] for row in rows} == {"8"}
    for row in rows:
        if row["arm"] in ("merit", "jacobian", "training", "halving"):
            assert float(row["cpu_seconds"]) > 0.2 and int(row["looked_at"]) > 1
    sizes = {arm: sum(int(row["params"]) for row in rows if row["arm"] == arm) for arm in ("largest", "random")}
    assert sizes["largest"] > sizes["random"] / 2  # of two picks a seed
    arms = {(row["arm"], row["figure"]): row for row in table(tmp_path / "here" / "arms.csv")}
    assert len(arms) == 6 * 6
    for (arm, figure), row in arms.items():
        difference = float(row["mean"]) - float(arms["merit", figure]["mean"])
        assert math.isclose(float(row["less_merit"]), difference, abs_tol=2e-4)
        assert arm != "merit" or (row["less_merit"], row["equal"]) == ("0.0", "2")
    assert all(float(arms[arm, "long_loss"]["mean"]) < float(arms[arm, "brief_loss"]["mean"]) for arm, _ in arms)
    assert (tmp_path / "here" / "figure.png").stat().st_size > 0


def test_every_experiment_is_a_folder_with_its_story() -> None:
    for folder in EXPERIMENTS.iterdir():
        assert (folder / "README.md").read_text().startswith("# ")
        assert (folder / "run.py").exists()
        assert f"experiments/{folder.name}/run.py" in (folder / "README.md").read_text()
