"""Gradient paths of a network at its data: depth, number, entropy, and what pruning does to the Jacobian.

Letters: G points, L blocks, N units of h_L.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from nasjac.architecture.spec import Spec
from nasjac.kinds.facts import facts
from nasjac.kinds.table import kind_of
from nasjac.mathematics.gradient_paths import count_paths, path_lengths
from nasjac.mathematics.logarithms import Array
from nasjac.mathematics.probes import on_sphere
from nasjac.sampling.linearized import Linearized
from nasjac.surgery.branches.norms import Norms, norms
from nasjac.surgery.branches.ours import expected_energies, identities
from nasjac.surgery.network import Link, Network
from nasjac.surgery.results import Pair

#: probes of the damage at each point
PROBES = 32


class Paths(NamedTuple):
    """The mean length of gradient paths by energy, their number, and their entropy in nats."""

    effective_depth: float
    path_count: int
    path_entropy: float


@dataclass(frozen=True)
class Chain:
    """A network's blocks as links of gradient paths, at the data.

    `branch`    the norms of each branch, by block
    `identity`  [L] the energy of the path beside the branch
    `energy`    [L] χ of the branch, 0 without a branch
    """

    branch: Mapping[int, Norms]
    identity: Array
    energy: Array

    @property
    def paths(self) -> Paths:
        """The gradient paths, weighted by energy."""
        total = self.energy + self.identity
        lengths = path_lengths(self.energy / np.where(total > 0, total, 1.0))
        skips, kept = (self.identity > 0).tolist(), [n in self.branch for n in range(len(self.energy))]
        return Paths(lengths.effective_depth, count_paths(skips, kept), lengths.entropy)


@dataclass(frozen=True)
class Expected:
    """Closed forms of pruning at initialization: effective depth, and the damage where every block has its skip."""

    effective_depth: Pair[float]
    damage: float


@dataclass(frozen=True)
class Damage:
    """‖J − J_K‖_F² / N of the network and the pruned one, as paths predict it and measured; None where ‖J‖ is 0."""

    predicted_damage: float
    measured_damage: float
    measured_damage_error: float
    predicted_relative_damage: float | None
    measured_relative_damage: float | None


def branch_norms(
    links: Sequence[Link], numbers: Iterable[int], generator: Generator, rel_error: float | None = 0.01
) -> dict[int, Norms]:
    """Return by block the norms of the branches of the blocks `numbers`; no spectral norm for `rel_error` None."""
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative, which pushing tangents needs
        return {n: norms(links[n].added, links[n].x, generator, rel_error) for n in numbers}


def chain_of(network: Network, seed: int) -> Chain:
    """Return the chain of a network at its points."""
    links, generator = network.links, Generator().manual_seed(seed)
    branch = branch_norms(links, [n for n, link in enumerate(links) if link.branched], generator, None)
    shortcut = {n: norms(link.bypassed, link.x, generator, None) for n, link in enumerate(links) if link.skip is None}
    identity = np.array([shortcut[n].energy if link.skip is None else link.skip for n, link in enumerate(links)])
    energy = np.array([branch[n].energy if n in branch else 0.0 for n in range(len(links))])
    return Chain(branch, identity, energy)


def expected(old: Spec, new: Spec, gone: Sequence[int]) -> Expected:
    """Return the closed forms of pruning the blocks `gone` of the canonical Spec `old`, which leaves `new`."""
    depths = [known.effective_depth for known in facts([old, new])]
    identity = np.array(identities(old))
    damage = _predicted(expected_energies(old), identity, np.ones_like(identity), kind_of(old).surgery.held(old), gone)
    return Expected(Pair(*depths), damage)


def damage(chain: Chain, gone: Sequence[int], old: Network, new: Network, seed: int) -> Damage:
    """Return how pruning the blocks `gone` of `old`, which leaves `new`, changes the Jacobian from h_0 to h_L.

    Both networks are measured with the same probes.
    """
    shortcut = np.array([link.skip is None for link in old.links], dtype=np.bool_)
    instead = np.where(shortcut, chain.identity / old.held**2, 1.0)
    predicted = _predicted(chain.energy, chain.identity, instead, old.held, gone)
    total = float((chain.identity + chain.energy).prod())
    start, generator = old.stream[0], Generator().manual_seed(seed)
    drawn = torch.randn(len(start), PROBES, start[0].numel(), dtype=torch.float64, generator=generator)
    before, after = (_pushed(network, start, on_sphere(drawn).to(start)) for network in (old, new))
    lost, energy = ((pushed.square().sum(-1) / before.shape[-1]).mean(0) for pushed in (before - after, before))
    return Damage(
        predicted_damage=predicted,
        measured_damage=float(lost.mean()),
        measured_damage_error=float(lost.std() / math.sqrt(PROBES)),
        predicted_relative_damage=predicted / total if total else None,
        measured_relative_damage=float(lost.mean() / energy.mean()) if energy.any() else None,
    )


def _predicted(energy: Array, identity: Array, instead: Array, held: float, gone: Sequence[int]) -> float:
    """E‖J − J_K‖² / N by the paths through pruned branches: ∏(s + χ) − ∏_K(s + χ) where every pruned block had its skip.

    In general ∏_K(s + χ) times ∏(s + χ) + ∏ i − 2 ∏ (s/g) over the pruned blocks, of which i is `instead` left: a leaky
    block has the factor g, `held`, on its skip, and a pruned one has none.
    """
    pruned = list(gone)
    kept = np.delete(identity + energy, pruned).prod()
    lost = (identity + energy)[pruned].prod() + instead[pruned].prod() - 2 * (identity[pruned] / held).prod()
    return float(kept * lost)


def _pushed(network: Network, start: Tensor, probes: Tensor) -> Tensor:
    with sdpa_kernel(SDPBackend.MATH):
        return Linearized(network.stack.module, start).push_each(probes).double()
