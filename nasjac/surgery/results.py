"""What the results of growing and pruning are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from nasjac.architecture.spec import Spec
from nasjac.models.diagnosis import Diagnosis
from nasjac.models.result import FLAT, Result

T = TypeVar("T")


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
class Provenance:
    """The data on which a network's figures are, and what is known of the training of its weights."""

    dataset: str | None = None
    dataset_digest: str | None = None
    trained_on: Mapping[str, str] | None = None


NOWHERE = Provenance()


@dataclass(frozen=True)
class Source:
    """What a network was read from: a checkpoint with its data, an architecture, or a user's model and its list."""

    checkpoint: str | None = None
    spec_file: str | None = None
    model: str | None = None
    list: str | None = None
    data: Provenance = field(default=NOWHERE, metadata=FLAT)


@dataclass(frozen=True)
class Figures(Pair[float | None]):
    """A figure before, after, and after a fine-tuning; None where it is not known."""

    fine_tuned: float | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Result):
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

    def as_text(self) -> str:
        """Return where the changed network is."""
        return f"Written: {self.out}"

    def entries(self) -> Iterator[tuple[str, object]]:
        """Yield every field; of a profile its layers alone."""
        for name, value in super().entries():
            yield name, value.layers if isinstance(value, Diagnosis) else value


def shown(rows: Sequence[tuple[str, Any]]) -> str:
    """Return names and values as lines, aligned."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def change(values: Pair[Any]) -> str:
    """Return a figure before and after in one line."""
    told = f"{values.before:.6g} -> {values.after:.6g}"
    tuned = values.fine_tuned if isinstance(values, Figures) else None
    return told if tuned is None else f"{told}, fine-tuned {tuned:.6g}"
