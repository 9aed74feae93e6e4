"""A trained network in a folder: model.safetensors, and spec.json with its Spec and where it comes from."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nasjac.networks import build
from nasjac.spec import Spec

MODEL, SPEC = "model.safetensors", "spec.json"


def save(folder: str | Path, spec: Spec, state: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
    """Write the checkpoint, whole or not at all. `info` is JSON with at least the module's `inputs` and `outputs`.

    ValueError: there is something at `folder` already, or it cannot be written.
    """
    target = Path(folder)
    check_free(target)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    content = {**info, "spec": json.loads(spec.to_json())}
    try:
        draft.mkdir(parents=True)
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, draft / MODEL)
        (draft / SPEC).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
        os.rename(draft, target)  # refused by the system if something is there by now
    except OSError as error:
        raise ValueError(f"`folder` must be one that can be written, got {target}: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_free(folder: str | Path) -> None:
    """ValueError unless `folder` is absent or an empty folder: a checkpoint is never overwritten."""
    if not is_free(folder):
        raise ValueError(f"`folder` must be a new or empty folder, got {folder}, which holds something")


def is_free(folder: str | Path) -> bool:
    """Whether `folder` is absent or an empty folder."""
    target = Path(folder)
    return not target.exists() or (target.is_dir() and not any(target.iterdir()))


def load(folder: str | Path) -> tuple[Spec, nn.Module, dict[str, Any]]:
    """The Spec, the trained module on the CPU, and the rest of what `save` was told. ValueError: not a checkpoint."""
    info = read_info(folder)
    try:
        spec = Spec.from_json(json.dumps(info.pop("spec")))
        module = build(spec, info["inputs"], info["outputs"])
        module.load_state_dict(load_file(Path(folder) / MODEL))
    except (OSError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"`folder` must hold a whole checkpoint, got {folder}: {error}") from error
    return spec, module, info


def read_info(folder: str | Path) -> dict[str, Any]:
    """The content of spec.json. ValueError: not a checkpoint."""
    try:
        content = json.loads((Path(folder) / SPEC).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"`folder` must hold a checkpoint ({MODEL}, {SPEC}), got {folder}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"`folder` must hold a checkpoint whose {SPEC} is an object, got {folder}")
    return content
