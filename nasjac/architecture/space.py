"""What a search space is: it maps a trial's choices to a Spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from nasjac.architecture.spec import Spec


class Trial(Protocol):
    """The part of optuna.Trial that a space uses."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class Space(Protocol):
    """A frozen dataclass of options, or a plain function, that turns a trial's choices into a Spec."""

    def __call__(self, trial: Trial) -> Spec:
        """Return the architecture of a trial's choices.

        Args:
            trial: Gives a value for each choice that it is asked for by name.

        Returns:
            A Spec that depends on these choices and the space's options alone.
        """


@runtime_checkable
class ImageSpace(Space, Protocol):
    """A space of networks for images."""

    def for_images(self, shape: tuple[int, ...]) -> Space:
        """Return the same space for a dataset's images.

        Args:
            shape: Channels, rows and columns.

        Raises:
            InputError: The space says another shape, or these images are too small for it.
        """


@runtime_checkable
class ExtendedSpace(Space, Protocol):
    """A dataclass of options some of which came `later`: at their defaults they are no part of a study's identity."""

    later: ClassVar[tuple[str, ...]]
