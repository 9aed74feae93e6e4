"""Tables of architectures of our own: a column of Specs as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nasjac.facts import facts
from nasjac.spec import KINDS, Spec, check_choice


@dataclass(frozen=True)
class SpecTable:
    """A CSV file with a column `spec`, the JSON of a Spec (`Spec.to_json`) of this `kind`, and `accuracy` (or
    `target=COLUMN`). Further columns are reported as unknown, but for `key`.
    """

    column: ClassVar[str] = "spec"
    targets: ClassVar[tuple[str, ...]] = ("accuracy",)
    others: ClassVar[tuple[str, ...]] = ("key",)

    kind: str = "residual_mlp"

    def __post_init__(self) -> None:
        check_choice("space.kind", self.kind, KINDS)

    @property
    def name(self) -> str:
        return self.kind

    def parse(self, text: str) -> Spec:
        try:
            spec = Spec.from_json(text)
        except (TypeError, ValueError) as error:  # of JSON, or of fields
            raise ValueError(f"`spec` must be the JSON of a Spec, got {text!r}: {error}") from error
        check_choice("kind", spec.kind, (self.kind,))
        return spec

    def facts(self, architecture: Spec) -> dict[str, float]:
        [found] = facts([architecture])
        names = ("params", "flops", "depth", "skip_count")
        return {"width": architecture.width, **{name: getattr(found, name) for name in names}}
