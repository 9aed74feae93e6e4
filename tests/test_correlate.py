"""nasjac correlate: what it reads, what it says of bad rows, and its figures against their definitions."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from nasjac.reporting.correlated import agreement, strata, warnings
from nasjac.spaces import TABLE_SPACES
from nasjac.spaces.nasbench201 import NasBench201
from nasjac.spaces.tabular import read_table
from nasjac.spec import Block, Spec
from tests.test_cli import Run, run  # noqa: F401

SPACE = NasBench201()


def table(path: Path, count: int = 60, extra: str = "") -> Path:
    """Random cells; accuracy is parameters with noise."""
    generator = np.random.default_rng(0)
    cells = {cell.arch: cell for cell in SPACE.random(count, seed=3)}
    accuracies = [SPACE.facts(cell)["params"] / 2e4 + generator.normal(0, 5) for cell in cells.values()]
    rows = [f"{arch},{value:.3f},{value / 2:.3f}\n" for arch, value in zip(cells, accuracies, strict=True)]
    path.write_text("arch_str,cifar10_test,cifar100_test\n" + "".join(rows) + extra)
    return path


def answer(run: Run, *words: str) -> dict[str, Any]:  # noqa: F811
    code, out, err = run("correlate", "format=json", "quiet=true", *words)
    assert code == 0 and err == "", err
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def test_the_object_that_json_prints(run: Run) -> None:  # noqa: F811
    path = table(Path("t.csv"))
    found = answer(run, f"table={path}", "space=nasbench201", "score=flops", "resamples=200", "out=found")
    assert {"kendall_tau", "spearman", "interval", "baselines", "seconds_per_architecture", "n", "missing"} <= set(found)
    lines = [line.split(",") for line in path.read_text().splitlines()[1:]]
    flops = [SPACE.facts(SPACE.parse(arch))["flops"] for arch, *_ in lines]
    truth = [float(value) for _, value, _ in lines]
    assert found["n"] == len(lines) == 60 and found["missing"] == 0
    assert found["kendall_tau"] == pytest.approx(stats.kendalltau(flops, truth).statistic, abs=1e-6)
    assert found["spearman"] == pytest.approx(stats.spearmanr(flops, truth).statistic)
    low, high = found["interval"]
    assert low < found["kendall_tau"] < high and 0.05 < high - low < 0.4
    assert set(found["baselines"]) == {"params", "flops", "depth", "depth_log_width", "skip_count"}
    assert found["baselines"]["flops"]["kendall_tau"] == found["kendall_tau"]
    assert found["other_targets"]["cifar100_test"]["kendall_tau"] == pytest.approx(found["kendall_tau"], abs=0.01)
    assert json.loads(Path("found/summary.json").read_text()) == found
    assert len(Path("found/scores.csv").read_text().splitlines()) == 61


def test_bad_rows_are_named_and_counted(run: Run) -> None:  # noqa: F811
    first = "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"
    good = "|none~0|+|none~0|none~1|+|none~0|none~1|avg_pool_3x3~2|"
    bad = [
        f"{first},10,nan",
        f"{first},11,1",
        "|oops|,1,1",
        f"{good},nan,3",
        f"{good.replace('avg_pool_3x3', 'conv')},1,1",
        "a,b",
    ]
    extra = "".join(f"{line}\n" for line in bad)
    path = table(Path("t.csv"), extra=extra)
    path.write_text(path.read_text().replace("cifar100_test", "cifar100_test,colour", 1).replace("\n", ",red\n")[:-1])
    path.write_text(path.read_text().replace("cifar100_test,colour,red", "cifar100_test,colour"))
    found = answer(run, f"table={path}", "score=params", "resamples=50")
    problems = {(problem["row"], problem["column"]): problem["reason"] for problem in found["problems"]}
    assert "unknown column; nasbench201 knows arch_str, cifar10_test" in problems.pop((1, "colour"))
    assert problems.pop((62, "cifar100_test")) == "not a finite number: 'nan'"
    assert problems.pop((63, "arch_str")) == "the architecture of row 62 again"
    assert "`arch` must be of the form" in problems.pop((64, "arch_str"))
    assert problems.pop((65, "cifar10_test")) == "not a finite number: 'nan'"
    assert "got 'conv'" in problems.pop((66, "arch_str"))
    assert problems.pop((67, "arch_str")) == "3 cells for 4 columns" and not problems
    assert found["n"] == 61 and found["missing"] == 5 and found["other_targets"]["cifar100_test"]["n"] == 60
    code, out, _ = run("correlate", f"table={path}", "score=params", "resamples=50")
    assert code == 0 and "row 63, arch_str: the architecture of row 62 again" in out and "missing: 5" in out


def test_halves_are_disjoint_and_n_draws_within_one(run: Run) -> None:  # noqa: F811
    path = table(Path("t.csv"), 200)
    sizes = [
        answer(run, f"table={path}", "score=depth", "resamples=10", f"half={half}")["n"]
        for half in ("all", "choose", "report")
    ]
    assert sizes[0] == sizes[1] + sizes[2] and min(sizes) > 60
    few = answer(run, f"table={path}", "score=depth", "resamples=10", "half=choose", "n=20", "out=a")
    again = answer(run, f"table={path}", "score=depth", "resamples=10", "half=choose", "n=20", "out=b")
    assert few["n"] == 20 and few["kendall_tau"] == again["kendall_tau"]
    assert Path("a/scores.csv").read_text() == Path("b/scores.csv").read_text()
    rest = answer(run, f"table={path}", "score=depth", "resamples=10", "half=report", "out=c")
    rows = [{line.split(",")[0] for line in Path(f"{folder}/scores.csv").read_text().splitlines()[1:]} for folder in "ac"]
    assert not rows[0] & rows[1] and len(rows[1]) == rest["n"]
    assert "300 architectures were asked for" in answer(run, f"table={path}", "score=depth", "n=300")["warnings"][0]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["table=none.csv"], ["`table`", "CSV", "none.csv"]),
        (["table=t.csv", "space=nasbench"], ["nasbench201"]),
        (["table=t.csv", "score=sinflow"], ["synflow", "merit"]),
        (["table=t.csv", "target=acc"], ["`target`", "cifar10_test", "'acc'"]),
        (["table=t.csv", "half=both"], ["`half`", "choose", "'both'"]),
        (["table=t.csv", "n=0"], ["`n`", "at least 1"]),
        (["table=t.csv", "space=resnet", "score=params"], ["`table`", "column spec", "arch_str"]),
        (["table=t.csv", "space=resnet"], ["`score`", "params", "merit", "resnet"]),
        (["table=t.csv", "dataset=digits"], ["`dataset`", "(3, 32, 32)", "(1, 8, 8)"]),
        (["table=empty.csv", "score=params"], ["`table`", "column arch_str"]),
        (["table=twice.csv", "score=params"], ["`table`", "arch_str twice"]),
        (["table=binary.csv", "score=params"], ["`table`", "CSV", "binary.csv"]),
        ([], ["table"]),
    ],
)
def test_what_is_wrong_is_one_sentence(run: Run, words: list[str], parts: list[str]) -> None:  # noqa: F811
    table(Path("t.csv"), 5)
    Path("empty.csv").write_text("")
    Path("twice.csv").write_text("arch_str,arch_str,cifar10_test\n")
    Path("binary.csv").write_bytes(bytes(range(256)))
    code, out, err = run("correlate", *words)
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert all(part in err for part in parts), err


def test_a_table_of_our_own_architectures(run: Run) -> None:  # noqa: F811
    """Compressed too; accuracy grows with depth, which then agrees perfectly."""
    specs = [Spec(8, (Block(),) * depth) for depth in range(1, 11)]
    quoted = ['"' + spec.to_json().replace('"', '""') + '"' for spec in specs]
    text = "key,spec,accuracy\n" + "".join(
        f"{s.key},{q},{n / 10}\n" for n, (s, q) in enumerate(zip(specs, quoted, strict=True))
    )
    text += (
        'x,"{""width"": 3, ""blocks"": 1}",0.5\nx,"{""width"": 8, ""blocks"": [], ""kind"": ""unknown""}",0.5\nx,1,0.5\n'
    )
    with gzip.open("own.csv.gz", "wt") as file:
        file.write(text)
    found = answer(run, "table=own.csv.gz", "space=residual_mlp", "score=depth", "resamples=50")
    assert found["n"] == 10 and found["kendall_tau"] == pytest.approx(1) and found["missing"] == 3
    assert found["interval"] is None, "all resamples agree perfectly, which says nothing of the error"
    assert len(read_table("own.csv.gz", TABLE_SPACES["resnet"]).problems) == 13  # type: ignore[arg-type]


def test_the_paired_difference_and_the_warning() -> None:
    """A score that is the best baseline with noise does not beat it; one that adds what that lacks does, within strata."""
    generator = np.random.default_rng(4)
    size, other = generator.uniform(1, 3, 300), generator.normal(size=300)
    truth = size + other
    depth = generator.integers(1, 4, 300).astype(float)
    baselines = {"params": size, "depth": depth}
    within = strata(size, depth)
    better = agreement(truth + generator.normal(0, 0.3, 300), truth, baselines, within, 300, 0)
    assert better["best_baseline"] == "params" and better["difference_interval"][0] > 0 and not warnings(better, "s")
    assert better["difference"] == pytest.approx(better["kendall_tau"] - better["baselines"]["params"]["kendall_tau"])
    worse = agreement(size + generator.normal(0, 1.0, 300), truth, baselines, within, 300, 0)
    assert worse["difference_interval"][1] < 0
    assert "s does not beat params within equal depth: tau" in warnings(worse, "s")[-1]
    pairs = [(i, j) for i in range(300) for j in range(i) if depth[i] == depth[j]]
    assert better["strata"]["equal_depth"]["pairs"] == len(pairs)


def test_figures_that_do_not_exist_are_none() -> None:
    for n in (0, 1, 2):
        zeros = np.zeros(n)
        found = agreement(zeros, zeros, {"params": zeros}, strata(zeros, zeros), 20, 0)
        assert found["kendall_tau"] is None and found["interval"] is None and found["spearman"] is None
        json.dumps(found, allow_nan=False)
