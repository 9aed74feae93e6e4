"""Tables of architectures of nasjac's kinds: a column of Specs as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from nasjac.architecture.fields import check_choice
from nasjac.architecture.spec import KINDS, Spec, spec_class
from nasjac.datasets import Data, check_kind
from nasjac.foundation.errors import InputError
from nasjac.kinds.facts import facts
from nasjac.tables.cells import quoted
from nasjac.tables.space import Elsewhere, Material, TableSpace


@dataclass(frozen=True)
class SpecTable(TableSpace):
    """The architectures of this `kind` in a CSV file with a column `spec`, the JSON of a Spec (`Spec.to_json`), and one of
    accuracy, loss, train_loss (or `target=COLUMN`). Those of other kinds are passed over.
    """

    column: ClassVar[str] = "spec"
    targets: ClassVar[tuple[str, ...]] = ("accuracy", "loss", "train_loss")
    others: ClassVar[tuple[str, ...]] = (
        *("kind", "key", "dataset", "status", "half", "accuracy_0", "accuracy_1", "loss_0", "loss_1", "learning_rate"),
        *("diverged_runs", "depth", "width", "params", "flops", "skip_count"),
    )
    offers: ClassVar[Material] = Material.FACTS | Material.SPECS

    kind: str = "residual_mlp"

    def __post_init__(self) -> None:
        check_choice("space.kind", self.kind, KINDS)

    @property
    def name(self) -> str:
        """The kind."""
        return self.kind

    def parse(self, text: str) -> Spec:
        """The Spec of its JSON. InputError: malformed; Elsewhere: of another kind."""
        try:
            spec = Spec.from_json(text)
        except InputError as error:
            raise InputError(f"`spec` must be the JSON of a Spec, got {quoted(text)}: {error}") from error
        if type(spec) is not spec_class(self.kind):
            raise Elsewhere(f"`spec` must be of kind {self.kind}, got {spec.kind}")
        return spec

    def facts(self, architecture: Spec) -> dict[str, float]:
        """Those of its blocks."""
        [known] = facts([architecture])
        names = ("params", "flops", "depth", "skip_count")
        return {"width": architecture.width, **{name: getattr(known, name) for name in names}}

    def bind(self, architectures: Sequence[Spec]) -> BoundSpecTable:
        """The same with the architectures of a table, which are what `random` draws from."""
        return BoundSpecTable(self.kind, tuple(sorted(architectures, key=lambda spec: (spec.key, spec.to_json()))))

    def random(self, count: int, seed: int) -> list[Spec]:
        """`count` different architectures of the table, all if it has no more. InputError: not bound to one."""
        raise InputError(f"`space` must be bound to a table to draw from it, got {self.kind} of no table")

    def inputs(self, data: Data) -> Tensor:
        """Features [n, features] or ids [n, T]. InputError: not bound to a table, or one of its Specs takes others."""
        raise InputError(f"`space` must be bound to a table whose Specs take inputs, got {self.kind} of no table")


@dataclass(frozen=True)
class BoundSpecTable(SpecTable):
    """With the architectures of one table, ordered by key."""

    known: tuple[Spec, ...] = ()

    def random(self, count: int, seed: int) -> list[Spec]:
        """Different architectures of the table."""
        order = np.random.default_rng(seed).permutation(len(self.known))
        return [self.known[place] for place in order[:count]]

    def inputs(self, data: Data) -> Tensor:
        """The training inputs as they are."""
        for spec in self.known:
            check_kind(data, spec)
        return data.train_inputs
