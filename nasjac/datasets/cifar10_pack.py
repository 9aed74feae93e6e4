"""A JPEG pack of CIFAR-10: one .npz file whose images are JPEG files that begin alike."""

from __future__ import annotations

import io
import math
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasjac.datasets.cifar10_batches import FEATURES, FOLDER, SOURCE, Images
from nasjac.datasets.files import LARGEST
from nasjac.foundation.arguments import WHOLE_CODES
from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import check_file

PACK = ("header", "body", "offsets", "labels", "n_train")
RULE = f"an .npz file of {', '.join(PACK)}, or the folder {FOLDER}"
#: columns and rows of an image
SIZE = (32, 32)


def read_pack(path: Path) -> tuple[NDArray[Any], Images]:
    """Return labels [n], and a function that gives the images of some of them, of the training part of a JPEG pack."""
    if not os.path.lexists(path):
        raise InputError(f"`dataset.root` must be {RULE}, got {path}: No such file; {SOURCE}")
    arrays = _arrays(check_file(path, "dataset.root"))
    header, body, offsets, labels, count = arrays.values()
    typed = header.dtype == body.dtype == np.uint8 and all(
        array.dtype.char in WHOLE_CODES for array in (offsets, labels, count)
    )
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of images with absurdly many pixels, which are refused in one sentence
            return torch.from_numpy(np.stack([_decoded(file, f"image {i} of {path}") for i, file in files]))

    return labels[: int(count)], images


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a pack, as large as their file says and no larger than memory has room for."""
    try:
        with zipfile.ZipFile(path) as file:
            sizes = {name: file.getinfo(f"{name}.npy").file_size for name in PACK}
            if sum(sizes.values()) > LARGEST:
                raise ValueError(f"arrays of {sum(sizes.values())} bytes, where {LARGEST} are the most")
            return {name: _array(file, name, size) for name, size in sizes.items()}
    except Exception as error:  # zipfile and numpy evaluate what they find, and raise any error where that is malformed
        got = f"{path}: {str(error) or type(error).__name__}"
        raise InputError(f"`dataset.root` must be {RULE}, got {got}; {SOURCE}") from error


def _array(file: zipfile.ZipFile, name: str, size: int) -> NDArray[Any]:
    """One array, for which numpy would take as much memory as its header asks for."""
    with file.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize != size - stream.tell():
            raise ValueError(f"{name} of shape {shape} and type {dtype} in {size} bytes")
    with file.open(f"{name}.npy") as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _decoded(content: bytes, name: str) -> NDArray[np.uint8]:
    """Features [3072] of a JPEG file's content."""
    from PIL import Image  # comes with matplotlib; for those who read JPEGs

    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            size, mode = image.size, image.mode
            pixels = np.asarray(image) if (size, mode) == (SIZE, "RGB") else None
    except Exception as error:  # whatever Pillow meets in a damaged file; a bomb is refused by its size before it opens
        raise InputError(f"`dataset.root` must hold whole JPEG images, got {name}: {error}") from error
    if pixels is None:
        raise InputError(f"`dataset.root` must hold images of 32 x 32 RGB, got {size[0]} x {size[1]} {mode}, {name}")
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(FEATURES)
