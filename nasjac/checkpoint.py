"""A trained network in a folder: model.safetensors, and spec.json with its Spec and where it comes from."""

from __future__ import annotations

import io
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor, nn

from nasjac.errors import InputError
from nasjac.networks import build
from nasjac.spec import Spec
from nasjac.whole_files import write_whole

MODEL, SPEC = "model.safetensors", "spec.json"
#: names under which others leave pickled weights
PICKLES = ("model.pt", "model.pth", "model.bin", "model.pkl", "pytorch_model.bin")
#: how a pickle begins: that of torch.save is a zip file, a bare one has its protocol's mark
PICKLE_MARKS = (b"PK\x03\x04", b"\x80")
#: names that an error lists
LISTED = 3


def save(
    folder: str | Path,
    spec: Spec,
    state: Mapping[str, Tensor],
    info: Mapping[str, Any],
    beside: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Write the checkpoint, whole or not at all. `info` is JSON with at least the module's `inputs` and `outputs`.

    `beside` are further files of the folder. ValueError: there is something at `folder` already, or it cannot be written.
    """
    target = Path(folder)
    check_free(target)
    content = json.dumps({**info, "spec": json.loads(spec.to_json())}, indent=2, allow_nan=False) + "\n"
    tensors = bytes_of({name: tensor.contiguous() for name, tensor in state.items()})
    place(target, {MODEL: tensors, SPEC: content.encode(), **beside})


def place(folder: str | Path, files: Mapping[str, bytes]) -> None:
    """Make a new folder with these files, whole or not at all, also where the process is killed meanwhile.

    ValueError: there is something at `folder` already, or it cannot be written.
    """
    target = Path(folder)
    check_free(target)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(draft, files)
        os.rename(draft, target)  # refused by the system if something is there by now
    except OSError as error:
        raise InputError(f"`folder` must be one that can be written, got {target}: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_free(folder: str | Path) -> None:
    """ValueError unless `folder` is absent or an empty folder: a checkpoint is never overwritten."""
    if not is_free(folder):
        raise InputError(f"`folder` must be a new or empty folder, got {folder}, which holds something")


def is_free(folder: str | Path) -> bool:
    """Whether `folder` is absent or an empty folder."""
    target = Path(folder)
    return not target.exists() or (target.is_dir() and not any(target.iterdir()))


def load(folder: str | Path, allow_pickle: bool = False) -> tuple[Spec, nn.Module, dict[str, Any]]:
    """The Spec, the trained module on the CPU, and the rest of what `save` was told.

    `allow_pickle` takes a pickled state_dict (model.pt and the like) where there are no safetensors; tensors alone are read
    from it. ValueError: not a whole checkpoint, weights that are not the Spec's or not finite, a pickle.
    """
    info = read_info(folder)
    try:
        spec = Spec.from_json(json.dumps(info.pop("spec")))
        module = build(spec, info["inputs"], info["outputs"])
        state = _tensors(Path(folder), allow_pickle)
    except (OSError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(f"`folder` must hold a whole checkpoint, got {folder}: {error}") from error
    _check_state(folder, module.state_dict(), state)
    module.load_state_dict(state)
    return spec, module, info


def read_info(folder: str | Path) -> dict[str, Any]:
    """The content of spec.json. ValueError: not a checkpoint."""
    try:
        content = json.loads((Path(folder) / SPEC).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"`folder` must hold a checkpoint ({MODEL}, {SPEC}), got {folder}: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"`folder` must hold a checkpoint whose {SPEC} is an object, got {folder}")
    return content


def _tensors(folder: Path, allow_pickle: bool) -> dict[str, Tensor]:
    path = folder / MODEL
    if not path.exists():
        path = next((folder / name for name in PICKLES if (folder / name).exists()), path)
    content = path.read_bytes()
    if not content.startswith(PICKLE_MARKS) or content[8:9] == b"{":  # the length of safetensors' header may begin alike
        return tensors_of(content)
    if not allow_pickle:
        rule = "safetensors, for a pickle may run any program when it is read (allow_pickle=true takes its tensors)"
        raise InputError(f"`checkpoint` must hold {rule}, got the pickle {path}")
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise whatever the bytes make them raise
        raise InputError(f"`checkpoint` must hold a pickled state_dict of tensors, got {path}: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise InputError(f"`checkpoint` must hold a pickled state_dict of tensors, got {type(found).__name__} in {path}")
    return found


def _check_state(folder: str | Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """ValueError unless the tensors are those of the Spec's network, in its shapes, and finite."""
    faults = {
        "missing": [name for name in wanted if name not in found],
        "not of this network": [name for name in found if name not in wanted],
        "of another shape": [name for name in wanted if name in found and wanted[name].shape != found[name].shape],
    }
    if any(faults.values()):
        told = "; ".join(f"{what}: {_some(names)}" for what, names in faults.items() if names)
        raise InputError(f"`folder` must hold a whole checkpoint whose {MODEL} and {SPEC} agree, got {folder}: {told}")
    if bad := [name for name, tensor in found.items() if not tensor.isfinite().all()]:
        raise InputError(f"`folder` must hold a checkpoint of finite weights, got NaN or infinity in {_some(bad)}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
