"""An architecture of a space by its choices, without a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from nasjac.architecture.fields import check_choice
from nasjac.architecture.space import SpaceLike, as_space
from nasjac.architecture.spec import MOST_BLOCKS, MOST_SIZE, Spec
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.scores.closed_forms import COVERED


class Given:
    """A trial whose choices are known beforehand: those of the user, or else those that are typical of the space."""

    def __init__(self, choices: Mapping[str, Any], typical: Mapping[str, Any]) -> None:
        self._choices, self._typical = choices, typical
        self.asked: list[str] = []

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number; the range is the search's and does not bind."""
        return _whole(name, self._value(name, low))

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        """A number; the range is the search's and does not bind."""
        value = self._value(name, low)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise InputError(f"`{name}` must be a number, got {value!r}")
        return float(value)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices, or of what a closed form covers beyond what is searched; of whole numbers, any."""
        value = self._value(name, choices[0])
        if all(isinstance(choice, int) and not isinstance(choice, bool) for choice in choices):
            return _whole(name, value)
        check_choice(name, value, dict.fromkeys((*choices, *COVERED.get(name, ()))))
        return value

    def _value(self, name: str, otherwise: Any) -> Any:
        self.asked.append(name)
        return self._choices.get(name, self._typical.get(name, otherwise))


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"`{name}` must be a whole number of at least 0, got {value!r}")
    arguments.whole(name, value, 0, MOST_BLOCKS if name.startswith("depth") else MOST_SIZE)
    return value


def spec_of(space: SpaceLike, choices: Mapping[str, Any]) -> Spec:
    """Return the architecture of a space with these choices, the others being typical of the space.

    Args:
        space: The space.
        choices: Values by the names of the space's choices; they may lie beyond what a search would try.

    Raises:
        InputError: A choice that the space does not know, or a bad value.
    """
    of = as_space(space)
    trial = Given(choices, of.typical)
    spec = of(trial)
    for name in choices:
        if name not in trial.asked:
            near = "".join(f", did you mean {other}?" for other in get_close_matches(name, trial.asked, n=1))
            asked = ", ".join(dict.fromkeys(trial.asked))
            raise InputError(f"`{name}` must be an option or one of the space's choices, {asked}, got neither{near}")
    return spec
