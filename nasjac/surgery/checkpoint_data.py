"""A checkpoint's folder, and the data that it is of where no others are named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasjac.architecture.fields import check_choice
from nasjac.datasets import DATASETS, Data, Text
from nasjac.foundation.errors import InputError
from nasjac.store.checkpoints import checkpoint

#: the dataset of a kind of network whose checkpoint does not say
DATASET_OF = {"transformer_lm": "text"}


def folder_of(checkpoint_path: str, name: str = "checkpoint") -> Path:
    """The checkpoint's folder, as the option `name` says it. ValueError: a file."""
    path = Path(checkpoint_path)
    if path.is_file():
        rule = f"the folder that holds {checkpoint.MODEL} and {checkpoint.SPEC} (of a pickle with allow_pickle=true)"
        raise InputError(f"`{name}` must be {rule}, got the file {path}")
    return path


def own_name(info: Mapping[str, Any]) -> str:
    """The name of a checkpoint's dataset, or of the one for networks of its kind where it does not say."""
    spec = info.get("spec")
    kind = spec.get("kind") if isinstance(spec, Mapping) else None
    return str(info.get("dataset") or DATASET_OF.get(str(kind), "digits"))


def own_data(info: Mapping[str, Any]) -> Data:
    """The dataset of a checkpoint, or one of its kind, with its default options and its context.

    ValueError: the checkpoint says that it is of other data than these.
    """
    spec, name = info.get("spec"), own_name(info)
    check_choice("dataset", name, DATASETS)
    of_context = name == "text" and isinstance(spec, Mapping) and "context" in spec
    data = Text(context=spec["context"]).load() if of_context else DATASETS[name]().load()  # type: ignore[index]
    if info.get("dataset_digest", data.digest) != data.digest:
        rule = f"be given with its options, for the checkpoint is of other data than {name} with its defaults"
        raise InputError(f"`dataset` must {rule} (digest {info['dataset_digest']}), got none (digest {data.digest})")
    return data
