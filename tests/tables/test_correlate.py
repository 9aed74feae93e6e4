"""nasjac correlate: what it reads, what it says of bad rows, and its figures against their definitions."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import nasjac
from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.tables.agreement import agreement, strata, warnings
from nasjac.tables.file import read_table
from nasjac.tables.nasbench201.space import NasBench201
from nasjac.tables.scores.fact import Fact
from nasjac.tables.spec_table import SpecTable
from tests.cli.test_cli import Run, run  # noqa: F401

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
    assert set(found["baselines"]) == {"params", "flops", "depth", "depth_log_width", "skip_count", "plain_blocks"}
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
        (["table=none.csv"], ["`table`", "a file that exists", "none.csv"]),
        (["table=t.csv", "space=nasbench"], ["nasbench201"]),
        (["table=t.csv", "score=sinflow"], ["synflow", "merit"]),
        (["table=t.csv", "target=acc"], ["`target`", "cifar10_test", "'acc'"]),
        (["table=t.csv", "half=both"], ["`half`", "choose", "'both'"]),
        (["table=t.csv", "n=0"], ["`n`", "at least 1"]),
        (["table=t.csv", "space=resnet", "score=params"], ["`table`", "column spec", "arch_str"]),
        (
            ["table=t.csv", "space=resnet", "score=synflow"],
            ["`space`", "nasbench201, nasbench_macro for score synflow", "resnet"],
        ),
        (["table=t.csv", "score=spread"], ["`space`", "residual_mlp, transformer_lm", "score spread", "nasbench201"]),
        (["table=t.csv", "dataset=digits"], ["`dataset`", "(3, 32, 32)", "(1, 8, 8)"]),
        (["table=empty.csv", "score=params"], ["`table`", "a header", "got none in empty.csv"]),
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
    specs = [Spec.of(width=8, blocks=(Block(),) * depth) for depth in range(1, 11)]
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
    other = read_table("own.csv.gz", SpecTable("resnet"))
    assert len(other.problems) == 3 and other.elsewhere == [*range(2, 12)] and not other.entries


NAMES = "kind,key,dataset,status,accuracy,loss,train_loss,accuracy_0,accuracy_1,loss_0,loss_1,learning_rate,half,spec"


def mlp(number: int) -> Spec:
    """Different ones: those of a number below 32 by their skips alone."""
    return Spec.of(width=8 << number // 32, blocks=tuple(Block(skip=float(number >> place & 1)) for place in range(5)))


def decoder(number: int) -> Spec:
    return Spec.of(
        width=8,
        blocks=(Block(op="attention"), Block())[: number % 2 + 1],
        kind="transformer_lm",
        context=16,
        heads=1 + number // 2,
    )


def line(architecture: Spec, **cells: object) -> str:
    """A row of our own table; what is not given is empty."""
    given: dict[str, object] = {
        "kind": architecture.kind,
        "key": architecture.key,
        "dataset": "digits",
        "status": "ok",
        "half": "choose",
    }
    given |= {"spec": architecture.to_json(), **cells}
    return ",".join('"' + str(given.get(name, "")).replace('"', '""') + '"' for name in NAMES.split(",")) + "\n"


def own_table(extra: str = "") -> dict[str, list[float]]:
    """own.csv: 40 chains, the fourth of each five on the report half, two of them diverged, and 4 decoders. Figures of the
    others by name.
    """
    generator, truth, lines = np.random.default_rng(1), dict[str, list[float]](), list[str]()
    for number in range(40):
        spec, half = mlp(number), "report" if number % 5 == 3 else "choose"
        skips = SpecTable().facts(spec)["skip_count"]
        seeds = skips / 10 + generator.normal(0, 0.05, 2)
        figures = {"accuracy": seeds.mean(), "loss": 2 - seeds.mean(), "train_loss": generator.uniform()}
        figures |= {"accuracy_0": seeds[0], "accuracy_1": seeds[1], "loss_0": 2 - seeds[0], "loss_1": 3 - seeds[1]}
        if number in (7, 8):
            lines += [line(spec, status="diverged", half=half, accuracy_0=0.1)]
            continue
        lines += [line(spec, half=half, **figures)]
        for name, value in {"skips": skips, "report": half == "report", **figures}.items():
            truth.setdefault(name, []).append(float(value))
    lines += [line(decoder(number), loss=number, train_loss=number, accuracy=number) for number in range(4)]
    Path("own.csv").write_text(NAMES + "\n" + "".join(lines) + extra)
    return truth


OWN = ("table=own.csv", "space=residual_mlp", "resamples=100")


def test_our_own_table_of_several_kinds(run: Run) -> None:  # noqa: F811
    """Figures, losses turned round, failures, rows of other kinds, the noise ceiling: against scipy."""
    truth = own_table()
    found = answer(run, *OWN, "score=skip_count", "out=found")
    assert (found["n"], found["elsewhere"], found["missing"], found["missing_rows"]) == (38, 4, 2, 0)
    assert found["missing_targets"] == {"diverged": 2} and found["missing_scores"] == {} and found["problems"] == []
    for name, sign in (("accuracy", 1), ("loss", -1), ("train_loss", -1)):
        block = found if name == "accuracy" else found["other_targets"][name]
        tau, rho = (of(truth["skips"], truth[name]).statistic for of in (stats.kendalltau, stats.spearmanr))
        assert block["kendall_tau"] == pytest.approx(sign * tau, abs=1e-6) and block["lower_is_better"] == (sign < 0)
        assert block["spearman"] == pytest.approx(sign * rho)
    assert found["kendall_tau"] > 0.5 and found["other_targets"]["loss"]["kendall_tau"] > 0.5
    assert found["other_targets"]["loss"]["top"]["regret"] >= 0
    ceiling = stats.spearmanr(truth["accuracy_0"], truth["accuracy_1"]).statistic
    assert found["noise_ceiling"] == pytest.approx(ceiling)
    assert found["other_targets"]["loss"]["noise_ceiling"] == pytest.approx(ceiling)
    assert found["other_targets"]["train_loss"]["noise_ceiling"] is None
    losses = [float(row.split(",")[5]) for row in Path("found/scores.csv").read_text().splitlines()[1:]]
    assert losses == pytest.approx(truth["loss"]), "as in the table"
    code, out, _ = run("correlate", *OWN, "score=skip_count", "target=loss")
    assert code == 0 and "loss (lower is better): 38 architectures" in out and "accuracy: 38 architectures" in out
    assert f"noise ceiling: spearman {ceiling:.3f} between two training seeds" in out
    assert "2 without a target: diverged" in out and "elsewhere: 4 rows of other kinds than residual_mlp" in out
    other = answer(run, "table=own.csv", "space=transformer_lm", "score=depth", "resamples=0")
    assert (other["n"], other["elsewhere"], other["noise_ceiling"]) == (4, 40, None)
    none = answer(run, "table=own.csv", "space=vit", "score=depth")
    assert none["n"] == 0 and none["elsewhere"] == 44 and "no architecture of vit in the table" in none["warnings"][0]


def test_the_halves_are_those_of_the_table(run: Run) -> None:  # noqa: F811
    truth = own_table()
    report = [place for place, is_report in enumerate(truth["report"]) if is_report]
    found = answer(run, *OWN, "score=skip_count", "half=report")
    assert (found["n"], found["missing"]) == (7, 1) and len(report) == 7
    seeds = [[truth[name][place] for place in report] for name in ("accuracy_0", "accuracy_1")]
    assert found["noise_ceiling"] == pytest.approx(stats.spearmanr(*seeds).statistic)
    rest = answer(run, *OWN, "score=skip_count", "half=choose")
    assert (rest["n"], rest["missing"]) == (31, 1)


def test_bad_rows_of_our_own_table(run: Run) -> None:  # noqa: F811
    good = mlp(40)
    bad = [
        line(good, accuracy="nan", loss=1, train_loss=1, accuracy_0=0.1, accuracy_1="x"),
        line(mlp(0), accuracy=0.5, loss=1, train_loss=1),
        line(mlp(41), kind="resnett", accuracy=0.5),
        line(decoder(0), kind="residual_mlp", accuracy=0.5),
        line(mlp(42), status="lost", accuracy=0.5),
        line(mlp(43), half="third", accuracy=0.5),
        line(mlp(44), status="diverged", accuracy=0.5),
        line(mlp(45), accuracy="", loss=1, train_loss=1),
        line(mlp(46), spec="{", accuracy=0.5),
        line(mlp(47), kind="resnet", spec="{", status="lost"),
    ]
    own_table("".join(bad))
    found = answer(run, *OWN, "score=depth")
    said = [(problem["row"], problem["column"], problem["reason"]) for problem in found["problems"]]
    expected = [
        (46, "accuracy", "not a finite number: 'nan'"),
        (46, "accuracy_1", "not a finite number: 'x'"),
        (47, "spec", "the architecture of row 2 again"),
        (48, "kind", "`kind` must be one of residual_mlp"),
        (49, "spec", "got transformer_lm, where `kind` is residual_mlp"),
        (50, "status", "`status` must be one of ok, diverged, got 'lost'"),
        (51, "half", "`half` must be one of choose, report, got 'third'"),
        (52, "status", "diverged, but accuracy is '0.5'"),
        (53, "accuracy", "not a finite number: ''"),
        (54, "spec", "`spec` must be the JSON of a Spec"),
    ]
    assert [place[:2] for place in said] == [place[:2] for place in expected]
    assert all(part in reason for (*_, reason), (*_, part) in zip(said, expected, strict=True))
    assert (found["n"], found["missing_rows"], found["missing"], found["elsewhere"]) == (38, 9, 11, 5)
    assert found["other_targets"]["loss"]["n"] == 38, "of those that the target has"
    Path("own.csv").write_text(Path("own.csv").read_text().replace("learning_rate", "rate", 1))
    [first, *_] = answer(run, *OWN, "score=depth")["problems"]
    assert first["row"] == 1 and first["column"] == "rate" and "unknown column; residual_mlp knows spec" in first["reason"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            ["space=residual_mlp", "dataset=text", "dataset.context=16"],
            ["`dataset`", "features", "residual_mlp", "token ids"],
        ),
        (["space=transformer_lm", "dataset=digits"], ["`dataset`", "tokens", "transformer_lm", "64 features"]),
        (["space=transformer_lm", "dataset=text", "dataset.context=8"], ["windows of 16 tokens", "got 8"]),
    ],
)
def test_a_dataset_that_does_not_fit_is_refused(run: Run, words: list[str], parts: list[str]) -> None:  # noqa: F811
    own_table()
    code, out, err = run("correlate", "table=own.csv", "score=spread", *words)
    assert code == 2 and out == "" and err.count("\n") == 1 and all(part in err for part in parts), err


def test_terms_of_the_jacobian_on_our_own_table(run: Run) -> None:  # noqa: F811
    own_table()
    words = ("score.max_draws=16", "resamples=20", "n=4", "out=found")
    found = answer(run, *OWN[:2], "score=criticality", "dataset=digits", *words)
    assert found["n"] == 4 and found["missing_scores"] == {} and found["score"]["which"] == "criticality"
    assert all(float(row.split(",")[2]) <= 0 for row in Path("found/scores.csv").read_text().splitlines()[1:])
    text = ("dataset=text", "dataset.context=16", "dataset.limit=5000")
    tokens = answer(run, "table=own.csv", "space=transformer_lm", "score=token_differential", *text, *words)
    assert tokens["n"] == 4 and tokens["kendall_tau"] is not None
    none = answer(run, *OWN[:2], "score=token_differential", "dataset=digits", *words)
    assert none["n"] == 0 and none["missing_scores"] == {"no tokens: of transformers alone": 4}


def test_a_baseline_serves_in_either_direction() -> None:
    """Turned round it is the same rival under another name; its own row keeps the sign."""
    generator = np.random.default_rng(4)
    size, depth = generator.normal(size=(2, 100))
    truth, score = size + generator.normal(size=100), size + generator.normal(size=100)
    within = strata(np.exp(size), np.zeros(100))
    found, turned = (agreement(score, truth, {"size": s, "depth": depth}, within, 200, 0) for s in (size, -size))
    for one, other in ((found, turned), (found.strata["equal_depth"], turned.strata["equal_depth"])):
        for name in ("best_baseline", "best_baseline_spearman"):
            assert getattr(one, name) == "size" and getattr(other, name) == "-size"
        assert other.difference == pytest.approx(one.difference)
        assert other.difference_interval == pytest.approx(one.difference_interval)
    assert turned.baselines["size"].kendall_tau == pytest.approx(-found.baselines["size"].kendall_tau)
    gap = stats.spearmanr(score, truth).statistic - stats.spearmanr(size, truth).statistic
    for block in (found, turned, turned.strata["equal_depth"]):
        assert block.spearman_difference == pytest.approx(gap)
        assert block.spearman_difference_interval == pytest.approx(found.spearman_difference_interval, abs=1e-5)
    low, high = found.spearman_difference_interval
    assert low < gap < high
    lost = agreement(-score, truth, {"size": -size}, within, 200, 0)
    [said] = [text for text in warnings(lost, "s") if "depth" in text]
    own, rival = (stats.kendalltau(values, truth).statistic for values in (-score, size))
    low, high = lost.strata["equal_depth"].difference_interval
    between = f"a difference of {low:+.3f} to {high:+.3f}"
    assert said == f"s does not beat -size within equal depth: tau {own:.3f} against {rival:.3f}, {between}"


def test_the_paired_difference_and_the_warning() -> None:
    """A score that is the best baseline with noise does not beat it; one that adds what that lacks does, within strata."""
    generator = np.random.default_rng(4)
    size, other = generator.uniform(1, 3, 300), generator.normal(size=300)
    truth = size + other
    depth = generator.integers(1, 4, 300).astype(float)
    baselines = {"params": size, "depth": depth}
    within = strata(size, depth)
    better = agreement(truth + generator.normal(0, 0.3, 300), truth, baselines, within, 300, 0)
    assert better.best_baseline == "params" and better.difference_interval[0] > 0 and not warnings(better, "s")
    assert better.difference == pytest.approx(better.kendall_tau - better.baselines["params"].kendall_tau)
    worse = agreement(size + generator.normal(0, 1.0, 300), truth, baselines, within, 300, 0)
    assert worse.difference_interval[1] < 0
    assert "s does not beat params within equal depth: tau" in warnings(worse, "s")[-1]
    pairs = [(i, j) for i in range(300) for j in range(i) if depth[i] == depth[j]]
    assert better.strata["equal_depth"].pairs == len(pairs)


def test_figures_that_do_not_exist_are_none() -> None:
    for n in (0, 1, 2):
        zeros = np.zeros(n)
        found = agreement(zeros, zeros, {"params": zeros}, strata(zeros, zeros), 20, 0)
        assert found.kendall_tau is None and found.interval is None and found.spearman is None
        json.dumps(asdict(found), allow_nan=False)


def test_correlate_from_python_is_what_the_shell_prints(run: Run) -> None:  # noqa: F811
    path = table(Path("t.csv"))
    printed = answer(run, f"table={path}", "score=flops", "resamples=50")
    for space, score in (("nasbench201", "flops"), (NasBench201, Fact("flops")), (NasBench201(), "flops")):
        found = nasjac.correlate(path, space, score, resamples=50)
        same = json.loads(found.to_json()) | {"seconds_per_architecture": printed["seconds_per_architecture"]}
        assert same == printed and found.agreement.kendall_tau == printed["kendall_tau"]
    assert repr(found).startswith("Correlation(score='flops', space='nasbench201', target='cifar10_test', missing=0,\n")
    assert f"kendall_tau={found.agreement.kendall_tau:.3f} [" in repr(found) and repr(found).count("\n") <= 4
    refused: dict[str, dict[str, Any]] = {
        "`dataset` must be said for a score that runs networks, such as digits": {"score": "merit"},
        "`dataset` must be one of digits, ": {"score": "merit", "dataset": "mnist"},
        "`space` must be one of residual_mlp, .* for score spread, got nasbench201": {"score": "spread"},
        "`score` must be one of merit, .*, got 'flop'": {"score": "flop"},
        "`half` must be one of all, choose, report": {"half": "both"},
    }
    for said, options in refused.items():
        with pytest.raises(nasjac.InputError, match=said):
            nasjac.correlate(path, **{"score": "flops", **options})
