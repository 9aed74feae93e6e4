"""Checkpoints: what is saved comes back, nothing is overwritten, and nothing half-written is left."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from nasjac import checkpoint
from nasjac.networks import build
from nasjac.spec import Block, Spec

SPEC = Spec(width=8, blocks=(Block(), Block(keep=False), Block(skip=0.0, scale=0.5)), placement="sandwich")
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
    with pytest.raises(ValueError, match="`folder` must be one that can be written"):
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
    with pytest.raises(ValueError, match=r"`folder` must hold a checkpoint \(model.safetensors, spec.json\)"):
        checkpoint.load(tmp_path / "nowhere")
