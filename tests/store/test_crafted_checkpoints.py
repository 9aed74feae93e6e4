"""Checkpoints that a stranger crafted: each is refused in one sentence, without a hang, a crash or much memory."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.cli import main
from nasjac.foundation.errors import InputError
from nasjac.kinds.build import build
from nasjac.store.checkpoints import checkpoint
from tests.crafted.checkpoints import INPUTS, OUTPUTS, SPEC, TYPES, WAYS, crafted, whole

#: of a fuzz, and of its quick sample, which meets every way at least once
SEEDS, FEW = 200, 38


def told(folder: Path, allow_pickle: bool) -> str | None:
    """What is wrong with a checkpoint; None where it loads."""
    try:
        spec, module, info = checkpoint.load(folder, allow_pickle)
    except InputError as error:
        return str(error)
    assert (info["inputs"], info["outputs"]) == (INPUTS, OUTPUTS) and module(torch.zeros(1, INPUTS)).shape == (1, OUTPUTS)
    json.dumps({**info, "spec": spec.content}, allow_nan=False, indent=2)  # so a changed network can be saved with it
    return None


def check_loading(folder: Path, seed: int) -> None:
    """It loads whole, or the sentence about it is one."""
    rng = random.Random(seed)
    WAYS[seed % len(WAYS)](rng, whole(folder))
    for allow_pickle in (False, True):
        sentence = told(folder, allow_pickle)
        assert sentence is None or (sentence.startswith("`checkpoint` must ") or "`inputs` must" in sentence), sentence
        assert sentence is None or (len(sentence) < 800 and "\n" not in sentence), sentence


@pytest.mark.parametrize("seed", range(FEW))
def test_a_crafted_checkpoint_is_refused_in_a_sentence(tmp_path: Path, seed: int) -> None:
    check_loading(tmp_path / "kept", seed)


@pytest.mark.slow
def test_many_crafted_checkpoints_are_refused_in_a_sentence(tmp_path: Path) -> None:
    for seed in range(FEW, FEW + SEEDS):
        check_loading(tmp_path / str(seed), seed)


COMMANDS = (
    ("grow", "blocks=1", "checkpoint="),
    ("prune", "fine_tune=0", "checkpoint="),
    ("search", "budget.trials=2", "budget.max_flops=100000", "search.warm_start="),
)


def check_command(folder: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A verb that takes a checkpoint ends in one sentence, or does its work."""
    rng = random.Random(seed)
    *words, last = rng.choice(COMMANDS)
    crafted(rng, folder)
    code = main([*words, f"{last}{folder}", "quiet=true", f"out={folder}-out"])
    err = capsys.readouterr().err
    assert (code, err) == (0, "") or (code == 2 and err.startswith("nasjac: `") and err.count("\n") == 1), (code, err)
    assert code == 0 or not Path(f"{folder}-out").exists()


@pytest.mark.parametrize("seed", range(4))
def test_verbs_refuse_a_crafted_checkpoint(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_command(tmp_path / "kept", seed, capsys)


@pytest.mark.slow
def test_verbs_refuse_many_crafted_checkpoints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(SEEDS):
        check_command(tmp_path / str(seed), seed, capsys)


KINDS = (
    Spec.of(width=8, blocks=(Block(), Block(gate=True)), placement="pre", norm="rmsnorm"),
    Spec.of(
        width=8, blocks=(Block(op="attention"), Block()), kind="transformer_lm", heads=2, context=8, positions="rotary"
    ),
    Spec.of(width=8, blocks=(Block(op="attention"), Block()), kind="vit", heads=2, context=4, shape=(1, 4, 4), patch=2),
    Spec.of(
        width=8,
        blocks=(Block(op="basic"), Block(op="bottleneck", stage=1)),
        kind="resnet",
        norm="batchnorm",
        shape=(1, 8, 8),
    ),
    Spec.of(
        width=8,
        blocks=(Block(op="dense"), Block(op="dense", stage=1)),
        kind="densenet",
        norm="groupnorm",
        growth=4,
        shape=(1, 8, 8),
    ),
)


@pytest.mark.parametrize("spec", KINDS, ids=lambda spec: spec.kind)
def test_shapes_are_known_without_memory(spec: Spec, tmp_path: Path) -> None:
    """Under the meta device every kind of network is built without a number, and has the shapes that it has elsewhere."""
    inputs = 64 if spec.kind in ("resnet", "densenet") else 16
    with torch.device("meta"):
        empty = build(spec, inputs, 10).state_dict()
    module = build(spec, inputs, 10)
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in empty.items()} == {
        name: (tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()
    }
    assert all(tensor.is_meta for name, tensor in empty.items() if tensor.ndim)
    checkpoint.save(tmp_path / "kept", spec, module.state_dict(), {"inputs": inputs, "outputs": 10})
    loaded = checkpoint.load(tmp_path / "kept")[1].state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("kind", TYPES)
def test_weights_of_another_type_are_named_and_not_rounded(tmp_path: Path, kind: torch.dtype) -> None:
    path = whole(tmp_path / "kept") / checkpoint.MODEL
    save_file({**load_file(path), "readout.bias": torch.zeros(OUTPUTS, dtype=kind)}, path)
    rule = r"weights of the network's types \(torch.float32 for readout.bias\)"
    with pytest.raises(InputError, match=rf"`checkpoint` must hold {rule}, got {kind} in readout.bias$"):
        checkpoint.load(tmp_path / "kept")


@pytest.mark.parametrize(
    "change", [{"inputs": 2**31 - 1}, {"outputs": 2**31 - 1}, {"spec": {"width": 2**20, "blocks": []}}]
)
def test_absurd_sizes_take_no_memory(tmp_path: Path, change: dict[str, object]) -> None:
    """Terabytes, if the network were made before its weights are looked at."""
    path = whole(tmp_path / "kept") / checkpoint.SPEC
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=r"`checkpoint` must be one whose model.safetensors and spec.json agree, got"):
        checkpoint.load(tmp_path / "kept")


def test_files_that_are_no_files_do_not_hang(tmp_path: Path) -> None:
    for name in (checkpoint.SPEC, checkpoint.MODEL):
        path = whole(tmp_path / name) / name
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(InputError, match="which is a named pipe"):
            checkpoint.load(path.parent)


def test_a_spec_file_that_is_a_pipe_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    assert main(["prune", "spec=pipe", "out=x"]) == 2
    assert "`spec` must be a file, got 'pipe', which is a named pipe" in capsys.readouterr().err


def test_what_verbs_say_names_their_own_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that fills up between the check at the door and the end is called by the verb's option."""
    state, info = build(SPEC, INPUTS, OUTPUTS).state_dict(), {"inputs": INPUTS, "outputs": OUTPUTS}
    (tmp_path / "file").write_text("mine")
    for option in ("out", "save"):
        with pytest.raises(InputError, match=f"^`{option}` must be a new or empty folder"):
            checkpoint.save(tmp_path / "file", SPEC, state, info, option=option)
        with pytest.raises(InputError, match=f"^`{option}` must be a folder that can be written"):
            checkpoint.save(tmp_path / "file" / "kept", SPEC, state, info, option=option)
