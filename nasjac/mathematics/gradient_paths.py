"""Gradient paths through residual blocks: how many there are, how long they are, how their energy is spread.

A block with identity and branch doubles the paths (Veit, Wilber & Belongie 2016). In expectation over independent
zero-mean weights distinct paths are orthogonal, so a path's share of the energy is a product over the blocks, of
p_l = chi_l / (s_l + chi_l) for a branch and 1 - p_l for an identity, and its length (in blocks) is Poisson-binomial.

`chi` [L] is the branches' energy E‖J_F‖_F² / N, `skip` the density s of the identity: its gate is 1 with probability s,
else 0, which is the energy E gate² too. A block that is not kept (pruned) is the identity whatever its s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasjac.foundation.arguments import array, items, real, shown
from nasjac.foundation.errors import InputError

Array = NDArray[np.float64]
Kept = NDArray[np.bool_]

#: most blocks of a distribution of path lengths: some minutes
MOST_BLOCKS = 200_000


@dataclass(frozen=True)
class PathLengths:
    """The distribution of path lengths, `probability` [L + 1], and its moments in blocks.

    `entropy` is over paths, not over lengths, in nats: the sum of the blocks' binary entropies.
    """

    probability: Array
    effective_depth: float
    variance: float
    entropy: float


def path_lengths(share: ArrayLike) -> PathLengths:
    """Path-length distribution from the branches' shares [L], each in [0, 1].

    `energy_shares` weigh a path by its energy, shares of 1/2 count every path once.
    O(L²), a tenth of a second for L = 10,000. Terms are added, never subtracted, so each probability keeps its digits, and
    what underflows to 0 lies below 1e-308.

    >>> path_lengths([0.5, 0.5]).probability.tolist()
    [0.25, 0.5, 0.25]
    """
    p = array("share", share)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"`share` must hold numbers in [0, 1], one a block, got {shown(p.tolist())}")
    if p.size > MOST_BLOCKS:
        raise InputError(f"`share` must have at most {MOST_BLOCKS} entries, for time grows as their square, got {p.size}")
    probability = np.ones(1)
    for value in p:
        probability = np.convolve(probability, (1 - value, value))
    entropy = sum(-value * math.log(value) for value in (*p, *(1 - p)) if value > 0)
    return PathLengths(probability, float(p.sum()), float((p * (1 - p)).sum()), float(entropy))


def energy_shares(chi: ArrayLike, skip: ArrayLike = 1.0, keep: ArrayLike = True) -> Array:
    """[L] chi / (s + chi), the share of a block's Jacobian energy that takes the branch; 0 where the block is pruned.

    Their sum is the effective depth, which weighs paths by energy: with random identity gates d_eff = Σ chi / (s + chi)
    over the kept blocks. (The plots of Veit et al. 2016 weigh paths by their norms, whose sum is not that of the Jacobian.)

    >>> energy_shares([1.0, 3.0, 1.0], skip=[1.0, 1.0, 0.25], keep=[True, False, True]).tolist()
    [0.5, 0.0, 0.8]
    """
    branch, identity, kept = _blocks(chi, skip, keep)
    _check_alive(branch[kept], identity[kept])
    return np.where(kept, branch, 0.0) / np.where(kept, branch + identity, 1.0)


def log_pruning_damage(chi: ArrayLike, keep: ArrayLike, skip: ArrayLike = 1.0) -> float:
    """log of E‖J - J_K‖_F² / E‖J‖_F², where J_K is J with the branches outside the keep set removed; -inf if none is.

    J_K sums the paths of J that stay, at the activations of the whole network. Exact at any width for relu in two-matrix
    branches (with s < 1 where no stream dies, as with symmetric biases). A pruned network run by itself has other relu
    masks behind the gap, which lowers J·J_K: of its damage this is a lower bound (wide networks; linear: the value).

    >>> round(math.exp(log_pruning_damage([1.0, 3.0], keep=[True, False])), 12)
    0.75
    """
    energy, density, kept = _blocks(chi, skip, keep)
    _check_alive(energy, density)
    x, s = energy[~kept], density[~kept]
    # A kept block, g + F in both, gives s + chi to ‖J‖², to ‖J_K‖² and to J·J_K; a pruned one, g + F in J and 1 in J_K,
    # gives s + chi, 1 and E g = s. With R = Π (s + chi) and S = Π s over the pruned blocks the damage is 1 + 1/R - 2 S/R,
    # here as (R - S)/R + (1 - S)/R: no term is negative, so no digits cancel.
    with np.errstate(divide="ignore", over="ignore"):  # s = 0: S = 0 and (R - S)/R = 1
        log_whole, log_skips, log_ratio = np.log(s + x).sum(), np.log(s).sum(), -np.log1p(x / s).sum()  # log R, S, S/R
    return float(np.logaddexp(_log_one_minus_exp(log_ratio), _log_one_minus_exp(log_skips) - log_whole))


def count_paths(skip: Sequence[bool], branch: Sequence[bool]) -> int:
    """Number of gradient paths through a chain of blocks, exact: each block offers its identity, its branch, or both."""
    skips, kept = (items(name, given, (bool, np.bool_), "booleans") for name, given in (("skip", skip), ("branch", branch)))
    if len(kept) != len(skips):
        raise InputError(f"`branch` must have one entry a block, {len(skips)}, got {len(kept)}")
    return math.prod(bool(s) + bool(b) for s, b in zip(skips, kept, strict=True))


def _blocks(chi: ArrayLike, skip: ArrayLike, keep: ArrayLike) -> tuple[Array, Array, Kept]:
    """Energies, densities and keep set as [L] each."""
    energy, density, kept = array("chi", chi), array("skip", skip), real("keep", keep)
    if energy.ndim != 1:
        raise InputError(f"`chi` must have one number a block, got shape {energy.shape}")
    for name, given in (("skip", density), ("keep", kept)):
        if given.shape not in ((), energy.shape):
            raise InputError(f"`{name}` must be one entry or one a block, {len(energy)}, got shape {given.shape}")
    if not ((energy >= 0) & np.isfinite(energy)).all():
        raise InputError(f"`chi` must hold finite numbers of at least 0, got {shown(energy.tolist())}")
    if not ((density >= 0) & (density <= 1)).all():
        raise InputError(f"`skip` must hold numbers in [0, 1], got {shown(density.tolist())}")
    if kept.size and kept.dtype != np.bool_:  # the kept blocks' indices would be misread as True and False
        raise InputError(f"`keep` must hold True or False, got {shown(kept.tolist())}")
    return energy, np.broadcast_to(density, energy.shape), np.broadcast_to(kept.astype(np.bool_), energy.shape)


def _check_alive(branch: Array, identity: Array) -> None:
    if not (branch + identity > 0).all():
        raise InputError(f"`chi` must be above 0 where `skip` is 0, got {shown(branch.tolist())}")


def _log_one_minus_exp(log: float) -> float:
    """log(1 - e^log) for log <= 0."""
    return math.log(-math.expm1(log)) if log < 0 else -math.inf
