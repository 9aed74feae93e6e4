"""What a search space is: it maps a trial's choices to a Spec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

from nasjac.architecture.inputs import Inputs
from nasjac.architecture.size import Target
from nasjac.architecture.spec import Spec


class Trial(Protocol):
    """The part of optuna.Trial that a space uses."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


#: a Space, or a plain function that stands for one with all defaults
SpaceLike = Callable[[Any], Spec]


class Space(ABC):
    """A search space: a frozen dataclass of options that turns a trial's choices into a Spec.

    A plain function of a trial is a space too (`as_space`); what a subclass may override here is then at its default.
    """

    #: by name the choices of a plain architecture of the space, for one that is described instead of searched
    typical: ClassVar[Mapping[str, Any]] = {}
    #: options that came after the first version: at their defaults they are no part of a study's identity
    later: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __call__(self, trial: Trial) -> Spec:
        """Return the architecture of a trial's choices.

        Args:
            trial: Gives a value for each choice that it is asked for by name.

        Returns:
            A Spec that depends on these choices and the space's options alone.
        """

    @classmethod
    def like(cls, spec: Spec) -> Self:
        """Return the space with its default options, for inputs such as an architecture takes.

        Args:
            spec: An architecture of the space's kind.

        Returns:
            A space whose architectures take the same inputs.
        """
        return cls().for_data(spec.inputs)

    def for_data(self, inputs: Inputs) -> Self:
        """Return the same space for the samples of a dataset; here itself.

        Args:
            inputs: What one sample is.

        Returns:
            A space whose architectures take such samples.

        Raises:
            InputError: The space's options or its kind do not go with such samples.
        """
        return self

    def at_size(self, target: Target) -> Space:
        """Return the same space among architectures of a size; here itself, whose proposals are sieved by size.

        Args:
            target: The size to have.

        Returns:
            A space whose architectures have this size where its other choices allow it.
        """
        return self

    def stored(self, options: Mapping[str, object]) -> Mapping[str, object]:
        """Return what a study's identity holds of the space's options.

        Args:
            options: The options by name, ready for JSON.

        Returns:
            Those without the options of `later` that have their defaults, so that older studies can be resumed.
        """
        same = {name for name in self.later if getattr(self, name) == getattr(type(self), name)}
        return {name: value for name, value in options.items() if name not in same}

    def references(self, budget: int) -> tuple[Spec, ...]:
        """Return textbook designs of the space's kind, to which what a search finds is compared; here none.

        Args:
            budget: FLOPs of one forward pass of one sample that they may take.

        Returns:
            Concrete architectures for the same inputs as those of the space.
        """
        return ()


class FunctionSpace(Space):
    """A function of a trial as a space."""

    def __init__(self, function: SpaceLike) -> None:
        self._function = function

    def __call__(self, trial: Trial) -> Spec:
        """Return what the function makes of the trial."""
        return self._function(trial)


def as_space(made: SpaceLike) -> Space:
    """Return a space as it is, and a function as the space that it stands for."""
    return made if isinstance(made, Space) else FunctionSpace(made)
