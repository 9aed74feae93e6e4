"""Search spaces: one option a file. A space maps a trial's choices to a Spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from nasjac.spaces.densenet import DenseNetSpace
from nasjac.spaces.nasbench201 import NasBench201
from nasjac.spaces.nasbench_macro import NasBenchMacro
from nasjac.spaces.residual_mlp import ResidualMlpSpace
from nasjac.spaces.resnet import ResNetSpace
from nasjac.spaces.spec_table import SpecTable
from nasjac.spaces.tabular import TableSpace
from nasjac.spaces.transformer_lm import TransformerLmSpace
from nasjac.spaces.vit import VitSpace
from nasjac.spec import KINDS, Spec


class Trial(Protocol):
    """The part of optuna.Trial that a space uses."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class Space(Protocol):
    """A frozen dataclass of options, or a plain function, that turns a trial's choices into a Spec.

    A space of images has a method `for_images(shape)` too: the same space for a dataset's images.
    """

    def __call__(self, trial: Trial) -> Spec: ...


SPACES: dict[str, type[Space]] = {
    "residual_mlp": ResidualMlpSpace,
    "transformer_lm": TransformerLmSpace,
    "vit": VitSpace,
    "resnet": ResNetSpace,
    "densenet": DenseNetSpace,
}

#: spaces of `nasjac correlate`: what a table of trained architectures holds
TABLE_SPACES: dict[str, type[TableSpace] | TableSpace] = {
    "nasbench201": NasBench201,
    "nasbench_macro": NasBenchMacro,
    **{kind: SpecTable(kind) for kind in KINDS},
}
