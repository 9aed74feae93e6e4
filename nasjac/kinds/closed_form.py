"""The contract of a kind's closed forms: how the mean-field theory reads its Specs, and which it covers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nasjac.architecture.spec import Spec
from nasjac.mathematics.meanfield import Columns

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class ClosedForm(Generic[S]):
    """Closed forms of a kind whose blocks are chains.

    Args:
        columns: Turns Specs into the columns of `nasjac.mathematics.meanfield`.
        covered: The values that the closed forms cover, by field; fields that are not named may have any value.
    """

    columns: Callable[[Sequence[S]], Columns]
    covered: Mapping[str, tuple[Any, ...]]

    def refusal(self, spec: S) -> str | None:
        """Return why a Spec is not covered, as a sentence that names the field, or None where it is covered."""
        for name, choices in self.covered.items():
            if getattr(spec.canonical, name) not in choices:
                return (
                    f"`{name}` must be one of {', '.join(map(str, choices))} for a closed form, got {getattr(spec, name)!r}"
                )
        return None
