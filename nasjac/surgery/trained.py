"""A network of ours with weights and data: what a checkpoint holds, and how it grows and loses branches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasjac.architecture.spec import Spec
from nasjac.datasets import Data, check_kind
from nasjac.foundation.errors import InputError
from nasjac.foundation.places import check_folder
from nasjac.kinds.table import kind_of
from nasjac.kinds.training.modules import Modules
from nasjac.mathematics.logarithms import Array
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery import compression, growth
from nasjac.surgery.branches.ours import blocks_of, expected_energies, links_of, measurable, stream
from nasjac.surgery.insertion import Beginning, check_growable, spread
from nasjac.surgery.network import Link, Network, Stack, finite
from nasjac.surgery.results import NOWHERE, Provenance, Source, Worth
from nasjac.trainers import AdamW, Run
from nasjac.trainers.population import fit

#: samples on which outputs are compared, and training inputs from which new BatchNorms take their statistics
COMPARED = CALIBRATED = 1024
#: what spec.json says of the training whose weights a checkpoint has, and what stands there where that is not known
OF_TRAINING, UNKNOWN = ("dataset", "dataset_digest", "trainer", "trainer_id"), "unknown"


@dataclass(frozen=True, eq=False)
class Trained(Network):
    """A network of a canonical Spec with weights, and data that it takes.

    `info`     what its spec.json says beside the Spec, `inputs` and `outputs` at least
    `dataset`  the name of the data, None where it is not told
    `at`       validation inputs at which Jacobians are taken
    `folder`   the checkpoint that it was read from; None for an architecture without trained weights, which may be that of
               the file `spec_file`
    """

    spec: Spec
    module: nn.Module
    info: Mapping[str, Any]
    data: Data
    dataset: str | None = None
    at: int = 16
    folder: str | None = None
    spec_file: str | None = None

    @property
    def provenance(self) -> Provenance:
        """Name and digest of the data at hand, and the training of the weights."""
        is_own = self.info.get("dataset_digest") == self.data.digest
        name = self.dataset or (self.info.get("dataset", UNKNOWN) if is_own else UNKNOWN)
        return Provenance(name, self.data.digest, self.trained_on)

    @property
    def trained_on(self) -> Mapping[str, str]:
        """What the weights were trained on and how, where that is known."""
        before: Mapping[str, str] | None = self.info.get("trained_on")
        return before or {name: self.info.get(name, UNKNOWN) for name in OF_TRAINING}

    @property
    def doubt(self) -> str | None:
        """A sentence where the data at hand are not known to be those that it was trained on."""
        before = self.trained_on
        if before["dataset_digest"] == self.data.digest:
            return None
        here = f"what is told here is on {self.provenance.dataset} (digest {self.data.digest})"
        if before["dataset_digest"] == UNKNOWN:
            return f"it is unknown which data the checkpoint was trained on, for it keeps no digest of them; {here}"
        return f"the checkpoint was trained on other data, {before['dataset']} (digest {before['dataset_digest']}); {here}"

    @property
    def sizes(self) -> tuple[int, int]:
        """Its inputs and outputs, as `build` takes them."""
        return self.info["inputs"], self.info["outputs"]

    def points(self, count: int) -> Tensor:
        """Return the first `count` validation inputs."""
        if count < 2:
            raise InputError(f"`points` must be at least 2, got {count}")
        return self.data.valid_inputs[:count]

    def changed(self, spec: Spec, module: nn.Module) -> Trained:
        """Return another network with the same data."""
        return replace(self, spec=spec, module=module.eval())

    @property
    def source(self) -> Source:
        return Source(self.folder, self.spec_file, data=self.provenance if self.folder is not None else NOWHERE)

    @property
    def architecture(self) -> Spec:
        return self.spec

    @property
    def blocks(self) -> list[nn.Module]:
        return blocks_of(self.module)

    @cached_property
    def _twin(self) -> nn.Module:
        return measurable(self.module)

    @cached_property
    def links(self) -> list[Link]:
        return links_of(self.spec, self._twin, self.points(self.at))

    @cached_property
    def stream(self) -> list[Tensor]:
        return stream(self._twin, self.points(self.at))

    @property
    def stack(self) -> Stack:
        blocks = blocks_of(self._twin)
        return Stack(nn.Sequential(*blocks), [str(number) for number in range(len(blocks))])

    @torch.no_grad()
    def outputs(self) -> Tensor:
        return finite(self.module.eval()(self.data.valid_inputs[:COMPARED]), "data")

    def loss(self) -> Tensor:
        outputs, labels = self.module(self.data.train_inputs[:COMPARED]), self.data.train_labels[:COMPARED]
        return F.cross_entropy(outputs.flatten(0, -2), labels.flatten())

    @property
    def held(self) -> float:
        return kind_of(self.spec).surgery.held(self.spec)

    @property
    def expected_energies(self) -> Array:
        return expected_energies(self.spec)

    def bypassed(self, block: nn.Module, x: Tensor) -> Tensor:
        return kind_of(self.spec).surgery.bypassed(block, x)

    def grown(self, count: int, beginning: Beginning, after: Sequence[int] | None) -> tuple[Trained, tuple[int, ...]]:
        """Return the network with `count` new blocks, spread evenly or at the places `after`, and their numbers."""
        if after is None:
            places = spread(self.spec, count, beginning.init)
        else:
            places = [after[n * len(after) // count] if count > len(after) else after[n] for n in range(count)]
        made = growth.grow(self.spec, self.module.state_dict(), places, beginning, *self.sizes)
        made = growth.calibrated(made, self.data.train_inputs[:CALIBRATED], *self.sizes)
        return self.changed(made.spec, made.module(*self.sizes)), made.new

    def without(self, gone: Sequence[int]) -> Trained:
        made = compression.prune(self.spec, self.module.state_dict(), gone)
        return self.changed(made.spec, made.module(*self.sizes))

    def fine_tuned(self, steps: int, learning_rate: float, seed: int) -> Run | None:
        trainer = AdamW(steps=steps, learning_rates=(learning_rate,), seeds=(seed,))
        [run] = fit(lambda generator: deepcopy(self.module), self.data, trainer, kind=Modules)
        return run

    @property
    def worth(self) -> Worth:
        return worth(self.module, self.data)

    def files(self, note: Mapping[str, object], state: Mapping[str, Tensor] | None = None) -> dict[str, bytes]:
        if self.folder is None:
            content = {**self.info, "key": self.spec.key, "spec": self.spec.content}
            return {checkpoint.SPEC: (json.dumps(content, indent=2) + "\n").encode()}
        gone = (*OF_TRAINING, "train_loss")  # which is the training's, of other weights
        kept = {name: value for name, value in self.info.items() if name not in gone}
        info = {**kept, **vars(self.provenance), **self.worth._asdict(), "key": self.spec.key, **note}
        return checkpoint.files_of(self.spec, state or self.module.state_dict(), info)


def check_growth(spec: Spec, beginning: Beginning, force: bool) -> None:
    """Raise InputError where new blocks cannot come, or are not the identity although they are to begin so."""
    check_growable(spec)
    fault = kind_of(spec).surgery.identity_fault(spec)
    if fault and beginning.is_identity and not force:
        rule = f"small_gain or copy where {fault}, for no new block is the identity there"
        raise InputError(f"`init` must be {rule}, got {beginning.init!r}; force=true grows all the same")


def trained(folder: str | Path, data: Data, allow_pickle: bool, dataset: str | None = None, at: int = 16) -> Trained:
    """Return the network of a checkpoint, in canonical form, with data that it takes, which are called `dataset`.

    Raises:
        InputError: It is not a whole checkpoint, or one of other data.
    """
    spec, module, info = checkpoint.load(folder, allow_pickle)
    check_kind(data, spec)
    if (data.inputs, data.outputs) != (info["inputs"], info["outputs"]):
        got = f"{data.inputs} and {data.outputs}"
        rule = f"the checkpoint's {info['inputs']} inputs and {info['outputs']} outputs"
        raise InputError(f"`dataset` must have {rule}, got {got}")
    return Trained(spec.canonical, module.eval(), info, data, dataset, at, str(folder))


def check_out(out: str | Path, option: str = "out") -> Path:
    """Return the folder to be made, which the user calls `option`. InputError: it holds something already."""
    folder = check_folder(out, option)
    checkpoint.check_free(folder, option)
    return folder


def size(module: nn.Module) -> int:
    """Return the number of a module's parameters, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def worth(module: nn.Module, data: Data) -> Worth:
    """Return a network's accuracy and loss on the validation split."""
    accuracy, loss = Modules([module]).evaluate(data.valid_inputs, data.valid_labels)
    return Worth(float(accuracy), float(loss))
