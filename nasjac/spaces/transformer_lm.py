"""Decoders over token ids: what `nasjac.spaces.transformer` chooses, at the dataset's context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasjac.errors import InputError
from nasjac.spaces.transformer import TransformerOptions, transformer
from nasjac.spec import Spec

if TYPE_CHECKING:
    from nasjac.spaces import Trial


@dataclass(frozen=True)
class TransformerLmSpace(TransformerOptions):
    """Options of the space: those of `TransformerOptions`, and `context`, tokens of a sequence, those of the dataset."""

    context: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.context < 2:
            raise InputError(f"`space.context` must be at least 2, got {self.context}")

    def __call__(self, trial: Trial) -> Spec:
        """One architecture from one trial."""
        return transformer(self, trial, {"kind": "transformer_lm", "context": self.context})
