"""Gradient paths of a network at its data, before and after pruning: depth, number, entropy, and damage to the Jacobian.

Letters: L blocks, N units of h_L.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from nasjac.architecture.spec import Spec
from nasjac.kinds.facts import facts
from nasjac.mathematics.gradient_paths import count_paths, path_lengths
from nasjac.mathematics.probes import on_sphere
from nasjac.sampling.linearized import Linearized
from nasjac.surgery.branches import Norms, norms
from nasjac.surgery.branches.ours import blocks_of, branch_norms, bypassed, measurable, stream
from nasjac.surgery.compression import Array, expected_energies
from nasjac.surgery.trained import Trained

#: probes of the damage at each point
PROBES = 32


@dataclass(frozen=True)
class Chain:
    """A network's blocks as links of gradient paths, at the data.

    `branch` by block its norms; `identity` [L] the energy of what goes beside it; `energy` [L] χ, 0 without a branch
    """

    branch: Mapping[int, Norms]
    identity: Array
    energy: Array

    @property
    def content(self) -> dict[str, Any]:
        """Effective depth, number and entropy of paths."""
        total = self.energy + self.identity
        lengths = path_lengths(self.energy / np.where(total > 0, total, 1.0))
        skips, kept = (self.identity > 0).tolist(), [n in self.branch for n in range(len(self.energy))]
        return {
            "effective_depth": lengths.effective_depth,
            "path_count": count_paths(skips, kept),
            "path_entropy": lengths.entropy,
        }


def chain_of(spec: Spec, module: nn.Module, points: Tensor, seed: int) -> Chain:
    """The chain of a canonical spec's network at the points."""
    network, generator = measurable(module), Generator().manual_seed(seed)
    numbers = [n for n, block in enumerate(spec.blocks) if block.keep]
    found = branch_norms(network, points, numbers, generator, rel_error=None)
    identity = identities(spec)
    streams = stream(network, points)
    for n, block in enumerate(blocks_of(network)):
        if spec.changes_shape(n) and spec.blocks[n].skip:
            identity[n] = norms(lambda x, block=block: bypassed(block, x), streams[n], generator, None).energy  # type: ignore[misc]
    energy = np.array([found[n].energy if n in found else 0.0 for n in range(len(spec.blocks))])
    return Chain(found, identity, energy)


def identities(spec: Spec) -> Array:
    """[L] E g² of the factor g of what each block puts beside its branch; 1 without a branch.

    The skip's probability, times (1 − hD)² of a leaky block. A shortcut that changes the shape is not in it.
    """
    held = spec.gates[0] ** 2
    return np.array([block.skip * held if block.keep else 1.0 for block in spec.blocks])


def expected(old: Spec, new: Spec, gone: list[int]) -> dict[str, Any]:
    """The same by closed forms at initialization: branch energies, and the damage where all skips are there."""
    known = [facts([spec])[0] for spec in (old, new)]
    chi = expected_energies(old)
    identity = identities(old)
    return {
        "effective_depth": {"before": known[0].effective_depth, "after": known[1].effective_depth},
        "damage": _predicted(chi, identity, np.ones_like(identity), old.gates[0], gone),
    }


def _predicted(energy: Array, identity: Array, instead: Array, held: float, gone: list[int]) -> float:
    """E‖J − J_K‖² / N by the paths through pruned branches: ∏(s + χ) − ∏_K(s + χ) where every pruned block had its skip.

    In general ∏_K(s + χ) times ∏(s + χ) + ∏ i − 2 ∏ (s/g) over the pruned blocks, of which i is `instead` left: a leaky
    block has the factor g, `held`, on its skip, and a pruned one has none.
    """
    kept = np.delete(identity + energy, gone).prod()
    lost = (identity + energy)[gone].prod() + instead[gone].prod() - 2 * (identity[gone] / held).prod()
    return float(kept * lost)


def damage(
    whole: Chain, gone: list[int], old: Trained, module: nn.Module, points: Tensor, seed: int
) -> dict[str, float | None]:
    """‖J − J_K‖_F² / N of the whole network and the pruned one, as paths predict it and measured with equal probes."""
    changing = {n for n in gone if old.spec.changes_shape(n)}
    held = old.spec.gates[0]
    instead = np.array([whole.identity[n] / held**2 if n in changing else 1.0 for n in range(len(whole.energy))])
    before, after = measurable(old.module), measurable(module)
    start = stream(before, points)[0]
    generator = Generator().manual_seed(seed)
    probes = on_sphere(torch.randn(len(start), PROBES, start[0].numel(), dtype=start.dtype, generator=generator))
    pushed = [_pushed(network, start, probes) for network in (before, after)]
    units = pushed[0].shape[-1]
    lost, energy = ((pushed[0] - pushed[1]).square().sum(-1) / units).mean(0), (pushed[0].square().sum(-1) / units).mean(0)
    total = float((whole.identity + whole.energy).prod())
    predicted = _predicted(whole.energy, whole.identity, instead, held, gone)
    return {
        "predicted_damage": predicted,
        "measured_damage": float(lost.mean()),
        "measured_damage_error": float(lost.std() / math.sqrt(PROBES)),
        "predicted_relative_damage": predicted / total if total else None,
        "measured_relative_damage": float(lost.mean() / energy.mean()) if energy.any() else None,
    }


def _pushed(network: nn.Module, start: Tensor, probes: Tensor) -> Tensor:
    blocks = blocks_of(network)
    return Linearized(nn.Sequential(*blocks), start).push_each(probes) if blocks else probes
