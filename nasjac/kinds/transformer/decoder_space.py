"""The search space of decoders over token ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasjac.foundation import arguments
from nasjac.kinds.transformer.space import TransformerOptions, transformer
from nasjac.kinds.transformer.spec import MOST_CONTEXT, Decoder

if TYPE_CHECKING:
    from nasjac.architecture.space import Trial


@dataclass(frozen=True)
class TransformerLmSpace(TransformerOptions):
    """Options of the space: those of `TransformerOptions`, and `context`, tokens of a sequence, those of the dataset."""

    context: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        arguments.whole("space.context", self.context, 2, MOST_CONTEXT)

    def __call__(self, trial: Trial) -> Decoder:
        """Return the architecture of a trial's choices."""
        return transformer(self, trial, Decoder, {"context": self.context})
