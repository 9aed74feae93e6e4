"""Gradient paths through residual blocks: how many there are, how long they are, how their energy is spread.

A block with identity and branch doubles the paths (Veit, Wilber & Belongie 2016). In expectation over independent
zero-mean weights distinct paths are orthogonal, so the energy of a path is the product of its blocks' shares
p_l = chi_l / (s_l + chi_l), and its length (in blocks) is Poisson-binomial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PathLengths:
    """The energy-weighted distribution of path lengths: `probability` [L + 1], its moments in blocks, entropy in nats."""

    probability: Array
    effective_depth: float
    variance: float
    entropy: float


def path_lengths(share: ArrayLike) -> PathLengths:
    """Path-length distribution from the branches' energy shares [L], each in [0, 1].

    >>> path_lengths([0.5, 0.5]).probability.tolist()
    [0.25, 0.5, 0.25]
    """
    p = np.asarray(share, dtype=np.float64)
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise ValueError(f"`share` must hold numbers in [0, 1], got {p.tolist()}")
    probability = np.ones(1)
    for value in p:
        probability = np.convolve(probability, (1 - value, value))
    entropy = sum(-value * math.log(value) for value in (*p, *(1 - p)) if value > 0)
    return PathLengths(probability, float(p.sum()), float((p * (1 - p)).sum()), float(entropy))


def count_paths(skip: Sequence[bool], branch: Sequence[bool]) -> int:
    """Number of gradient paths through a chain of blocks, exact: each block offers its identity, its branch, or both."""
    return math.prod(int(s) + int(b) for s, b in zip(skip, branch, strict=True))
