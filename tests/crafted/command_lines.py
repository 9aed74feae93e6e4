"""Random command lines: valid ones of every verb, with words that are wrong in some way, and what they are about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp

from nasjac.cli import main

#: options by which a search ends in a second or two
QUICK = [
    "quiet=true",
    "space.depth_max=5",
    "space.widths=[8]",
    "search.batch=4",
    "budget.trials=4",
    "budget.min_effective_depth=0.5",
    "validation.top=1",
    "validation.random=1",
    "validation.matched=0",
    "trainer.steps=2",
    "trainer.learning_rates=[0.01]",
    "trainer.seeds=[0]",
    "score=meanfield",
]
#: a command of each verb, in a folder that `furnish` has filled
VALID: list[list[str]] = [
    ["search", *QUICK],
    ["search", *QUICK, "study=k", "budget.trials=6"],
    ["search", *QUICK, "sampler=optuna.samplers.QMCSampler"],
    ["search", "-m", *QUICK, "seed=1,2", "format=json"],
    ["search", "search.warm_start=kept", "budget.trials=2", "warm.points=16", "quiet=true"],
    ["validate", "study=k", "validation.top=1", "validation.random=0", "validation.matched=0", "trainer.steps=2"],
    ["report", "study=k", "quiet=true"],
    ["train", "KEY", "out=trained", "trainer.steps=2", "trainer.seeds=[0]", "trainer.learning_rates=[0.01]"],
    ["theory", "depth=4", "width=8", "format=json"],
    ["theory", "KEY"],
    ["prescribe", "depth=4", "width=8", "placement=none", "format=json"],
    ["diagnose", "model=mine:make", "input=2x8", "max_probes=16", "quiet=true"],
    ["grow", "checkpoint=kept", "blocks=1", "quiet=true", "out=grown"],
    ["prune", "checkpoint=kept", "ratio=0.3", "fine_tune=0", "quiet=true", "out=pruned"],
    ["correlate", "table=t.csv", "space=nasbench201", "score=params", "resamples=5"],
    ["query", "--study", "k", "--where", "depth > 1", "--limit", "3"],
    ["query", "SELECT count(*) FROM trial", "--format", "csv"],
    ["query", "--table", "t=t.csv", "SELECT count(*) FROM t"],
    ["show", "KEY"],
    ["show", "KEY", "--format", "json"],
]
NAMES = [
    "space",
    "score",
    "sampler",
    "dataset",
    "trainer",
    "budget",
    "search",
    "warm",
    "validation",
    "study",
    "seed",
    "device",
    "format",
    "out",
    "save",
    "database",
    "key",
    "choices",
    "quiet",
    "on_conflict",
    "experiment",
    "sweep",
    "table",
    "model",
    "input",
    "blocks",
    "checkpoint",
    "layers",
    "target",
    "n",
    "half",
    "resamples",
    "insert",
    "space.depth_max",
    "space.widths",
    "space.weight_gain_max",
    "space.placements",
    "space.wiring_seeds",
    "score.draws",
    "score.max_memory",
    "score.rel_error",
    "score.seed",
    "sampler.population_size",
    "sampler._target_",
    "budget.trials",
    "budget.params",
    "budget.minutes",
    "search.batch",
    "search.objectives",
    "search.racing",
    "trainer.steps",
    "trainer.batch",
    "trainer.seeds",
    "trainer.warmup",
    "validation.top",
    "warm.points",
    "warm.tau",
    "dataset.path",
    "dataset.limit",
    "dataset.root",
    "compare",
    "ratio",
    "points",
    "gain",
    "after",
    "rule",
    "epsilon_rms",
    "stream_variance",
    "tolerance",
    "depth",
    "width",
    "placement",
    "skip_density",
    "weight_gain",
    "hydra.run.dir",
    "hydra.job.chdir",
    "hydra.verbose",
    "hydra/launcher",
    "hydra/sweeper",
    "hydra.sweep.subdir",
    "hydra.mode",
    "reinitialize",
    "rel_error",
    "max_probes",
    "origin",
]
VALUES = [
    *("", "null", "true", "nan", "inf", "-inf", "-1", "0", "1", "2.5", "1e9", "1e400", "-0", "0x10", "1_000", "007"),
    *("???", "${seed}", "${nope}", "${oc.env:HOME}", "${", "}", "${a.${b}}", "[]", "{}", "[1,2", "{a:1", "{a:1}", "[[1]]"),
    *("[null]", "[a,b]", "[1,1]", "{a:{b:[1]}}", "'", '"', "a=b", "a=b=c", "==", "a b", "a,b", "a,b,", ",", "a:b", ":"),
    *("\\", "\\n", "$", "%s", "#", "é", "𝒥", "日本", "\x01", "\x1b[31m", "\u202e", "ａ", "\t", "\n", "*", "!", "@", "~"),
    *("../..", "/", ".", "folder", "pipe", "/dev/null", "/dev/zero", "garbage.json", "empty", "t.csv", "nasjac.db", "kept"),
    *("json:dumps", "os:getcwd", "math:pi", "torch:float32", "mine:make", "mine:nope", "nope:nope", "mine:", ":make"),
    *("json.dumps", "optuna.samplers.GridSampler", "optuna.samplers.CmaEsSampler", "optuna.samplers.BruteForceSampler"),
    *(
        "float('nan')",
        "range(1,5)",
        "choice(1,2)",
        "glob(*)",
        "sort(3,1)",
        "int(a)",
        "str(1)",
        "interval(0,1)",
        "shuffle(1)",
    ),
    *("http://localhost/x", "a" * 300, "a/" * 200, "é" * 200, "a" * 5000, "residual_mlp", "resnet", "digits", "text"),
    *(str(2**31), str(2**63), str(2**64), str(-(2**70)), "9" * 30, "9" * 400, "9" * 5000, "1." + "0" * 500, "1e-400"),
    *("[" * 8 + "]" * 8, "[" * 400, "[" * 300 + "]" * 300, "{a:" * 60 + "1" + "}" * 60, "(" * 50, "[" + "1," * 3000 + "1]"),
]
SQL = (
    *(
        "true) /*",
        "false) OR (true",
        "1; DROP TABLE trial",
        "depth >",
        "nope = 1",
        "'",
        '"',
        "depth = 'a",
        "\x01",
        "--",
        "/*",
    ),
    *("9" * 400 + " > depth", "(" * 500 + "1" + ")" * 500, "depth IN (SELECT 1)", "load_extension('x')", "1=1 --", "", " "),
    *("randomblob(1e9)", "zeroblob(1e10) is null", "printf('%.*c', 1e9, 'x') > ''", "depth GLOB '*' OR 1", "CASE", "NULL"),
)
FLAGS = [
    "--study",
    "--where",
    "--sort",
    "--limit",
    "--columns",
    "--format",
    "--table",
    "--schema",
    "--descending",
    "--database",
    "--nope",
    "-x",
    "--",
    "-",
]
HYDRA_FLAGS = (
    *("-m", "--multirun", "--cfg", "--cfg=job", "--resolve", "--info", "--info=all", "-sc", "--hydra-help", "-cn", "-cd"),
    *(
        "--config-name=nope",
        "--config-dir=nope",
        "--experimental-rerun=garbage.json",
        "--package=x",
        "--version",
        "--run",
        "-h",
    ),
)


def command_lines(rng: Random) -> list[str]:
    """The words of one command line, after `nasjac`: a valid one with one to four changes."""
    words = list(rng.choice(VALID))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        change: Callable[[Random, list[str]], None] = rng.choice(
            CHANGES_OF_SQL if words[0] in ("query", "show") else CHANGES
        )
        change(rng, words)
    return words


def _value(rng: Random, words: list[str]) -> None:
    """Another value of an option that is there."""
    place = rng.randrange(1, max(2, len(words)))
    if place < len(words):
        words[place] = f"{words[place].partition('=')[0]}={rng.choice(VALUES)}"


def _option(rng: Random, words: list[str]) -> None:
    """One more option, of this verb or of another."""
    words.append(f"{rng.choice(('', '', '', '+', '++', '~'))}{rng.choice(NAMES)}={rng.choice(VALUES)}")


def _name(rng: Random, words: list[str]) -> None:
    """A name with a letter too many or too few."""
    name, _, value = rng.choice(words[1:] or ["seed=1"]).partition("=")
    place = rng.randrange(len(name) or 1)
    words.append(f"{name[:place]}{rng.choice(('', 'x', '.', '/', '@', '-', ' ', 'é', '='))}{name[place + 1 :]}={value}")


def _cut(rng: Random, words: list[str]) -> None:
    """A word that breaks off, or with a sign in its midst."""
    place = rng.randrange(len(words))
    at = rng.randrange(len(words[place]) + 1)
    words[place] = words[place][:at] + rng.choice(("", "'", '"', "[", "]", "{", "}", "=", ",", ":", "$", "\\", " ", "\x07"))


def _duplicate(rng: Random, words: list[str]) -> None:
    words.append(rng.choice(words))


def _remove(rng: Random, words: list[str]) -> None:
    if len(words) > 1:
        words.pop(rng.randrange(1, len(words)))


def _bare(rng: Random, words: list[str]) -> None:
    """A word without a name, or one of Hydra's flags."""
    words.insert(
        rng.randrange(1, len(words) + 1), rng.choice((*VALUES, *HYDRA_FLAGS, *HYDRA_FLAGS, "~space", "~budget.trials"))
    )


def _sweep(rng: Random, words: list[str]) -> None:
    values = ",".join(rng.choice(VALUES) for _ in range(rng.randrange(1, 4)))
    words.insert(rng.choice((1, 1, len(words))), "-m")  # argparse takes it behind the options alone if nothing follows
    words.insert(len(words) if words[-1] != "-m" else -1, f"{rng.choice(NAMES)}={values}")


def _condition(rng: Random, words: list[str]) -> None:
    words += rng.choice((["--where", rng.choice(SQL)], [rng.choice(SQL)], ["--study", rng.choice(VALUES)]))


def _flag(rng: Random, words: list[str]) -> None:
    words += [rng.choice(FLAGS), *([rng.choice((*VALUES, *SQL))] if rng.random() < 0.7 else [])]


def _instead(rng: Random, words: list[str]) -> None:
    if len(words) > 1:
        words[rng.randrange(1, len(words))] = rng.choice((*VALUES, *SQL, *FLAGS))


CHANGES = (_value, _value, _value, _option, _option, _name, _cut, _duplicate, _remove, _bare, _sweep)
CHANGES_OF_SQL = (_condition, _flag, _flag, _instead, _cut, _duplicate, _remove)

MODEL = "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))\n"
TABLE = (
    "arch_str,cifar10_test\n"
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|,90.1\n"
    "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_3x3~2|,80.1\n"
    "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|,85.0\n"
)


@cache
def furnished() -> tuple[Path, str]:
    """A folder with a study, a checkpoint, a table, a model, and the key of an architecture: made once."""
    folder, before = Path(mkdtemp(prefix="crafted-")), os.getcwd()
    os.chdir(folder)
    try:
        assert main(["search", *QUICK, "study=k"]) == 0
        from nasjac.store import Store

        with Store("nasjac.db", read_only=True) as store:
            key = next(str(row.architecture_key) for row in store.trials("k") if row.objectives)
        options = ["trainer.steps=2", "trainer.seeds=[0]", "trainer.learning_rates=[0.01]", "quiet=true"]
        assert main(["train", key, "out=kept", *options]) == 0
        shutil.rmtree("reports")
    finally:
        os.chdir(before)
    for name, text in {"mine.py": MODEL, "t.csv": TABLE, "garbage.json": '{"a": [', "empty": ""}.items():
        (folder / name).write_text(text)
    (folder / "folder").mkdir()
    return folder, key


def furnish(folder: Path) -> str:
    """Fill an empty folder with what the command lines are about; returns the key that stands for KEY in them."""
    source, key = furnished()
    shutil.copytree(source, folder, dirs_exist_ok=True)
    os.mkfifo(folder / "pipe")
    return key


def with_key(words: list[str], key: str) -> list[str]:
    """The words with an architecture's key in place of KEY."""
    return [key if word == "KEY" else word for word in words]
