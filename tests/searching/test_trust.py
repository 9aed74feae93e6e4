"""What a database, a checkpoint or a folder of a stranger names is not run: crafted ones leave no mark."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.cli import main
from nasjac.kinds.build import build
from nasjac.samplers import SAMPLERS
from nasjac.searching.checkout import commit_of
from nasjac.searching.options import choose
from nasjac.searching.trust import PICKLED, is_known_sampler
from nasjac.store.checkpoints import checkpoint

#: a search of a second, with nothing trained
SEARCH = (
    *("search", "study=k", "quiet=true", "score=apjn", "sampler=random", "budget.trials=8", "search.batch=8"),
    *("validation.top=0", "validation.random=0", "validation.matched=0", "budget.min_effective_depth=0.5"),
)
SMALL = ("space.depth_max=5", "space.widths=[8]")
VALIDATE = ("validate", "study=k", "quiet=true", "validation.top=0", "validation.matched=0", "trainer.steps=1")
NOTHING = (*VALIDATE, "validation.random=0")
#: makes the folder `mark` in the current one
MARK = {"_target_": "os.mkdir", "path": "mark"}

Json = dict[str, Any]
Run = Callable[..., tuple[int, str]]
Change = Callable[[Json], object]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with one small study."""
    path = tmp_path_factory.mktemp("searched") / "nasjac.db"
    assert main([*SEARCH, *SMALL, f"database={path}", f"out={path.parent}"]) == 0
    return path


@pytest.fixture
def here(tmp_path: Path, searched: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with a copy of it, and beside it a module that leaves a mark when it is imported."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(searched, "nasjac.db")
    Path("evil.py").write_text("import os\nos.mkdir('mark')\ndef Thing(*given, **named): ...\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    yield tmp_path
    sys.modules.pop("evil", None)


@pytest.fixture
def run(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command: exit code and standard error. No report is written, which takes seconds."""
    monkeypatch.setattr("nasjac.searching.report.report", lambda *given: SimpleNamespace(text="", summary={}))

    def call(*words: str) -> tuple[int, str]:
        code = main(words)
        return code, capsys.readouterr().err

    return call


def edit(change: Change) -> None:
    """Change what the database says of its search."""
    with sqlite3.connect("nasjac.db") as connection:
        (text,) = connection.execute("SELECT config FROM run").fetchone()
        content = json.loads(text)
        change(content)
        connection.execute("UPDATE run SET config = ?", [json.dumps(content)])
    connection.close()


def refused(answer: tuple[int, str], *parts: str) -> None:
    """It is one sentence that has these parts, and nothing was run."""
    code, err = answer
    assert code == 2 and err.count("\n") == 1 and err.startswith("nasjac: "), err
    assert all(part in err for part in parts), err
    assert not Path("mark").exists(), "it was run"


def put(path: str, value: object) -> Change:
    """The change that sets `path` of the configuration."""

    def change(content: Json) -> None:
        *parents, last = path.split("/")
        for name in parents:
            content = content[name]
        content[last] = value

    return change


OUTS = ("trust=true",)
ATTACKS: dict[str, tuple[Change, tuple[str, ...]]] = {
    "a sampler's option": (put("sampler/x", MARK), ("sampler.x._target_=os.mkdir", *OUTS)),
    "in a list of a sampler": (put("sampler/x", [[MARK]]), ("sampler.x.0.0._target_=os.mkdir", *OUTS)),
    "a sampler's option, whose own options are to be left alone": (
        put("sampler/x", {**MARK, "_partial_": True, "_recursive_": False}),
        ("sampler.x._target_", *OUTS),
    ),
    "positional arguments": (put("sampler/_args_", [MARK]), ("sampler._args_.0._target_", *OUTS)),
    "another class for a sampler": (put("sampler/_target_", "evil.Thing"), ("sampler=evil.Thing", *OUTS)),
    "a function for a sampler": (put("sampler", {"_target_": "os.system", "command": "mkdir mark"}), ("=os.system", *OUTS)),
    "through Optuna's samplers to other modules": (
        put("sampler/_target_", "optuna.samplers._cmaes.pickle.loads"),
        ("optuna.samplers._cmaes.pickle.loads", *OUTS),
    ),
    "through Optuna's samplers to Python's own": (
        put("sampler/_target_", "optuna.samplers.__builtins__.eval"),
        ("__builtins__.eval", *OUTS),
    ),
    "a class of Optuna's that is no sampler": (put("sampler/_target_", "optuna.samplers.nsgaii"), ("nsgaii", *OUTS)),
    "a list for a class": (put("sampler/_target_", ["os.system"]), ("sampler._target_", "['os.system']")),
    "no class": (put("sampler", {}), ("sampler._target_", "None")),
    "a space": (put("choices/space", "evil:Thing"), ("space=evil:Thing", "trust=true")),
    "a score": (put("choices/score", "evil:Thing"), ("score=evil:Thing", "trust=true")),
    "a dataset": (put("choices/dataset", "evil:Thing"), ("dataset=evil:Thing", "trust=true")),
    "a space that is in no table": (put("choices/space", "evil"), ("choices.space", "residual_mlp", "'evil'")),
    "a space that is no name": (put("choices/space", ["evil:Thing"]), ("choices.space", "evil:Thing")),
    "no choices": (put("choices", None), ("choices", "None")),
    "an option of a space": (put("space/depth_max", MARK), ("space", "os.mkdir")),
    "an option that no space has": (put("space/x", MARK), ("space", "os.mkdir")),
    "an option of a dataset": (put("dataset/path", MARK), ("dataset", "os.mkdir")),
    "an option of the budget": (put("budget/trials", MARK), ("budget", "os.mkdir")),
    "an option of the search": (put("search/batch", MARK), ("search", "os.mkdir")),
    "the environment": (put("space/skip_mode", "${oc.env:HOME}"), ("space", "${oc.env:HOME}")),
    "an interpolation": (put("sampler/x", {"y": ["${oc.decode:1}"]}), ("sampler", "${oc.decode:1}")),
    "an interpolation for a name": (put("choices/space", "${oc.env:HOME}"), ("choices", "${oc.env:HOME}")),
    "a word for a number": (put("space/depth_max", "deep"), ("space", "'deep'")),
    "an object for a list": (put("space/widths", {"a": 8}), ("space", "{'a': 8}")),
    "a number for an object": (put("space", 3), ("space", "3")),
    "a word for a seed": (put("seed", "zero"), ("seed", "'zero'")),
    "no budget": (lambda content: content.pop("budget"), ("budget", "None")),
    "nesting": (put("sampler/x", json.loads("[" * 500 + "]" * 500)), ("sampler", "16 levels")),
}


@pytest.mark.parametrize("case", ATTACKS)
def test_a_stored_search_runs_nothing_by_its_own_word(run: Run, case: str) -> None:
    change, parts = ATTACKS[case]
    edit(change)
    refused(run(*NOTHING), *(["got 'k', whose stored search would run"] if "trust=true" in parts else []), *parts)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "3", '{"space": ', "[" * 100_000, '{"seed": 1' + "0" * 5000 + "}"])
def test_a_stored_configuration_that_is_none_is_one_sentence(run: Run, text: str) -> None:
    with sqlite3.connect("nasjac.db") as connection:
        connection.execute("UPDATE run SET config = ?", [text])
    refused(run(*NOTHING), "study 'k'")


@pytest.mark.parametrize("identity", ["[]", "{}", '{"search": 3}', '{"search": {"objectives": [{}]}}'])
def test_a_study_that_does_not_say_what_it_optimized_is_one_sentence(run: Run, identity: str) -> None:
    with sqlite3.connect("nasjac.db") as connection:
        connection.execute("UPDATE study SET identity = ?", [identity])
    for verb in ("report", "validate"):
        words = NOTHING if verb == "validate" else ("report", "study=k")
        code, err = run(*words)
        assert code == 2 and err.count("\n") == 1 and "Traceback" not in err, err


def test_what_everybody_may_name_is_run(run: Run) -> None:
    assert run(*NOTHING)[0] == 0
    edit(put("sampler", {"_target_": "optuna.samplers.QMCSampler", "scramble": True}))
    assert run(*NOTHING)[0] == 0
    edit(put("sampler", {"_target_": "nasjac.samplers.nsga2.NSGAII", "population_size": 4}))
    assert run(*NOTHING)[0] == 0
    assert all(is_known_sampler(choose("sampler", name).options["_target_"]) for name in SAMPLERS)


OWN = """
from dataclasses import dataclass
from nasjac import Block, Spec
from nasjac.datasets import Digits
from nasjac.scores.apjn import Apjn
import optuna

@dataclass(frozen=True)
class Space:
    deepest: int = 2
    def __call__(self, trial):
        return Spec.of(width=8, blocks=(Block(),) * trial.suggest_int("depth", 1, self.deepest))

@dataclass(frozen=True)
class Score(Apjn): ...

@dataclass(frozen=True)
class Data(Digits): ...

class Sampler(optuna.samplers.RandomSampler): ...
"""


@pytest.mark.parametrize(
    ("given", "others", "named"),
    [
        ("space=mine_space:Space", ["score=apjn", "sampler=random"], "space=mine_space:Space"),
        ("score=mine_score:Score", ["sampler=random", *SMALL], "score=mine_score:Score"),
        ("dataset=mine_dataset:Data", ["score=apjn", "sampler=random", *SMALL], "dataset=mine_dataset:Data"),
        ("sampler=mine_sampler.Sampler", ["score=apjn", *SMALL], "sampler._target_=mine_sampler.Sampler"),
    ],
)
def test_options_of_ones_own_are_confirmed_on_the_command_line(run: Run, given: str, others: list[str], named: str) -> None:
    Path(f"mine_{given.partition('=')[0]}.py").write_text(OWN)
    sys.path.insert(0, os.getcwd())
    Path("nasjac.db").unlink()
    plain = [word for word in SEARCH if not word.startswith(("score=", "sampler="))]
    assert run(*plain, *others, given) == (0, "")
    refused(run(*NOTHING), f"whose stored search would run {named}: give {given} too", "trust=true")
    assert run(*VALIDATE, "validation.random=1", given)[0] == 0
    assert run(*NOTHING, "trust=true")[0] == 0


def test_a_name_on_the_command_line_must_be_the_studys_and_has_no_options(run: Run) -> None:
    refused(run(*NOTHING, "space=resnet"), "`space` must be left out or be that of study 'k', residual_mlp, got resnet")
    refused(run(*NOTHING, "score=merit"), "`score` must be left out or be that of study 'k', apjn, got merit")
    refused(
        run(*NOTHING, "sampler=tpe"), "`sampler` must be left out or be", "RandomSampler, got optuna.samplers.TPESampler"
    )
    refused(run(*NOTHING, "space=residual_mlp", "space.depth_max=9"), "`space.depth_max` must be left out")
    assert run(*NOTHING, "space=residual_mlp", "score=apjn", "sampler=random") == (0, "")
    with sqlite3.connect("nasjac.db") as connection:
        (config,) = connection.execute("SELECT config FROM run WHERE verb = 'validate'").fetchone()
    stored = json.loads(config)
    assert stored["space"] is None and stored["choices"]["space"] == "residual_mlp", "its options are the study's"


def test_what_makes_an_option_of_a_sampler_is_confirmed_too(run: Run) -> None:
    made = {"_target_": "optuna.samplers.nsgaii.UniformCrossover", "swapping_prob": 0.3}
    edit(put("sampler", {"_target_": "optuna.samplers.NSGAIISampler", "population_size": 4, "crossover": made}))
    named = f"+sampler.crossover._target_={made['_target_']}"
    refused(run(*NOTHING), f"sampler=optuna.samplers.NSGAIISampler {named}", "trust=true")
    assert run(*NOTHING, "sampler=optuna.samplers.NSGAIISampler", named)[0] == 0
    assert run(*NOTHING, "trust=true")[0] == 0


def test_a_stored_configuration_does_not_say_where_files_go(run: Run, here: Path) -> None:
    edit(lambda content: content.update(save="mark", out="mark", database="mark"))
    edit(put("search/warm_start", "mark"))
    assert run(*VALIDATE, "validation.random=1", "save=kept")[0] == 0
    assert not Path("mark").exists()
    assert {path.name for path in here.iterdir() if path.is_dir()} == {"kept"}


@pytest.mark.parametrize("key", ["../mark", "{here}/mark", "."])
def test_a_stored_key_does_not_lead_out_of_the_folder_for_checkpoints(run: Run, here: Path, key: str) -> None:
    key = key.format(here=here)
    connection = sqlite3.connect("nasjac.db", isolation_level=None)
    (old,) = connection.execute("SELECT recommended_key FROM study").fetchone()
    connection.execute("UPDATE architecture SET key = ? WHERE key = ?", [key, old])
    connection.execute("UPDATE trial SET kept_key = ?, architecture_key = ? WHERE kept_key = ?", [key, key, old])
    connection.execute("UPDATE study SET recommended_key = ?", [key])
    connection.close()
    refused(run(*VALIDATE, "validation.top=1", "validation.random=0", "save=kept"), "key", repr(key))
    assert not Path("kept").exists()


def test_a_stored_dataset_reads_the_file_that_it_names(run: Run) -> None:
    Path("secret").write_text("too short")
    edit(put("choices/dataset", "text"))
    edit(put("dataset", {"path": "secret"}))
    refused(run(*NOTHING), "got 9 in secret")


class Harmful:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("mark",)


def test_a_search_goes_on_without_reading_a_stored_pickle(run: Run) -> None:
    attributes = json.dumps({"cma:optimizer:0": pickle.dumps(Harmful()).hex()})
    with sqlite3.connect("nasjac.db") as connection:
        connection.execute("UPDATE trial SET system_attrs = ? WHERE number = 3", [attributes])
    more = (*(word for word in SEARCH if "trials" not in word), *SMALL, "budget.trials=9")
    refused(run(*more), "the memory of CMA-ES in trial 3 of 'k'", "trust=true")
    assert run(*more, "trust=true")[0] == 0, "random search reads none"


def test_these_are_the_attributes_that_optuna_unpickles() -> None:
    kinds: list[dict[str, bool]] = [{}, {"use_separable_cma": True}, {"with_margin": True}]
    samplers = [optuna.samplers.CmaEsSampler(**options) for options in kinds]
    assert {sampler._attr_key_optimizer for sampler in samplers} == set(PICKLED)
    folder = Path(optuna.samplers.__file__).parent
    assert [path.name for path in folder.rglob("*.py") if "pickle.load" in path.read_text()] == ["_cmaes.py"]


@pytest.fixture
def kept(here: Path) -> Path:
    """A checkpoint of a small network for the digits."""
    spec = Spec.of(width=8, blocks=(Block(), Block()))
    info = {"inputs": 64, "outputs": 10, "dataset": "digits"}
    checkpoint.save(here / "kept", spec, build(spec, 64, 10).state_dict(), info)
    return here / "kept"


VERBS = (
    ("prune", "checkpoint=kept", "ratio=0.5", "points=2"),
    ("grow", "checkpoint=kept", "blocks=1", "points=2"),
    ("search", "search.warm_start=kept", "budget.trials=1", "warm.points=16"),
)


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("field", "value"),
    [("dataset", "evil:Thing"), ("dataset", "${oc.env:HOME}"), ("dataset", MARK), ("spec", MARK), ("inputs", MARK)],
)
def test_a_checkpoint_runs_nothing_by_its_own_word(
    run: Run, kept: Path, words: tuple[str, ...], field: str, value: object
) -> None:
    path = kept / checkpoint.SPEC
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    refused(run(*words))


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_a_pickle_in_a_checkpoint_is_not_run(run: Run, kept: Path, words: tuple[str, ...]) -> None:
    torch.save({"readout.weight": Harmful()}, kept / checkpoint.MODEL)
    refused(run(*words), "pickle")
    allowed = "warm.allow_pickle=true" if words[0] == "search" else "allow_pickle=true"
    refused(run(*words, allowed), "state_dict of tensors")
    (kept / checkpoint.MODEL).write_bytes(pickle.dumps(Harmful()))
    refused(run(*words), "pickle")


def test_a_configuration_of_a_stranger_runs_what_it_says(run: Run) -> None:
    Path("conf").mkdir()
    Path("conf/theirs.yaml").write_text("# @package _global_\nsampler:\n  x:\n    _target_: os.mkdir\n    path: mark\n")
    Path("conf/experiment").mkdir()
    Path("conf/theirs.yaml").rename("conf/experiment/theirs.yaml")
    run("search", "--config-dir", "conf", "experiment=theirs", "study=new", "budget.trials=1")
    assert Path("mark").exists()


class Page(HTMLParser):
    """The tags of a page and all their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes = set[str](), list[tuple[str, str | None]]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def test_a_report_of_a_strangers_database_runs_and_loads_nothing(here: Path) -> None:
    markup = "\"'><script src=http://e.test></script><img src=http://e.test onerror=alert(1)><style>@import 'x'"
    with sqlite3.connect("nasjac.db") as connection:
        for table, column in (("run", "command"), ("run", "device"), ("run", "git_commit"), ("trial", "reason")):
            connection.execute(f"UPDATE {table} SET {column} = ?", [markup])
        connection.execute("UPDATE study SET recommended_reason = ?", [markup])
    assert main(["report", "study=k", "quiet=true"]) == 0
    text = Path("reports/k/report.html").read_text()
    page = Page(text)
    assert text.count("&lt;script") >= 4 and not page.tags & {"script", "iframe", "object", "embed", "link", "form", "base"}
    assert text.count("<style>") == 1 and "@import" not in text.partition("<style>")[2].partition("</style>")[0]
    assert {name for name, _ in page.attributes} <= {"lang", "charset", "name", "content", "class", "alt", "src"}
    assert all(value and value.startswith("data:image/png;base64,") for name, value in page.attributes if name == "src")


@pytest.fixture
def foreign(here: Path) -> Path:
    """A checkout whose configuration has git make `mark`: to see what has changed, and to compare a file."""
    folder = here / "foreign"
    folder.mkdir()
    name = ("-c", "user.name=a", "-c", "user.email=a@example.test")

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True)

    git("init")
    (folder / "file.txt").write_text("one\n")
    git("add", ".")
    git("commit", "-m", "first")
    mark = here / "mark"
    git("config", "core.fsmonitor", f"mkdir {mark}; false")
    git("config", "filter.evil.clean", f"mkdir {mark}; cat")
    (folder / ".gitattributes").write_text("*.txt filter=evil\n")
    (folder / "file.txt").write_text("two\n")
    hook = folder / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nmkdir {mark}\n")
    hook.chmod(0o755)
    return folder


def test_a_command_given_in_a_foreign_checkout_runs_nothing_of_it(
    here: Path, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(foreign)
    assert main([*NOTHING, f"database={here / 'nasjac.db'}", f"out={here}"]) == 0
    assert not (here / "mark").exists()
    subprocess.run(["git", "status"], check=True, capture_output=True)
    assert (here / "mark").exists(), "git itself would"


def test_the_commit_of_a_run_is_that_of_nasjacs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.test", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert commit_of(tmp_path) == (None, None)
    git("init")
    assert commit_of(tmp_path) == (None, None), "nothing is committed"
    (tmp_path / "file").write_text("one")
    git("add", ".")
    git("commit", "-m", "first")
    mark = tmp_path / ".git" / "mark"
    git("config", "core.fsmonitor", f"mkdir {mark}; false")
    assert commit_of(tmp_path) == (git("-c", "core.fsmonitor=false", "rev-parse", "HEAD"), False)
    (tmp_path / "file").write_text("two")
    assert commit_of(tmp_path)[1] is True and not mark.exists()
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert commit_of(tmp_path)[1] is True
    (tmp_path / "inside").mkdir()
    assert commit_of(tmp_path / "inside") == (None, None)


def test_a_git_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("nasjac.searching.checkout.PATIENCE", 0.2)
    assert commit_of(tmp_path) == (None, None)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert commit_of(tmp_path) == (None, None)
