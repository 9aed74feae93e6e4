"""The plan of which vectors are sampled, and the Jacobian samples of one architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Plan(NamedTuple):
    """The vectors that are carried through the network at each draw of the weights.

    `inputs`       I, samples of the data
    `tangents`     P, random vectors of an input carried forward through every layer
    `cotangents`   Q, random vectors carried back through every layer: for each input its own, or one for all if `common`
    `round_trips`  whether the tangents at the output are carried back too
    """

    inputs: int
    tangents: int
    cotangents: int
    round_trips: bool = False
    common: bool = False

    @property
    def goes_back(self) -> bool:
        """Whether any vector is carried back."""
        return self.cotangents > 0 or self.round_trips


#: the norm both ways, its spread and the effective rank
INDEPENDENT = Plan(inputs=2, tangents=4, cotangents=2, round_trips=True)
#: the norm from h_0 to each layer and its spread; nothing is kept for a way back
FORWARD = Plan(inputs=2, tangents=4, cotangents=0)
#: how Jacobians differ between inputs: one cotangent, common to many inputs
BATCHED = Plan(inputs=32, tangents=0, cotangents=1, common=True)


@dataclass(frozen=True)
class Samples:
    """Jacobian samples of one architecture of L blocks; energies per unit, natural logarithms, −inf for a zero Jacobian.

    `stream`         [D, I, L+1]     log ‖h_l‖² / N
    `forward`        [D, I, P, L+1]  log ‖J_{0→l} u‖² / N, u uniform on the sphere of radius √N
    `backward`       [D, I, Q, L+1]  log ‖J_{l→L}ᵀ v‖² / N, v likewise
    `round_trip`     [D, I, P]       log ‖JᵀJ u‖² / N, J = J_{0→L}
    `decorrelation`  [D]             1 − cosine between the outputs h_L of two inputs, mean over pairs
    `cotangent_gram` [D, I, I]       cosines between the inputs' Jᵀ v, v the first cotangent
    `stream_tokens`  [D, I, 1, L+1]  log of the share of ‖h_l‖² that differs between tokens
    `forward_tokens`, `backward_tokens`  like `forward` and `backward`, the same share of ‖J u‖² and ‖Jᵀ v‖²

    N counts the units of all tokens. Layers of images differ in size, and N is that of the numerator: of h_l forward, of
    h_L backward and of round trips; with BatchNorm an input is a batch. What the plan does not sample, or needs tokens for,
    has a zero dimension (P, Q, the 1 of the stream, or I of the Gram matrix).
    """

    stream: Array
    forward: Array
    backward: Array
    round_trip: Array
    decorrelation: Array
    cotangent_gram: Array
    stream_tokens: Array
    forward_tokens: Array
    backward_tokens: Array

    def first(self, draws: int) -> Samples:
        """Return the samples of the first `draws` draws."""
        return Samples(*(getattr(self, item.name)[:draws] for item in fields(Samples)))


def joined(parts: Sequence[Samples]) -> Samples:
    """Return the samples of one architecture whose draws are in several parts, concatenated."""
    if len(parts) == 1:
        return parts[0]
    return Samples(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Samples)))
