"""The inputs of a network: features, images of a shape, or token ids."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nasjac.foundation.errors import InputError


@dataclass(frozen=True)
class Inputs:
    """The form of one sample.

    Args:
        tokens: The number of token ids in a sequence; None for real features.
        shape: Channels, rows and columns of an image; None for any number of features without neighbours.
    """

    tokens: int | None = None
    shape: tuple[int, ...] | None = None

    @property
    def takes_ids(self) -> bool:
        """Whether a sample holds token ids."""
        return self.tokens is not None

    @property
    def features(self) -> int | None:
        """The number of features of an image, None where a sample may have any number."""
        return None if self.shape is None else math.prod(self.shape)

    def check_batch(self, kind: str, is_ids: bool, columns: int, got: str) -> None:
        """Refuse a batch [n, `columns`] that a network of this `kind` does not take.

        Args:
            kind: The stored name of the kind, for the error.
            is_ids: Whether the batch holds whole numbers.
            columns: Features, or tokens, of a sample.
            got: The type of the batch, for the error.

        Raises:
            InputError: The batch is refused; the error names the rule and the batch.
        """
        if self.takes_ids != is_ids:
            wanted = "token ids (whole numbers) [n, T]" if self.takes_ids else "real features [n, features]"
            raise InputError(f"`inputs` must be {wanted} for a {kind}, got {got}")
        if self.tokens is not None and self.tokens != columns:
            raise InputError(f"`context` must be that of the inputs, {columns} tokens, got {self.tokens}")
        if self.features is not None and self.features != columns:
            rule = f"the numbers of an image of `shape` {self.shape}, {self.features}, [n, features]"
            raise InputError(f"`inputs` must be {rule}, got {columns} features")
