"""cifar10: 60,000 colour images of 32 x 32 pixels, from the authors' python files or from one file of JPEGs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from nasjac.datasets.cifar10_batches import FOLDER, read_batches
from nasjac.datasets.cifar10_pack import read_pack
from nasjac.datasets.data import Data, standardized
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError

SHAPE, CLASSES = (3, 32, 32), 10


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

    name: ClassVar[str] = "cifar10"
    root: str = FOLDER
    limit: int | None = 10_000

    def __post_init__(self) -> None:
        arguments.instance("dataset.root", self.root, (str, os.PathLike), "a path")
        if self.limit is not None:
            arguments.whole("dataset.limit", self.limit, CLASSES)
            if self.limit % CLASSES:
                raise InputError(f"`dataset.limit` must be a multiple of {CLASSES} above 0, or null, got {self.limit}")

    def load(self) -> Data:
        """Return `limit` training and 10,000 validation samples. InputError names missing or malformed files."""
        root = Path(self.root)
        read, images = read_pack(root) if root.suffix == ".npz" else read_batches(root)
        if len(read) < 5 or read.min() < 0 or read.max() >= CLASSES:
            found = f"{len(read)} of them" + (f", {int(read.min())} to {int(read.max())}," if len(read) else "")
            raise InputError(f"`dataset.root` must hold 5 labels or more below {CLASSES}, got {found} in {root}")
        labels = torch.from_numpy(read.astype(np.int64))
        trained = len(labels) - len(labels) // 5
        kept = torch.ones(len(labels), dtype=torch.bool)
        if self.limit is not None:
            of_class = torch.nn.functional.one_hot(labels[:trained], CLASSES)
            kept[:trained] = (of_class.cumsum(0) * of_class).sum(1) <= self.limit // CLASSES
        chosen = kept.nonzero().squeeze(1)
        return standardized(images(chosen), labels[chosen], chosen >= trained, CLASSES, SHAPE)
