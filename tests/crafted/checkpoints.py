"""Checkpoints as a stranger may craft them: each breaks one rule, at random."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.kinds.build import build
from nasjac.store.checkpoints import checkpoint

SPEC = Spec.of(width=8, blocks=(Block(), Block(skip=0.0, scale=0.5)), placement="pre")
#: of the digits
INPUTS, OUTPUTS = 64, 10
#: fields that verbs read later
FIELDS = ("inputs", "outputs", "spec", "key", "dataset", "dataset_digest", "trained_on", "grown", "pruned", "searched")
#: values that are seldom what a field must be
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 3, 10**12, 10**400, 1.5, 1e400, float("nan"), "", "64", "\ud800", "x" * 10**5),
    *([], [1], {}, {"a": 1}, {"_target_": "os.system"}, [[[]]]),
)
TYPES = (torch.int8, torch.float64, torch.bfloat16, torch.float16, torch.complex64, torch.bool, torch.int64)


def whole(folder: Path) -> Path:
    """A checkpoint with nothing wrong."""
    info = {"inputs": INPUTS, "outputs": OUTPUTS, "key": SPEC.key, "dataset": "digits", "accuracy": 0.5}
    checkpoint.save(folder, SPEC, build(SPEC, INPUTS, OUTPUTS, torch.Generator().manual_seed(1)).state_dict(), info)
    return folder


def crafted(rng: random.Random, folder: Path) -> Path:
    """A checkpoint in the new folder that one of `WAYS` has changed."""
    rng.choice(WAYS)(rng, whole(folder))
    return folder


def _info(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / checkpoint.SPEC
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def field_odd(rng: random.Random, folder: Path) -> None:
    """A field of spec.json with another value."""
    _info(folder, lambda info: info.update({rng.choice(FIELDS): rng.choice(ODD)}))


def field_gone(rng: random.Random, folder: Path) -> None:
    """A field of spec.json is missing."""
    _info(folder, lambda info: info.pop(rng.choice(tuple(info))))


def spec_odd(rng: random.Random, folder: Path) -> None:
    """A field of the Spec with another value."""
    names = ("width", "blocks", "kind", "placement", "norm", "heads", "context", "shape", "step", "weight_gain", "colour")
    _info(folder, lambda info: info["spec"].update({rng.choice(names): rng.choice(ODD)}))


def block_odd(rng: random.Random, folder: Path) -> None:
    """A block with another value, or that is none."""

    def change(info: dict[str, Any]) -> None:
        blocks = info["spec"]["blocks"]
        if rng.random() < 0.3:
            blocks[0] = rng.choice(ODD)
        else:
            blocks[0][rng.choice(("keep", "skip", "scale", "op", "stage", "gate", "more"))] = rng.choice(ODD)

    _info(folder, change)


def spec_of_another_kind(rng: random.Random, folder: Path) -> None:
    """Weights of one kind, a Spec of another."""
    other = {
        "transformer_lm": {"heads": 2, "context": rng.choice((2, 10**6)), "blocks": [{"op": "attention"}]},
        "resnet": {"norm": "batchnorm", "shape": rng.choice(([1, 8, 8], [1, 10**6, 10**6])), "blocks": [{"op": "basic"}]},
        "vit": {"context": 4, "shape": [1, 8, 8], "patch": 4, "blocks": [{"op": "ffn"}]},
    }
    kind = rng.choice(tuple(other))
    _info(folder, lambda info: info.update(spec={"width": 8, "kind": kind, **other[kind]}))


def many_blocks(rng: random.Random, folder: Path) -> None:
    """More blocks, or wider ones, than the weights have; all would take all memory."""
    _info(folder, lambda info: info["spec"].update(rng.choice(({"blocks": [{}] * 200_000}, {"width": 2**20}))))


def changed_note(rng: random.Random, folder: Path) -> None:
    """What it was trained on and how it was changed, in part."""
    note = rng.choice(({"dataset": "digits"}, {"dataset_digest": 3}, {name: [] for name in ("trainer", "trainer_id")}))
    _info(folder, lambda info: info.update({"trained_on": note, rng.choice(("grown", "pruned", "searched")): note}))


def not_json(rng: random.Random, folder: Path) -> None:
    """Text that is no JSON, in any encoding."""
    depth = rng.choice((100, 10**5))
    texts = (b"", b"{", b"\xff\xfe{}", b"null", b'"x"', b"[" * depth, b"[" * depth + b"]" * depth, b"{} {}", b"\0" * 10)
    nested = b'{"inputs": 64, "outputs": 10, "spec": {"width": 8, "blocks": []}, "more": '
    texts += (nested + b"[" * depth + b"]" * depth + b"}", b'{"inputs": ' + b"9" * 5000 + b"}", nested + b"NaN}")
    (folder / checkpoint.SPEC).write_bytes(rng.choice(texts))


def large_json(rng: random.Random, folder: Path) -> None:
    """A spec.json that has no end, as it seems."""
    with (folder / checkpoint.SPEC).open("r+b") as file:
        file.truncate(2**40)


def not_a_file(rng: random.Random, folder: Path) -> None:
    """A pipe, a folder, a device or a loop in the place of a file."""
    path = folder / rng.choice((checkpoint.SPEC, checkpoint.MODEL))
    path.unlink()
    kind = rng.randrange(5)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    else:
        path.symlink_to((path, "/dev/zero", "nowhere")[kind - 2])


def cut_weights(rng: random.Random, folder: Path) -> None:
    """Weights that end early, or go on."""
    path = folder / checkpoint.MODEL
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))] if rng.random() < 0.7 else content + b"more")


def odd_bytes(rng: random.Random, folder: Path) -> None:
    """Some bytes of the header changed."""
    path = folder / checkpoint.MODEL
    content = bytearray(path.read_bytes())
    for _ in range(rng.randrange(1, 6)):
        content[rng.randrange(200)] = rng.randrange(256)
    path.write_bytes(content)


def header(rng: random.Random, folder: Path) -> None:
    """A header of absurd length, or that promises more numbers than there are."""
    tensor = {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, rng.choice((4, 2**64, -4))]}
    text = json.dumps(
        rng.choice(({"a": tensor}, {"a": {}}, {"__metadata__": {"x": 1}}, [], {"a": {**tensor, "dtype": "X"}}))
    )
    length = rng.choice((len(text), 0, 2**63, 10**8, len(text) + 1))
    (folder / checkpoint.MODEL).write_bytes(struct.pack("<Q", length) + text.encode() + b"\0" * 4)


def large_weights(rng: random.Random, folder: Path) -> None:
    """A file of a terabyte that takes no place."""
    path = folder / checkpoint.MODEL
    if rng.random() < 0.5:
        entry = {"dtype": "U8", "shape": [2**40], "data_offsets": [0, 2**40]}
        text = json.dumps({"a": entry}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text)
        length = 8 + len(text) + 2**40
    else:
        path.write_bytes(b"PK\x03\x04")
        length = 2**40
    with path.open("r+b") as file:
        file.truncate(length)


def _weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = folder / checkpoint.MODEL
    state = load_file(path)
    change(state)
    save_file(state, path)


def another_type(rng: random.Random, folder: Path) -> None:
    """Weights of other types, all or one."""
    kind = rng.choice(TYPES)

    def change(state: dict[str, torch.Tensor]) -> None:
        for name in state if rng.random() < 0.5 else [rng.choice(tuple(state))]:
            state[name] = state[name].to(kind)

    _weights(folder, change)


def another_shape(rng: random.Random, folder: Path) -> None:
    """Weights of other shapes, or of none, or more, or fewer."""

    def change(state: dict[str, torch.Tensor]) -> None:
        name = rng.choice(tuple(state))
        kind = rng.randrange(4)
        if kind == 0:
            del state[name]
        elif kind == 1:
            state["more"] = torch.zeros(3)
        else:
            state[name] = torch.zeros((0, 7, 2**20)[:kind])

    _weights(folder, change)


def not_finite(rng: random.Random, folder: Path) -> None:
    """A weight that is no number."""

    def change(state: dict[str, torch.Tensor]) -> None:
        state["readout.bias"][0] = rng.choice((float("nan"), float("inf")))

    _weights(folder, change)


def pickled(rng: random.Random, folder: Path) -> None:
    """A pickle in the place of weights."""
    path = folder / checkpoint.MODEL
    state = load_file(path)
    path.unlink()
    torch.save(
        rng.choice((state, [1], 3, {"a": 1})), folder / rng.choice((checkpoint.MODEL, "model.pt", "pytorch_model.bin"))
    )


def no_file(rng: random.Random, folder: Path) -> None:
    """A file is missing, or both are."""
    for name in rng.choice(((checkpoint.SPEC,), (checkpoint.MODEL,), (checkpoint.SPEC, checkpoint.MODEL))):
        (folder / name).unlink()


WAYS: tuple[Callable[[random.Random, Path], None], ...] = (
    *(field_odd, field_gone, spec_odd, block_odd, spec_of_another_kind, many_blocks, changed_note, not_json, large_json),
    *(not_a_file, cut_weights, odd_bytes, header, large_weights, another_type, another_shape, not_finite, pickled, no_file),
)
