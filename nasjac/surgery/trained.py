"""What grow and prune share: a checkpoint with its data, what a network is worth, and its profile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasjac.architecture.spec import Spec
from nasjac.datasets import Data, check_kind
from nasjac.foundation.errors import InputError
from nasjac.kinds.training.modules import Modules
from nasjac.models import profile_figure as profiles
from nasjac.models.diagnose import diagnose
from nasjac.models.diagnosis import Diagnosis
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.branches.ours import blocks_of, measurable, stream

#: samples on which outputs are compared, and probes a direction of a profile
COMPARED, PROBES = 1024, 64
#: what spec.json says of the training whose weights a checkpoint has, and what stands there where that is not known
OF_TRAINING, UNKNOWN = ("dataset", "dataset_digest", "trainer", "trainer_id"), "unknown"


@dataclass(frozen=True)
class Trained:
    """A network with weights, what is known of it, and data of its kind; `dataset` is their name, None where not told."""

    spec: Spec
    module: nn.Module
    info: Mapping[str, Any]
    data: Data
    dataset: str | None = None

    @property
    def on_data(self) -> dict[str, Any]:
        """Name and digest of the data at hand, and what the weights were trained on and how, where that is known."""
        is_own = self.info.get("dataset_digest") == self.data.digest
        name = self.dataset or (self.info.get("dataset", UNKNOWN) if is_own else UNKNOWN)
        before = self.info.get("trained_on", {name: self.info.get(name, UNKNOWN) for name in OF_TRAINING})
        return {"dataset": name, "dataset_digest": self.data.digest, "trained_on": before}

    @property
    def changed_info(self) -> dict[str, Any]:
        """What is known of it, for a checkpoint made of it: its figures are on the data at hand."""
        gone = (*OF_TRAINING, "train_loss")  # which is the training's, of other weights
        return {**{name: value for name, value in self.info.items() if name not in gone}, **self.on_data}

    @property
    def doubt(self) -> str | None:
        """A sentence where the data at hand are not known to be those that it was trained on."""
        now, before = self.on_data, self.on_data["trained_on"]
        if before["dataset_digest"] == now["dataset_digest"]:
            return None
        here = f"what is told here is on {now['dataset']} (digest {now['dataset_digest']})"
        if before["dataset_digest"] == UNKNOWN:
            return f"it is unknown which data the checkpoint was trained on, for it keeps no digest of them; {here}"
        return f"the checkpoint was trained on other data, {before['dataset']} (digest {before['dataset_digest']}); {here}"

    @property
    def sizes(self) -> tuple[int, int]:
        """Its inputs and outputs, as `build` takes them."""
        return self.info["inputs"], self.info["outputs"]

    def points(self, count: int) -> Tensor:
        """The first `count` validation inputs."""
        if count < 2:
            raise InputError(f"`points` must be at least 2, got {count}")
        return self.data.valid_inputs[:count]


def trained(folder: str | Path, data: Data, allow_pickle: bool, dataset: str | None = None) -> Trained:
    """A checkpoint of canonical form with data of its kind, called `dataset`.

    ValueError: not a whole checkpoint, other data.
    """
    spec, module, info = checkpoint.load(folder, allow_pickle)
    check_kind(data, spec)
    if (data.inputs, data.outputs) != (info["inputs"], info["outputs"]):
        got = f"{data.inputs} and {data.outputs}"
        rule = f"the checkpoint's {info['inputs']} inputs and {info['outputs']} outputs"
        raise InputError(f"`dataset` must have {rule}, got {got}")
    return Trained(spec.canonical, module.eval(), info, data, dataset)


def check_out(out: str | Path, option: str = "out") -> Path:
    """The folder to be made, which the user calls `option`. InputError: there is something already."""
    if not checkpoint.is_free(out):
        raise InputError(f"`{option}` must be a new or empty folder, for nothing is overwritten, got {out}")
    return Path(out)


def size(module: nn.Module) -> int:
    """Its parameters, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def worth(module: nn.Module, data: Data) -> dict[str, float]:
    """Accuracy and loss on the validation split."""
    accuracy, loss = Modules([module]).evaluate(data.valid_inputs, data.valid_labels)
    return {"accuracy": float(accuracy), "loss": float(loss)}


@torch.no_grad()
def outputs(module: nn.Module, data: Data) -> Tensor:
    """Of the first validation inputs. ValueError: not finite."""
    found: Tensor = module.eval()(data.valid_inputs[:COMPARED])
    if not found.isfinite().all():
        raise InputError("outputs must be finite, got NaN or infinity on the data")
    return found


def profile(module: nn.Module, points: Tensor, seed: int) -> Diagnosis | None:
    """The Jacobian norms along the blocks, from h_0 on, at the points; None without blocks."""
    network = measurable(module)
    if not blocks_of(network):
        return None
    chain = nn.Sequential(*blocks_of(network))
    names = [str(number) for number in range(len(chain))]
    start = stream(network, points)[0]
    return diagnose(chain, start, layers=names, batchnorm="running", max_probes=PROBES, seed=seed)


def layers(found: Diagnosis | None) -> list[dict[str, Any]]:
    """A profile's layers, for JSON."""
    return found.to_json()["layers"] if found else []


def beside(name: str, summary: Mapping[str, Any], lines: Mapping[str, Diagnosis | None]) -> dict[str, bytes]:
    """The files beside a checkpoint: the summary as JSON, and the profiles drawn."""
    files = {name: (json.dumps(summary, indent=1, allow_nan=False) + "\n").encode()}
    if drawn := {line: found for line, found in lines.items() if found}:
        files |= profiles.draw(drawn)
    return files


def shown(rows: Sequence[tuple[str, Any]]) -> str:
    """Names and values, aligned."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)
