"""Every kind of output goes through `nasjac.foundation.atomic_files`, and survives a kill at every step of being
written.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nasjac

PACKAGE = Path(nasjac.__file__).parent
#: calls that write, and the files that may make them: those that are atomic, those that experiments use for their own
#: output, and what lies in a temporary folder; databases have their own journal
WRITING = {"write_text", "write_bytes", "mkdir", "unlink", "rename", "replace", "rmtree", "savefig", "save_model"}
ALLOWED = {
    "foundation/atomic_files.py": {"mkdir", "replace", "unlink", "rmtree"},
    "foundation/folder_exchange.py": {"rename", "replace", "unlink", "rmtree"},
    "reporting/canvas.py": {"savefig", "write_bytes"},
    "foundation/text_tables.py": {"write_bytes"},
    "cli/experiment.py": {"mkdir"},
    "surgery/own_model.py": {"save_model"},
}


def written(path: Path) -> set[str]:
    """The writing calls of a module: of os, shutil, paths and figures, but not of strings and dataclasses."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "save_model":
                found.add("save_model")
            continue
        name, owner = node.func.attr, ast.unparse(node.func.value)
        if name in WRITING and (name != "replace" or owner == "os"):
            found.add(name)
        if name == "open" and any(
            isinstance(word, ast.Constant) and set(str(word.value)) & set("wax+") for word in node.args
        ):
            found.add("open")
    return found


def test_nothing_is_written_but_at_once() -> None:
    """A new writer belongs into `nasjac.foundation.atomic_files`, or a kill leaves half of what it writes."""
    found = {str(path.relative_to(PACKAGE)): written(path) for path in PACKAGE.rglob("*.py")}
    store = {path for path in found if path.startswith("store/")}
    assert {path: calls for path, calls in found.items() if calls and path not in store} == ALLOWED


WRITERS = """
import os, shutil, sys
from pathlib import Path
from types import SimpleNamespace as Plain
import torch
from nasjac import Block, Spec, Store, build
from nasjac.foundation import atomic_files
from nasjac.models import closed_form_figures, theory
from nasjac.models.result import Result
from nasjac.searching import report, train
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.own_model import OwnModel
from nasjac.tables import correlate
from nasjac.tables.scores.base import Scored
from nasjac.trainers import AdamW
from tests.foundation.kills import kill_everywhere, litter, tree
from tests.reporting.test_report import STUDY, make, search

os.fsync = os.fstat
place, spec = Path(sys.argv[1]), Spec.of(width=8, blocks=(Block(),))
version = 0
figure = lambda *words, **names: {"profile.png": b"figure %d" % version}
closed_form_figures.draw = figure
class Found(Result):
    def as_text(self): return ""
    def entries(self): return [("v", version)]
with Store(place.with_suffix(".db")) as store:
    search(store, make(8))
    evidence = report.gather(store, STUDY)
    found = report.findings(evidence, 0)
report.gather, report.findings = lambda *words: evidence, lambda *words: {**found, "seed": version}
report._profiles, report._draw = lambda *words: {}, lambda *words: {"profiles.png": b"%d" % version} if version else {}
states = [build(spec, 4, 2, torch.Generator().manual_seed(seed)).state_dict() for seed in range(3)]
sums = {"inputs": 4, "outputs": 2}
row = Plain(key=spec.key, spec=spec.content)
data = Plain(inputs=4, outputs=2, digest="d")
silent = Plain(record_validations=lambda rows: None)
task = train.Task("digits", data, AdamW())
train._validation_row = lambda *words: None
def run():
    return Plain(state=states[version], accuracy=0.5, loss=1.0, train_loss=1.0, seed=version, learning_rate=0.1, steps=1)
train.best = lambda runs: runs[0]
entry = Plain(row=2, architecture=spec, targets={"accuracy": 0.5})
def model():
    torch.manual_seed(version)
    return torch.nn.Linear(2, 2)

REPLACED = {
    "report": lambda folder: report.report(None, folder.name, folder.parent, resamples=0),
    "theory": lambda folder: theory.theory(spec, out=folder.parent),
    "diagnose or prescribe": lambda folder: Found().written(folder, figure(), "profile.json"),
    "correlate": lambda folder: correlate._write(
        folder, Plain(to_json=lambda indent: str(version)), [(entry, Scored(0.5), {})], ["accuracy"]
    ),
}
PLACED = {
    "train": lambda folder: train.keep(silent, row, task, [run()], folder, "out"),
    "validate": lambda folder: train.keep(silent, row, task, [run()], folder),
    "grown": lambda folder: checkpoint.save(
        folder, spec, states[version], sums, {"growth.json": b"%d" % version, **figure()}, "out"
    ),
    "pruned": lambda folder: checkpoint.save(folder, spec, states[version], {**sums, "pruned": {}}, {}, "out"),
    "a model": lambda folder: checkpoint.place(
        folder, {**OwnModel.files(Plain(module=model()), {}), "growth.json": b"%d" % version}, "out"
    ),
}

def at_version(number, write):
    global version
    version = number
    write()

def only_writing(write):
    # steps are counted from where writing begins: the rest leaves nothing
    real, profiler = atomic_files._put, sys.getprofile()
    sys.setprofile(None)
    def put(*words):
        sys.setprofile(profiler)
        real(*words)
    atomic_files._put = put
    write()

def tried(kind, write, is_placed):
    folder = place / (spec.key if kind == "theory" else "study")
    shutil.rmtree(place)
    place.mkdir()
    whole = []
    for number in range(3):
        at_version(number, lambda: write(folder))
        whole.append(tree(folder))
        shutil.rmtree(folder)
    assert whole[0] != whole[1] != whole[2] != whole[0], kind
    def check(step):
        left = tree(folder) if folder.exists() else None
        assert left in ((None, whole[1]) if is_placed else whole[:2]), (kind, step, left)
        if left is None or not is_placed:  # no checkpoint is written over another
            at_version(2, lambda: write(folder))
            assert tree(folder) == whole[2], (kind, step)
        assert not litter(place), (kind, step, litter(place))
    prepare = (lambda: None) if is_placed else (lambda: at_version(0, lambda: write(folder)))
    steps = kill_everywhere(place, prepare, lambda: at_version(1, lambda: only_writing(lambda: write(folder))), check, 5)
    assert steps > 20, (kind, steps)
    print(kind, steps)

for is_placed, writers in ((False, REPLACED), (True, PLACED)):
    for kind, write in writers.items():
        tried(kind, write, is_placed)
"""


@pytest.mark.slow
def test_a_kill_at_any_step_of_any_kind_of_output(tmp_path: Path) -> None:
    """The folder is the old one or the new one, byte for byte, and the next run clears away the rest."""
    (tmp_path / "place").mkdir()
    words = [sys.executable, "-c", WRITERS, str(tmp_path / "place")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 11


COMMAND = """
import os, sys
from pathlib import Path
from nasjac import atomic_files
from nasjac.cli import main
from tests.foundation.kills import killed, litter, tree

place, steps = Path(sys.argv[1]), [int(step) for step in sys.argv[2].split(",")]
os.chdir(place)
words = ["theory", "depth=3", "width=8", "quiet=true", "out=reports"]
real = atomic_files._put
assert main([*words, "stream_variance=1.0"]) == 0
[folder] = (place / "reports").iterdir()
old = tree(folder)
assert main([*words, "stream_variance=2.0"]) == 0
new = tree(folder)
assert main([*words, "stream_variance=1.0"]) == 0
names = set(old)

def command():
    profiler = sys.getprofile()
    sys.setprofile(None)
    def put(*words):
        sys.setprofile(profiler)
        real(*words)
    atomic_files._put = put
    main([*words, "stream_variance=2.0"])

seen = 0
for step in steps:
    if killed(command, step):
        seen += 1
        left = tree(folder)
        assert set(left) == names and left["norms.png"] in (old["norms.png"], new["norms.png"]), step
        assert all(left[name] == old[name] for name in names if name.endswith("png")) or all(
            left[name] == new[name] for name in names if name.endswith("png")
        ), step
assert main([*words, "stream_variance=1.0"]) == 0
assert not litter(place / "reports"), litter(place / "reports")
print(seen)
"""


@pytest.mark.slow
def test_a_command_that_is_killed_while_it_writes(tmp_path: Path) -> None:
    """By the command line, from one end to the other: `nasjac theory` over an earlier page."""
    words = [sys.executable, "-c", COMMAND, str(tmp_path), "1,9,20,27,31,34,37,500"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[-1]) >= 6
