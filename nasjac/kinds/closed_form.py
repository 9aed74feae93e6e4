"""What the mean-field theory says of a kind: the contract."""

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
        columns: Specs as the columns of `nasjac.mathematics.meanfield`.
        covered: By field the values that the closed forms cover; other fields may have any.
    """

    columns: Callable[[Sequence[S]], Columns]
    covered: Mapping[str, tuple[Any, ...]]

    def refusal(self, spec: S) -> str | None:
        """Why a Spec is not covered, as a sentence that names the field; None where it is."""
        for name, choices in self.covered.items():
            if getattr(spec.canonical, name) not in choices:
                return (
                    f"`{name}` must be one of {', '.join(map(str, choices))} for a closed form, got {getattr(spec, name)!r}"
                )
        return None
