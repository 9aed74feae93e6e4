"""The weights of a checkpoint: read only once it is known that they are those of the Spec's network."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as tensors_of
from torch import Tensor

from nasjac.foundation.errors import InputError
from nasjac.kinds.build import build
from nasjac.foundation.reading import check_file
from nasjac.architecture.spec import Spec

MODEL = "model.safetensors"
#: names under which others leave pickled weights
PICKLES = ("model.pt", "model.pth", "model.bin", "model.pkl", "pytorch_model.bin")
#: how a pickle begins: that of torch.save is a zip file, a bare one has its protocol's mark
PICKLE_MARKS = (b"PK\x03\x04", b"\x80")
#: bytes that a pickle may have beside four times those of its tensors
BESIDE = 2**20
#: names that an error lists
LISTED = 3

Shapes = Mapping[str, tuple[int, ...]]


def read_weights(folder: Path, spec: Spec, inputs: int, outputs: int, allow_pickle: bool) -> dict[str, Tensor]:
    """Return the tensors of the Spec's network from a checkpoint's folder.

    No more memory is used than the file has bytes, whatever sizes the Spec says.

    Raises:
        InputError: There are none, they are not this network's, not of its types or not finite, or they are pickled.
    """
    path = folder / MODEL
    if not path.exists():
        path = next((folder / name for name in PICKLES if (folder / name).exists()), path)
    try:
        check_file(path, "checkpoint")
        with path.open("rb") as file:
            start = file.read(9)
        is_pickle = (
            start.startswith(PICKLE_MARKS) and start[8:9] != b"{"
        )  # the length of a safetensors header may begin alike
        if is_pickle:
            found, wanted = _of_pickle(path, spec, inputs, outputs, allow_pickle)
        else:
            shapes = _shapes(path)
            wanted = _network(folder, spec, inputs, outputs, len(shapes))
            _check_shapes(folder, wanted, shapes)
            found = tensors_of(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise InputError(f"`checkpoint` must be a whole checkpoint, got {path}: {error}") from error
    _check_shapes(folder, wanted, {name: tuple(tensor.shape) for name, tensor in found.items()})
    _check_values(wanted, found)
    return found


def _shapes(path: Path) -> Shapes:
    """The shapes that the header of a safetensors file tells; that the bytes behind it are its tensors' is checked too."""
    try:
        with safe_open(path, framework="pt") as header:
            return {name: tuple(header.get_slice(name).get_shape()) for name in header.keys()}  # noqa: SIM118
    except RuntimeError as error:  # larger than the memory that there is
        raise InputError(f"`checkpoint` must be a whole checkpoint, got {path}: {error}") from error


def _network(folder: Path, spec: Spec, inputs: int, outputs: int, tensors: int) -> dict[str, Tensor]:
    """The network's tensors without memory. InputError: it has more blocks than a file of so many tensors, or cannot be."""
    rule = f"`checkpoint` must be one whose {MODEL} and spec.json agree, got {folder}"
    if (kept := len(spec.canonical.blocks)) > tensors:
        raise InputError(f"{rule}: {kept} blocks with weights of {tensors} tensors")
    try:
        with torch.device("meta"):
            return dict(build(spec, inputs, outputs).state_dict())
    except InputError as error:
        raise InputError(f"{rule}: {error}") from error
    except RuntimeError as error:
        if "overflow" not in str(error).lower():
            raise
        raise InputError(
            f"`checkpoint` must hold a Spec of sizes that a network can have, got {folder}: {error}"
        ) from error


def _of_pickle(
    path: Path, spec: Spec, inputs: int, outputs: int, allow_pickle: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The pickled tensors, and those of the network."""
    if not allow_pickle:
        rule = "safetensors, for a pickle may run any program when it is read (allow_pickle=true takes its tensors)"
        raise InputError(f"`checkpoint` must hold {rule}, got the pickle {path}")
    size = path.stat().st_size
    wanted = _network(path.parent, spec, inputs, outputs, size)
    most = 4 * sum(tensor.numel() * tensor.element_size() for tensor in wanted.values()) + BESIDE
    if size > most:
        raise InputError(f"`checkpoint` must hold a pickle of at most {most} bytes for this network, got {size} in {path}")
    try:
        found = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise whatever the bytes make them raise
        raise InputError(f"`checkpoint` must hold a pickled state_dict of tensors, got {path}: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise InputError(f"`checkpoint` must hold a pickled state_dict of tensors, got {type(found).__name__} in {path}")
    return {str(name): tensor for name, tensor in found.items()}, wanted


def _check_shapes(folder: Path, wanted: Mapping[str, Tensor], found: Shapes) -> None:
    """InputError unless the tensors are those of the Spec's network, in its shapes."""
    faults = {
        "missing": [name for name in wanted if name not in found],
        "not of this network": [name for name in found if name not in wanted],
        "of another shape": [name for name in wanted if name in found and tuple(wanted[name].shape) != found[name]],
    }
    if any(faults.values()):
        told = "; ".join(f"{what}: {_some(names)}" for what, names in faults.items() if names)
        raise InputError(f"`checkpoint` must be one whose {MODEL} and spec.json agree, got {folder}: {told}")


def _check_values(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """InputError unless the tensors are of the network's types, which nothing rounds on the way, and finite."""
    if other := [name for name, tensor in found.items() if tensor.dtype != wanted[name].dtype or tensor.is_sparse]:
        first = other[0]
        rule = f"weights of the network's types ({wanted[first].dtype} for {first})"
        raise InputError(f"`checkpoint` must hold {rule}, got {found[first].dtype} in {_some(other)}")
    if bad := [name for name, tensor in found.items() if not tensor.isfinite().all()]:
        raise InputError(f"`checkpoint` must hold finite weights, got NaN or infinity in {_some(bad)}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
