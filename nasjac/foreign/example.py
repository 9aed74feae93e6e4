"""A batch to put into a model, from a short description."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from nasjac.errors import InputError

#: how a batch may be described
FORMS = "4x3x32x32 (standard normal), ids:4x128 or ids:4x128:50257 (token ids), FILE.npy or FILE.pt"


def example(text: str, model: nn.Module, seed: int) -> Any:
    """The batch that `text` describes, one of `FORMS`; a vocabulary that is not given is that of the first embedding."""
    if Path(text).suffix in (".npy", ".pt"):
        return _stored(Path(text))
    found = re.fullmatch(r"(ids:)?(\d+(?:x\d+)*)(?::(\d+))?", text)
    if found is None or (found[3] and not found[1]):
        raise InputError(f"`input` must be {FORMS} or package.module:name, got {text!r}")
    shape = [int(number) for number in found[2].split("x")]
    generator = Generator().manual_seed(seed)
    if not found[1]:
        return torch.randn(shape, generator=generator)
    return torch.randint(int(found[3] or _vocabulary(model)), shape, generator=generator)


def _vocabulary(model: nn.Module) -> int:
    sizes = [module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding)]
    if not sizes:
        raise InputError("`input` must say how many ids there are (ids:4x128:50257), for the model has no nn.Embedding")
    return sizes[0]


def _stored(path: Path) -> Tensor:
    if not path.exists():
        raise InputError(f"`input` must be a file that exists, got {str(path)!r}")
    if path.suffix == ".npy":
        array = np.load(path, allow_pickle=False)
        whole = torch.from_numpy(array)
        return whole.float() if whole.dtype == torch.float64 else whole
    loaded: Tensor = torch.load(path, weights_only=True)
    return loaded
