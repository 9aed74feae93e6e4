"""A batch for a model, made from a short description."""

from __future__ import annotations

import math
import pickle
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from nasjac.foundation.arguments import LARGEST, shown, whole
from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import check_file

#: how a batch may be described
FORMS = "4x3x32x32 (standard normal), ids:4x128 or ids:4x128:50257 (token ids), FILE.npy or FILE.pt"


def example(text: str, model: nn.Module, seed: int, memory: int) -> Any:
    """Return the batch that `text` describes, in one of `FORMS`.

    Without a size in `text` the vocabulary is that of the model's first embedding. The batch may take `memory` bytes at
    most.

    Raises:
        InputError: The text is of no such form, its file cannot be read, or the batch is too large.
    """
    if Path(text).suffix in (".npy", ".pt"):
        return _stored(Path(text))
    found = re.fullmatch(r"(ids:)?(\d+(?:x\d+)*)(?::(\d+))?", text)
    if found is None or (found[3] and not found[1]):
        raise InputError(f"`input` must be {FORMS} or package.module:name, got {text!r}")
    try:
        shape = [whole("input", int(number), 1, LARGEST) for number in found[2].split("x")]
        largest = whole("input", int(found[3] or 1), 1)
    except ValueError as error:  # more digits than Python converts are an error of its own
        raise InputError(f"`input` must be of sizes from 1 to {LARGEST}, got {shown(text)}") from error
    _check_memory(shape, text, memory)
    generator = Generator().manual_seed(seed)
    if not found[1]:
        return torch.randn(shape, generator=generator)
    return torch.randint(largest if found[3] else _vocabulary(model), shape, generator=generator)


def _check_memory(shape: Sequence[int], text: str, memory: int) -> None:
    needed = 8 * math.prod(shape)  # of ids; half as much of normal numbers, and then the model has yet to run
    if needed > memory:
        got = f"{text!r}, {needed / 2**30:.3g} GiB of {memory / 2**30:.3g} GiB"
        raise InputError(f"`input` must be a batch that there is memory for, got {got}")


def _vocabulary(model: nn.Module) -> int:
    sizes = [module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding)]
    if not sizes:
        raise InputError("`input` must say how many ids there are (ids:4x128:50257), for the model has no nn.Embedding")
    return sizes[0]


def _stored(path: Path) -> Any:
    path = check_file(path, "input")
    if path.suffix == ".npy":
        return _array(path)
    try:  # what is no archive of tensors, one that is cut, and pickles of anything else, which are not run
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of unusual pickles; what matters of a stranger's is raised
            return torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, ValueError, EOFError, KeyError, AttributeError, pickle.UnpicklingError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"`input` must be a file of tensors that torch.save wrote, got {str(path)!r}: {said}") from error


def _array(path: Path) -> Tensor:
    try:
        found = np.load(path, allow_pickle=False, mmap_mode="r")  # a header may promise more than memory holds
        whole_array = torch.from_numpy(np.array(found))
    except (ValueError, TypeError, EOFError, MemoryError, OverflowError, SyntaxError) as error:
        rule = "a file of one array of numbers that numpy.save wrote"
        raise InputError(f"`input` must be {rule}, got {str(path)!r}: {' '.join(str(error).split())[:200]}") from error
    return whole_array.float() if whole_array.dtype == torch.float64 else whole_array
