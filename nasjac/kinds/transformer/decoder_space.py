"""The search space of decoders over token ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from nasjac.architecture.size import Target
from nasjac.architecture.space import Trial
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.kinds.options.width import Proposal
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

    def proposal(self, trial: Trial, target: Target | None) -> Proposal:
        """Return a trial's choices, the width among them unless there is a target."""
        return transformer(self, trial, target, Decoder, {"context": self.context})
