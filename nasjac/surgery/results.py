"""What the results of growing and pruning are made of, and how a result becomes JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from nasjac.architecture.spec import Spec
from nasjac.mathematics.meanfield.growth import Rules
from nasjac.models.diagnosis import Diagnosis

T = TypeVar("T")

#: the metadata of a result's field whose own fields are fields of the result's JSON
FLAT = {"flat": True}


@dataclass(frozen=True)
class Pair(Generic[T]):
    """A figure before and after."""

    before: T
    after: T


class Worth(NamedTuple):
    """Accuracy and loss on the validation split; None where there is none."""

    accuracy: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class Source:
    """What a network was read from: a checkpoint's folder with its data, an architecture, or a user's model and its list.

    `trained_on` is what is known of the training of a checkpoint's weights.
    """

    checkpoint: str | None = None
    spec_file: str | None = None
    model: str | None = None
    list: str | None = None
    dataset: str | None = None
    dataset_digest: str | None = None
    trained_on: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Figures:
    """A figure before, after, and after a fine-tuning; None where it is not known."""

    before: float | None
    after: float | None
    fine_tuned: float | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison:
    """A network before and after it was changed.

    Args:
        source: What was changed.
        out: The folder with the changed network.
        seed: The seed of all that is drawn.
        key: The architecture's key before and after; None of a user's module, as are `kind`, `flops` and `spec`.
        kind: The kind of network.
        accuracy: The accuracy on the validation split, where there is one.
        loss: The loss there.
        parameters: The number of parameters.
        flops: The FLOPs of one forward pass of a sample.
        deviation: The largest change of an output.
        relative_deviation: That change as a share of the largest output.
        profile_before: The Jacobian norms along the blocks before; None without blocks.
        profile_after: The same afterwards.
        spec: The changed architecture.
        files: The files that were written beside the network.
    """

    source: Source = field(metadata=FLAT)
    out: str
    seed: int
    key: Pair[str | None]
    kind: str | None
    accuracy: Figures
    loss: Figures
    parameters: Pair[int]
    flops: Pair[int | None]
    deviation: float
    relative_deviation: float
    profile_before: Diagnosis | None
    profile_after: Diagnosis | None
    spec: Spec | None
    files: tuple[str, ...] = ()


def as_json(value: Any) -> Any:
    """Return a result as values that JSON has: dataclasses as objects, a Spec as its content."""
    if isinstance(value, Spec):
        return value.content
    if isinstance(value, Diagnosis):
        return as_json(value.layers)
    if isinstance(value, Rules):
        return value._asdict()
    if is_dataclass(value):
        content: dict[str, Any] = {}
        for entry in fields(value):
            part = as_json(getattr(value, entry.name))
            content.update(part if "flat" in entry.metadata else {entry.name: part})
        return content
    return [as_json(part) for part in value] if isinstance(value, (list, tuple)) else value


def shown(rows: Sequence[tuple[str, Any]]) -> str:
    """Return names and values as lines, aligned."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def change(values: Pair[Any] | Figures) -> str:
    """Return a figure before and after in one line."""
    told = f"{values.before:.6g} -> {values.after:.6g}"
    tuned = values.fine_tuned if isinstance(values, Figures) else None
    return told if tuned is None else f"{told}, fine-tuned {tuned:.6g}"
