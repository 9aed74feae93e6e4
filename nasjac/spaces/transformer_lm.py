"""Decoders over token ids: what `nasjac.spaces.transformer` chooses, at the dataset's context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasjac.errors import arguments
from nasjac.spaces.transformer import TransformerOptions, transformer
from nasjac.spec import MOST_CONTEXT, Spec

if TYPE_CHECKING:
    from nasjac.spaces import Trial


@dataclass(frozen=True)
class TransformerLmSpace(TransformerOptions):
    """Options of the space: those of `TransformerOptions`, and `context`, tokens of a sequence, those of the dataset."""

    context: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        arguments.whole("space.context", self.context, 2, MOST_CONTEXT)

    def __call__(self, trial: Trial) -> Spec:
        """One architecture from one trial."""
        return transformer(self, trial, {"kind": "transformer_lm", "context": self.context})
