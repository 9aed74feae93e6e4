"""A trained network in a folder: model.safetensors, and spec.json with its Spec and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors.torch import save as bytes_of
from torch import Tensor, nn

from nasjac.foundation.atomic_files import place_folder
from nasjac.store.checkpoints.info import SPEC, read_info, spec_of
from nasjac.foundation.errors import InputError
from nasjac.kinds.build import build
from nasjac.architecture.spec import Spec
from nasjac.store.checkpoints.weights import MODEL, read_weights

__all__ = ["MODEL", "SPEC", "files_of", "is_free", "load", "place", "read_info", "save"]


def save(
    folder: str | Path,
    spec: Spec,
    state: Mapping[str, Tensor],
    info: Mapping[str, Any],
    beside: Mapping[str, bytes] = MappingProxyType({}),
    option: str = "folder",
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        folder: A new or empty folder.
        spec: The network's Spec.
        state: Its weights.
        info: JSON with at least the network's `inputs` and `outputs`.
        beside: Further files of the folder.
        option: What the user calls the folder, for the error.

    Raises:
        InputError: There is something in `folder` already, or it cannot be written.
    """
    place(folder, {**files_of(spec, state, info), **beside}, option)


def files_of(spec: Spec, state: Mapping[str, Tensor], info: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of a checkpoint by name; `spec`, `state` and `info` are as in `save`."""
    content = json.dumps({**info, "spec": spec.content}, indent=2, allow_nan=False) + "\n"
    tensors = bytes_of({name: tensor.contiguous() for name, tensor in state.items()})
    return {MODEL: tensors, SPEC: content.encode()}


def place(folder: str | Path, files: Mapping[str, bytes], option: str = "folder") -> None:
    """Make a new folder with these files, whole or not at all, also where the process is killed meanwhile.

    Raises:
        InputError: There is something in `folder` already, or it cannot be written.
    """
    check_free(folder, option)
    place_folder(folder, files, option)


def check_free(folder: str | Path, option: str = "folder") -> None:
    """InputError unless `folder` is absent or an empty folder: a checkpoint is never overwritten."""
    if not is_free(folder):
        raise InputError(f"`{option}` must be a new or empty folder, for nothing is overwritten, got {folder}")


def is_free(folder: str | Path) -> bool:
    """Whether `folder` is absent or an empty folder."""
    target = Path(folder)
    return not target.exists() or (target.is_dir() and not any(target.iterdir()))


def load(folder: str | Path, allow_pickle: bool = False) -> tuple[Spec, nn.Module, dict[str, Any]]:
    """Return the Spec, the trained module on the CPU, and the rest of what `save` was told.

    Args:
        folder: The checkpoint's folder.
        allow_pickle: Whether to take a pickled state_dict (model.pt and the like) where there are no safetensors; tensors
            alone are read from it.

    Raises:
        InputError: It is not a whole checkpoint, its weights are not the Spec's or not finite, or they are pickled.
    """
    info = read_info(folder)
    spec = spec_of(info)
    state = read_weights(Path(folder), spec, info["inputs"], info["outputs"], allow_pickle)
    module = build(spec, info["inputs"], info["outputs"])
    module.load_state_dict(state)
    return spec, module, {name: value for name, value in info.items() if name != "spec"}
