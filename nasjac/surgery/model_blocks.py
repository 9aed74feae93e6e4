"""What grow and prune share of models of the user's own: their blocks, outputs, profiles, and how they are kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_model
from torch import Tensor, nn

from nasjac.foundation.errors import InputError
from nasjac.models.chain import ScaledBlocks, scaled_blocks
from nasjac.models.diagnose import diagnose
from nasjac.models.diagnosis import Diagnosis
from nasjac.models.lists import list_of, names_of, uncached
from nasjac.models.nested import floating
from nasjac.models.setup import arguments, fitted
from nasjac.models.undisturbed import undisturbed
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.branches.of_models import Called, calls

Say = Callable[[str], None]

#: probes a direction of a profile
PROBES = 64


@dataclass(frozen=True)
class Watched:
    """A model with its batch and the list of its blocks."""

    model: nn.Module
    args: Any
    kwargs: Any
    blocks: str

    @property
    def calls(self) -> list[Called]:
        """How it calls its blocks."""
        return calls(self.model, self.args, self.kwargs, names_of(self.model, self.blocks))

    @property
    def depth(self) -> int:
        """How many blocks it has."""
        return len(list_of(self.model, self.blocks))

    def chain(self) -> tuple[ScaledBlocks, list[str], Tensor]:
        """Its blocks as a network of their own, their names in it, and h_0. ValueError: they are not x + F(x)."""
        return scaled_blocks(self.model, self.args, self.kwargs, self.blocks)

    @torch.no_grad()
    def outputs(self) -> Tensor:
        """Its first floating-point output. ValueError: not finite."""
        found = next(iter(floating(self._run()).values()))
        if not found.isfinite().all():
            raise InputError("outputs must be finite, got NaN or infinity on the batch")
        return found

    def loss(self) -> Tensor:
        """The loss that it gives itself. ValueError: none."""
        found = getattr(self._run(), "loss", None)
        if not isinstance(found, Tensor):
            rule = "another one where the model gives no `loss` (a batch with labels makes it: input=my_module:make_batch)"
            raise InputError(f"`criterion` must be {rule}, got 'taylor'")
        return found

    def _run(self) -> Any:
        return self.model(*self.args, **self.kwargs)

    def profile(self, seed: int) -> Diagnosis:
        """Jacobian norms along the blocks, BatchNorm with its running statistics."""
        chain, names, start = self.chain()
        return diagnose(chain, start, layers=names, batchnorm="running", max_probes=PROBES, seed=seed)


@contextmanager
def watched(model: nn.Module, inputs: Any, blocks: str) -> Iterator[Watched]:
    """The model made ready to be measured; as it was at the end. ValueError: no such list, no chain of x + F(x)."""
    list_of(model, blocks)
    args, kwargs = fitted(model, *arguments(inputs), [])
    with undisturbed(model, "running"), uncached(model):
        found = Watched(model, args, kwargs, blocks)
        found.chain()
        yield found


def keep(model: nn.Module, out: Path, summary: Mapping[str, Any], name: str) -> None:
    """The model in the new folder `out`, whole or not at all: as its own save_pretrained has it, or model.safetensors."""
    with tempfile.TemporaryDirectory() as draft:
        if callable(save := getattr(model, "save_pretrained", None)):
            save(draft)
        else:
            save_model(model, str(Path(draft) / checkpoint.MODEL))
        files = {path.name: path.read_bytes() for path in Path(draft).iterdir() if path.is_file()}
    content = json.dumps(summary, indent=1, allow_nan=False) + "\n"
    checkpoint.place(out, {**files, name: content.encode()}, "out")


def spread(count: int, depth: int) -> list[int]:
    """After which of `depth` blocks (1: after the first) `count` new ones go, evenly."""
    return [(2 * n + 1) * depth // (2 * count) + 1 for n in range(count)]
