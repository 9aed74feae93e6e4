"""The search space of decoders over token ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from nasjac.architecture.space import Trial
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.kinds.transformer.space import TransformerOptions, transformer
from nasjac.kinds.transformer.spec import MOST_CONTEXT, Decoder


@dataclass(frozen=True)
class TransformerLmSpace(TransformerOptions):
    """Options of the space: those of `TransformerOptions`, and `context`, tokens of a sequence, those of the dataset."""

    context: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        arguments.whole("space.context", self.context, 2, MOST_CONTEXT)

    @classmethod
    def like(cls, spec: Spec) -> Self:
        """Return the space with its default options, for sequences as long as an architecture takes."""
        return cls(context=spec.tokens)

    def __call__(self, trial: Trial) -> Decoder:
        """Return the architecture of a trial's choices."""
        return transformer(self, trial, Decoder, {"context": self.context})
