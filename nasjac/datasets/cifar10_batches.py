"""The python files of CIFAR-10's author: pickles, which are read without running what they name."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasjac.datasets.files import read_bytes
from nasjac.foundation.arguments import WHOLE_CODES
from nasjac.foundation.errors import InputError

FOLDER = "cifar-10-batches-py"
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
FEATURES = 3 * 32 * 32
SOURCE = (
    'get "CIFAR-10 python version" from the author (Krizhevsky, 2009; www.cs.toronto.edu/~kriz/cifar.html) and unpack it'
)
#: tuples of a batch, at most: a genuine one has a dozen, and a million within each other end the process when hashed
TUPLES = 1000

#: indices [k] of training images -> their features [k, 3072], bytes
Images = Callable[[Tensor], Tensor]


class _Written:
    """What a pickle says of an array or a dtype. numpy would believe it, and a malformed one would end the process."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def bytes_array(self) -> NDArray[np.uint8]:
        """Return the array, if it is one of bytes; any error otherwise."""
        _, shape, dtype, is_fortran, content = self.state
        if dtype.arguments[0] not in ("u1", b"u1"):
            raise TypeError(f"an array of {dtype.arguments[0]!r} where it should be of bytes, 'u1'")
        return np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if is_fortran else "C")


#: what a batch may name, and what it gets instead: numpy's arrays, before numpy 2 and since
NAMED: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Written,
    ("numpy._core.multiarray", "_reconstruct"): _Written,
    ("numpy", "ndarray"): _Written,
    ("numpy", "dtype"): _Written,
}


class _Unpickler(pickle.Unpickler):
    """Reads what Python 2 wrote, strings as bytes, and makes nothing that runs, and no more than the file has bytes."""

    def __init__(self, content: bytearray) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self.left = len(content)

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        if (module, name) == ("_codecs", "encode"):  # bytes that Python 3 writes for Python 2
            return self._encoded
        if (module, name) not in NAMED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch of CIFAR-10 needs")
        return NAMED[module, name]

    def _encoded(self, text: str, _: str) -> bytes:
        self.left -= len(text)
        if self.left < 0:  # the same text again and again
            raise pickle.UnpicklingError("it asks for more bytes than it has")
        return text.encode("latin-1")


def _check_operations(content: bytearray) -> None:
    """Refuse what Python's unpickler takes memory without bound for, or ends the process on."""
    tuples = 0
    for operation, argument, _ in pickletools.genops(bytes(content)):
        tuples += operation.name.startswith("TUPLE")
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise pickle.UnpicklingError(f"it asks for {argument} places to remember things in")
        if tuples > TUPLES:
            raise pickle.UnpicklingError(f"it asks for more than {TUPLES} tuples")


def read_batches(root: Path) -> tuple[NDArray[Any], Images]:
    """Return labels [n], and a function that gives the images of some of them, of the training batches."""
    folder = root / FOLDER if (root / FOLDER).is_dir() else root
    missing = [name for name in BATCHES if not os.path.lexists(folder / name)]
    if missing:
        rule = f"{BATCHES[0]} to {BATCHES[-1]}, or be a JPEG pack (.npz)"
        raise InputError(f"`dataset.root` must hold {rule}, got {folder} without {', '.join(missing)}; {SOURCE}")
    arrays, labels = zip(*(_batch(folder / name) for name in BATCHES), strict=True)
    images = torch.from_numpy(np.concatenate(arrays))
    return np.concatenate(labels), lambda chosen: images[chosen]


def _batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.integer[Any]]]:
    """Images [n, 3072] and labels [n] of one batch."""
    read = read_bytes(path, "dataset.root")
    try:
        _check_operations(read)
        content = _Unpickler(read).load()
        images, labels = content[b"data"].bytes_array(), np.asarray(content[b"labels"])
    except Exception as error:  # a malformed pickle may raise any, says Python's manual
        got = f"{path}: {type(error).__name__}: {error}"
        raise InputError(f"`dataset.root` must hold the batches of CIFAR-10, got {got}; {SOURCE}") from error
    if labels.dtype.char not in WHOLE_CODES or labels.ndim != 1 or images.shape != (*labels.shape, FEATURES):
        rule = f"batches of data [n, {FEATURES}] and whole labels [n]"
        got = f"{[*images.shape]} and {[*labels.shape]} {labels.dtype} in {path}"
        raise InputError(f"`dataset.root` must hold {rule}, got {got}; {SOURCE}")
    return images, labels
