"""What a search space is: it maps a trial's choices to a Spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from nasjac.architecture.spec import Spec


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
