"""From what a user has, a checkpoint, an architecture or a model, to a network that grows or loses branches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import Spec
from nasjac.datasets import DATASETS, Data, Dataset, Text, check_kind
from nasjac.foundation.errors import InputError
from nasjac.foundation.reading import check_file, parse_json
from nasjac.kinds.build import build
from nasjac.kinds.table import kind_of
from nasjac.models.foreign_calls import Factory, built
from nasjac.models.undisturbed import batch_norms
from nasjac.store.checkpoints import checkpoint
from nasjac.store.checkpoints.info import spec_of
from nasjac.surgery.growth import settle
from nasjac.surgery.own_model import OwnModel
from nasjac.surgery.trained import COMPARED, Trained, trained

#: what `nasjac.grow` takes data as: a dataset's name, its options, or the data themselves
AnyData = str | Dataset | Data
Say = Callable[[str], None]


def of_checkpoint(folder: str | Path, dataset: AnyData | None, points: int, allow_pickle: bool, say: Say) -> Trained:
    """Return the network of a checkpoint, with its own data unless others are given; say where they are in doubt."""
    name, data = data_of(checkpoint.read_info(folder_of(folder)), dataset)
    network = trained(folder, data, allow_pickle, name, points)
    if network.doubt:
        say(network.doubt)
    return network


def of_spec(spec: Spec, name: str | None, dataset: AnyData | None, points: int, seed: int) -> Trained:
    """Return the network of an architecture at one initialization, drawn by `seed`; `name` says where it was read."""
    _, data = data_of({"spec": spec.content}, dataset)
    check_kind(data, spec)
    network = build(spec, data.inputs, data.outputs, Generator().manual_seed(seed)).eval()
    if norms := batch_norms(network):
        settle(network, norms, [data.train_inputs[:COMPARED]])
    sizes = {"inputs": data.inputs, "outputs": data.outputs}
    return Trained(spec.canonical, network, sizes, data, at=points, spec_file=name or spec.key)


def listed(path: object, batch: object) -> str:
    """Return the name of a model's list of blocks. InputError: it is none, or there is no batch for the model."""
    if not isinstance(path, str) or path == "max":
        rule = "name the model's list of blocks, such as transformer.h"
        raise InputError(f"`blocks` must {rule}, got {path!r} (insert= says how many new ones)")
    if batch is None:
        raise InputError("`input` must be a batch for the model (input=ids:4x128, input=4x3x32x32), got None")
    return path


def of_model(
    make: Factory | nn.Module, name: str | None, batch: Any, path: str, seed: int, device: torch.device
) -> OwnModel:
    """Return a user's model on the device, whose list of blocks `path` names.

    `batch` is a description (`nasjac.models.example.FORMS`), a batch, or makes one.
    """
    factory = (lambda: make) if isinstance(make, nn.Module) else make
    told = name or (type(make).__name__ if isinstance(make, nn.Module) else "the model")
    inputs = batch if isinstance(batch, str) or (callable(batch) and not isinstance(batch, Tensor)) else lambda: batch
    module, arguments = built(told, factory, inputs, seed, device)
    model = OwnModel(told, module, arguments, path)
    with model.ready():
        assert model.stack  # or its blocks do not follow one another, which is told before anything is measured
    return model


def left_out(rule: str, **options: object) -> None:
    """Raise InputError where an option is given that a source does not take; `rule` says so."""
    if given := [name for name, value in options.items() if value is not None]:
        names = " and ".join(f"`{name}`" for name in options)
        raise InputError(f"{names} {rule}, got {given[0]}={options[given[0]]!r}")


def folder_of(checkpoint_path: str | Path, option: str = "checkpoint") -> Path:
    """Return a checkpoint's folder, as `option` says it. InputError: it is a file."""
    path = Path(checkpoint_path)
    if path.is_file():
        rule = f"the folder that holds {checkpoint.MODEL} and {checkpoint.SPEC} (of a pickle with allow_pickle=true)"
        raise InputError(f"`{option}` must be {rule}, got the file {path}")
    return path


def data_of(info: Mapping[str, Any], dataset: AnyData | None = None) -> tuple[str | None, Data]:
    """Return name and data of a dataset, or of that of a checkpoint, whose spec.json says `info`.

    Raises:
        InputError: The checkpoint says that it is of other data than those of its dataset's default options.
    """
    if isinstance(dataset, Data):
        return None, dataset
    if dataset is None:
        return own_name(info), own_data(info)
    if isinstance(dataset, str):
        check_choice("dataset", dataset, DATASETS)
        dataset = DATASETS[dataset]()
    return dataset.name, dataset.load()


def own_name(info: Mapping[str, Any]) -> str:
    """Return the name of a checkpoint's dataset, or of the one for networks of its kind where it does not say."""
    name = info.get("dataset") or (kind_of(spec_of(dict(info))).surgery.dataset if "spec" in info else "digits")
    check_choice("dataset", name, DATASETS)
    return str(name)


def own_data(info: Mapping[str, Any]) -> Data:
    """Return the dataset of a checkpoint, or one of its kind, with its default options and its context.

    Raises:
        InputError: The checkpoint says that it is of other data than these.
    """
    spec, name = info.get("spec"), own_name(info)
    of_context = name == Text().name and isinstance(spec, Mapping) and "context" in spec
    data = Text(context=spec["context"]).load() if of_context else DATASETS[name]().load()  # type: ignore[index]
    if info.get("dataset_digest", data.digest) != data.digest:
        rule = f"be given with its options, for the checkpoint is of other data than {name} with its defaults"
        raise InputError(f"`dataset` must {rule} (digest {info['dataset_digest']}), got none (digest {data.digest})")
    return data


def spec_from(path: Path) -> Spec:
    """Return the Spec in a file: its own JSON, or that of a checkpoint. InputError: it holds neither."""
    content = parse_json(check_file(path, "spec").read_bytes(), "spec")
    return Spec.from_json(json.dumps(content["spec"] if isinstance(content, dict) and "spec" in content else content))
