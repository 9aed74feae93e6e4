"""Checkpoints: what is saved comes back, nothing is overwritten, and nothing half-written is left."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.kinds.build import build
from nasjac.store.checkpoints import checkpoint

SPEC = Spec.of(width=8, blocks=(Block(), Block(keep=False), Block(skip=0.0, scale=0.5)), placement="sandwich")
INFO = {"inputs": 3, "outputs": 2, "dataset": "digits", "learning_rate": 0.003}


@pytest.fixture
def module() -> nn.Module:
    return build(SPEC, 3, 2, torch.Generator().manual_seed(1))


@pytest.fixture
def folder(module: nn.Module, tmp_path: Path) -> Path:
    checkpoint.save(tmp_path / "deep" / "kept", SPEC, module.state_dict(), INFO)
    return tmp_path / "deep" / "kept"


def test_round_trip(module: nn.Module, folder: Path) -> None:
    spec, loaded, info = checkpoint.load(folder)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(2))
    assert torch.equal(loaded(x), module(x))
    assert spec.key == SPEC.key and info == INFO
    assert sorted(path.name for path in folder.iterdir()) == [checkpoint.MODEL, checkpoint.SPEC]
    assert json.loads((folder / checkpoint.SPEC).read_text()) == {**INFO, "spec": json.loads(SPEC.to_json())}


def test_nothing_is_overwritten(module: nn.Module, folder: Path, tmp_path: Path) -> None:
    before = (folder / checkpoint.MODEL).read_bytes()
    other = build(SPEC, 3, 2, torch.Generator().manual_seed(9)).state_dict()
    with pytest.raises(ValueError, match="new or empty folder"):
        checkpoint.save(folder, SPEC, other, INFO)
    assert (folder / checkpoint.MODEL).read_bytes() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="new or empty folder"):
        checkpoint.save(tmp_path / "file", SPEC, other, INFO)
    (tmp_path / "empty").mkdir()
    checkpoint.save(tmp_path / "empty", SPEC, module.state_dict(), INFO)


def test_a_failure_leaves_nothing(module: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        checkpoint.save(tmp_path / "kept", SPEC, module.state_dict(), {**INFO, "loss": math.nan})
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(module: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="`folder` must be a folder that can be written"):
        checkpoint.save(tmp_path / "file" / "kept", SPEC, module.state_dict(), INFO)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (checkpoint.SPEC, None),
        (checkpoint.SPEC, "{"),
        (checkpoint.SPEC, "[]"),
        (checkpoint.SPEC, "{}"),
        (checkpoint.SPEC, json.dumps({**INFO, "spec": {"width": 8}})),
        (checkpoint.SPEC, json.dumps({**INFO, "spec": {"width": 8, "blocks": [], "colour": 1}})),
        (checkpoint.SPEC, json.dumps({**INFO, "spec": {"width": 8, "blocks": []}})),
        (checkpoint.SPEC, json.dumps({"spec": json.loads(SPEC.to_json())})),
        (checkpoint.MODEL, None),
        (checkpoint.MODEL, "not tensors"),
    ],
)
def test_what_is_not_a_whole_checkpoint(folder: Path, name: str, content: str | None) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(ValueError, match=r"checkpoint|Spec"):
        checkpoint.load(folder)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`checkpoint` must be a folder with spec.json and weights"):
        checkpoint.load(tmp_path / "nowhere")


def test_weights_that_are_not_the_specs(folder: Path) -> None:
    path = folder / checkpoint.MODEL
    state = load_file(path)
    name = "blocks.1.outer.weight"
    for changed, words in (
        ({key: value for key, value in state.items() if key != name}, f"missing: {name}"),
        ({**state, "more": torch.zeros(1)}, "not of this network: more"),
        ({**state, name: torch.zeros(3)}, f"of another shape: {name}"),
        ({**state, name: torch.full_like(state[name], math.nan)}, f"finite weights, got NaN or infinity in {name}"),
    ):
        save_file(changed, path)
        with pytest.raises(ValueError, match=words):
            checkpoint.load(folder)
    info = json.loads((folder / checkpoint.SPEC).read_text())
    info["spec"]["blocks"].append({})
    save_file(state, path)
    (folder / checkpoint.SPEC).write_text(json.dumps(info))
    with pytest.raises(ValueError, match=r"agree, .* missing: blocks.2.skip, blocks.2.scale, .* and 7 more"):
        checkpoint.load(folder)


def test_a_truncated_file(folder: Path) -> None:
    path = folder / checkpoint.MODEL
    whole = path.read_bytes()
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="`checkpoint` must be a whole checkpoint"):
            checkpoint.load(folder)


class Harmful:
    """Runs a program when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("name", [checkpoint.MODEL, "model.pt", "pytorch_model.bin"])
def test_pickles_are_refused_unless_allowed(module: nn.Module, folder: Path, tmp_path: Path, name: str) -> None:
    (folder / checkpoint.MODEL).unlink()
    torch.save(module.state_dict(), folder / name)
    with pytest.raises(ValueError, match=r"`checkpoint` must hold safetensors, .* \(allow_pickle=true takes its tensors\)"):
        checkpoint.load(folder)
    _, loaded, _ = checkpoint.load(folder, allow_pickle=True)
    assert torch.equal(loaded.state_dict()["readout.weight"], module.state_dict()["readout.weight"])
    torch.save({"readout.weight": Harmful(tmp_path / "harm")}, folder / name)
    with pytest.raises(ValueError, match="`checkpoint` must hold a pickled state_dict of tensors"):
        checkpoint.load(folder, allow_pickle=True)
    assert not (tmp_path / "harm").exists()


WRITER = """
import os, signal, sys, torch
from nasjac.store.checkpoints import checkpoint
from nasjac import Block, ResidualMLP, build
import nasjac.foundation.file_system as whole

real, calls = getattr(whole.os, sys.argv[2]), []
def deadly(*args, **kwargs):
    calls.append(args)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
setattr(whole.os, sys.argv[2], deadly)
spec = ResidualMLP(width=64, blocks=(Block(),) * 4)
checkpoint.save(sys.argv[1], spec, build(spec, 3, 2).state_dict(), {"inputs": 3, "outputs": 2})
"""


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="the system has no files without a name")
@pytest.mark.parametrize(("call", "number"), [("fsync", 1), ("fsync", 2), ("link", 1), ("link", 2), ("rename", 1)])
def test_kill_9_while_writing_leaves_no_half_file(folder: Path, tmp_path: Path, call: str, number: int) -> None:
    """Whatever call the process dies before: the old checkpoint is untouched, and every file that is there is whole."""
    before = {path: path.read_bytes() for path in folder.iterdir()}
    words = [sys.executable, "-c", WRITER, str(folder.with_name("other")), call, str(number)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert not folder.with_name("other").exists()
    left = [path for path in folder.parent.rglob("*") if path.is_file() and path not in before]
    assert call != "fsync" or not left, "nothing had a name yet"
    for path in left:
        assert load_file(path) if path.name == checkpoint.MODEL else json.loads(path.read_text())
