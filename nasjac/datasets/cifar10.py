"""cifar10: 60,000 colour images of 32 x 32 pixels, from the authors' python files or from one file of JPEGs."""

from __future__ import annotations

import io
import pickle
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasjac.datasets.data import Data, standardized
from nasjac.errors import InputError
from nasjac.ranges import LARGEST

FOLDER = "cifar-10-batches-py"
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
SHAPE, FEATURES, CLASSES = (3, 32, 32), 3 * 32 * 32, 10
PACK = ("header", "body", "offsets", "labels", "n_train")
SOURCE = (
    'get "CIFAR-10 python version" from the author (Krizhevsky, 2009; www.cs.toronto.edu/~kriz/cifar.html) and unpack it'
)

#: indices [k] of training images -> their features [k, 3072], bytes
Images = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Cifar10:
    """CIFAR-10 (Krizhevsky, 2009). 3072 features, channel by channel and row by row, 10 classes.

    Validation is the last fifth of the training images (data_batch_5 of the authors' files); the test images stay
    untouched.

    `root`   the folder cifar-10-batches-py with data_batch_1 to data_batch_5, or the one that holds it; or a JPEG pack, an
             .npz file of the arrays `header` and `body` (bytes), `offsets` [n + 1], `labels` [n] and `n_train`, whose
             image i is the JPEG file header + body[offsets[i] : offsets[i + 1]], the n_train training images first
    `limit`  most training images to use, a tenth of each class, the first of each (null: all 40,000, which are 490 MB)

    The batches are pickles, which could run any code: these are read by an unpickler that makes lists, mappings, numbers
    and strings, takes arrays of numpy for what is written about them, and refuses everything else.
    """

    root: str = FOLDER
    limit: int | None = 10_000

    def __post_init__(self) -> None:
        if self.limit is not None and (not CLASSES <= self.limit <= LARGEST or self.limit % CLASSES):
            raise InputError(f"`dataset.limit` must be a multiple of {CLASSES} above 0, or null, got {self.limit}")

    @property
    def name(self) -> str:
        return "cifar10"

    def load(self) -> Data:
        """`limit` training and 10,000 validation samples. ValueError names missing or malformed files."""
        root = Path(self.root)
        labels, images = _pack(root) if root.suffix == ".npz" else _batches(root)
        if len(labels) < 5 or labels.min() < 0 or labels.max() >= CLASSES:
            found = f"{len(labels)} of them" + (f", {int(labels.min())} to {int(labels.max())}," if len(labels) else "")
            raise InputError(f"`dataset.root` must hold 5 labels or more below {CLASSES}, got {found} in {root}")
        trained = len(labels) - len(labels) // 5
        kept = torch.ones(len(labels), dtype=torch.bool)
        if self.limit is not None:
            of_class = torch.nn.functional.one_hot(labels[:trained], CLASSES)
            kept[:trained] = (of_class.cumsum(0) * of_class).sum(1) <= self.limit // CLASSES
        chosen = kept.nonzero().squeeze(1)
        return standardized(images(chosen), labels[chosen], chosen >= trained, CLASSES, SHAPE)


class _Written:
    """What a pickle says of an array or a dtype. numpy would believe it, and a malformed one would end the process."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def bytes_array(self) -> NDArray[np.uint8]:
        """The array, if it is one of bytes; any error otherwise."""
        _, shape, dtype, is_fortran, content = self.state
        if dtype.arguments[0] not in ("u1", b"u1"):
            raise TypeError(f"an array of {dtype.arguments[0]!r} where it should be of bytes, 'u1'")
        return np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if is_fortran else "C")


#: all that a batch may name, and what it gets instead: numpy's arrays, before numpy 2 and since, and bytes that Python 3
#: writes for Python 2
NAMED: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Written,
    ("numpy._core.multiarray", "_reconstruct"): _Written,
    ("numpy", "ndarray"): _Written,
    ("numpy", "dtype"): _Written,
    ("_codecs", "encode"): lambda text, _: text.encode("latin-1"),
}


class _Unpickler(pickle.Unpickler):
    """Reads what Python 2 wrote, strings as bytes, and makes nothing that runs."""

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        if (module, name) not in NAMED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch of CIFAR-10 needs")
        return NAMED[module, name]


def _batches(root: Path) -> tuple[Tensor, Images]:
    """Labels and images of the training batches."""
    folder = root / FOLDER if (root / FOLDER).is_dir() else root
    missing = [name for name in BATCHES if not (folder / name).is_file()]
    if missing:
        rule = f"{BATCHES[0]} to {BATCHES[-1]}, or be a JPEG pack (.npz)"
        raise InputError(f"`dataset.root` must hold {rule}, got {folder} without {', '.join(missing)}; {SOURCE}")
    arrays, labels = zip(*(_batch(folder / name) for name in BATCHES), strict=True)
    images = torch.from_numpy(np.concatenate(arrays))
    return torch.from_numpy(np.concatenate(labels).astype(np.int64)), lambda chosen: images[chosen]


def _batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.integer[Any]]]:
    """Images [n, 3072] and labels [n] of one batch."""
    try:
        content = _Unpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        images, labels = content[b"data"].bytes_array(), np.asarray(content[b"labels"])
    except Exception as error:  # a malformed pickle may raise any, says Python's manual
        got = f"{path}: {type(error).__name__}: {error}"
        raise InputError(f"`dataset.root` must hold the batches of CIFAR-10, got {got}; {SOURCE}") from error
    if labels.dtype.kind not in "iu" or images.shape != (*labels.shape, FEATURES):
        rule = f"batches of data [n, {FEATURES}] and whole labels [n]"
        got = f"{[*images.shape]} and {[*labels.shape]} {labels.dtype} in {path}"
        raise InputError(f"`dataset.root` must hold {rule}, got {got}; {SOURCE}")
    return images, labels


def _pack(path: Path) -> tuple[Tensor, Images]:
    """Labels and images of the training part of a JPEG pack."""
    try:
        with path.open("rb") as stream, np.lib.npyio.NpzFile(stream) as file:
            arrays = {name: file[name] for name in PACK}
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        rule = f"an .npz file of {', '.join(PACK)}, or the folder {FOLDER}"
        raise InputError(f"`dataset.root` must be {rule}, got {path}: {error}; {SOURCE}") from error
    header, body, offsets, labels, count = arrays.values()
    typed = header.dtype == body.dtype == np.uint8 and all(array.dtype.kind in "iu" for array in (offsets, labels, count))
    if not typed or count.ndim or labels.ndim != 1 or offsets.shape != (len(labels) + 1,) or not 0 <= count <= len(labels):
        rule = "bytes `header` and `body`, whole `offsets` [n + 1], `labels` [n] and `n_train` up to n"
        got = ", ".join(f"{name} {[*array.shape]} {array.dtype}" for name, array in arrays.items())
        raise InputError(f"`dataset.root` must hold {rule}, got {got} in {path}")
    start, parts, ends = header.tobytes(), body.tobytes(), offsets.tolist()
    if sorted(ends) != ends or ends[0] < 0 or ends[-1] > len(parts):
        rule = f"`offsets` that ascend within the {len(parts)} bytes of `body`"
        raise InputError(f"`dataset.root` must hold {rule}, got {ends[0]} to {ends[-1]} in {path}")

    def images(chosen: Tensor) -> Tensor:
        files = ((i, start + parts[ends[i] : ends[i + 1]]) for i in chosen.tolist())
        return torch.from_numpy(np.stack([_decoded(file, f"image {i} of {path}") for i, file in files]))

    return torch.from_numpy(labels[: int(count)].astype(np.int64)), images


def _decoded(content: bytes, name: str) -> NDArray[np.uint8]:
    """Features [3072] of a JPEG file's content."""
    from PIL import Image  # comes with matplotlib; for those who read JPEGs

    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            size, mode = image.size, image.mode
            pixels = np.asarray(image)
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(f"`dataset.root` must hold whole JPEG images, got {name}: {error}") from error
    if (*reversed(size), mode) != (*SHAPE[1:], "RGB"):
        raise InputError(f"`dataset.root` must hold images of 32 x 32 RGB, got {size[0]} x {size[1]} {mode}, {name}")
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(FEATURES)
