"""fashion_mnist: 60,000 images of clothes, 28 x 28 pixels, from IDX files in a folder."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from nasjac.datasets.data import Data, standardized
from nasjac.datasets.files import read_bytes
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
CLASSES = 10
VALIDATION = 10_000
#: of an array of images, at most
DIMENSIONS = 3


@dataclass(frozen=True)
class FashionMnist:
    """Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017). 784 features, 10 classes.

    Validation is the last 10,000 images of the training files; the t10k files, the test set, stay untouched.

    `root`  folder with the two IDX files, plain or .gz; by default where Debian's package puts them
    """

    name: ClassVar[str] = "fashion_mnist"
    root: str = "/usr/share/datasets/fashion-mnist"

    def __post_init__(self) -> None:
        arguments.instance("dataset.root", self.root, (str, os.PathLike), "a path")

    def load(self) -> Data:
        """Return 50,000 training and 10,000 validation samples. InputError names missing or malformed files."""
        image_file, label_file = _find(Path(self.root))
        images, labels = read_idx(image_file), read_idx(label_file)
        if images.ndim != 3 or labels.shape != images.shape[:1] or len(images) <= VALIDATION or not images.numel():
            rule = f"images [n, rows, columns] that are not empty and labels [n], n over {VALIDATION}"
            raise InputError(f"`dataset.root` must hold {rule}, got {[*images.shape]} and {[*labels.shape]} in {self.root}")
        if labels.max() >= CLASSES:
            raise InputError(f"`dataset.root` must hold labels below {CLASSES}, got {int(labels.max())} in {label_file}")
        valid = torch.arange(len(images)) >= len(images) - VALIDATION
        return standardized(images.flatten(1), labels, valid, CLASSES, shape=(1, *images.shape[1:]))


def read_idx(path: Path) -> Tensor:
    """Return the array in an IDX file of bytes: 0, 0, type 8, dimensions, sizes as big-endian uint32, data.

    The format is that of http://yann.lecun.com/exdb/mnist. InputError for any other content.
    """
    content = read_bytes(path, "dataset.root", is_packed=path.suffix == ".gz")
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        rule = "IDX files of bytes (starting 00 00 08)"
        raise InputError(f"`dataset.root` must hold {rule}, got {content[:3].hex(' ')} in {path}")
    if not 1 <= content[3] <= DIMENSIONS:
        raise InputError(f"`dataset.root` must hold files of 1 to {DIMENSIONS} dimensions, got {content[3]} in {path}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise InputError(
            f"`dataset.root` must hold files with a whole header ({start} bytes), got {len(content)} in {path}"
        )
    shape = np.frombuffer(content[4:start], dtype=">u4").tolist()
    if len(content) - start != math.prod(shape):
        raise InputError(
            f"`dataset.root` must hold whole files, got {len(content) - start} bytes for shape {shape} in {path}"
        )
    return torch.frombuffer(content, dtype=torch.uint8)[start:].reshape(shape)


def _find(root: Path) -> list[Path]:
    found = {
        name: [path for path in (root / name, root / f"{name}.gz") if os.path.lexists(path)] for name in (IMAGES, LABELS)
    }
    missing = [name for name, paths in found.items() if not paths]
    if missing:
        lacking = " and ".join(missing)
        raise InputError(
            f"`dataset.root` must hold {IMAGES} and {LABELS}, plain or .gz, got {root} without {lacking}; "
            "install Debian's package dataset-fashion-mnist, or take the four IDX files from the authors "
            "(github.com/zalandoresearch/fashion-mnist)"
        )
    return [paths[0] for paths in found.values()]
