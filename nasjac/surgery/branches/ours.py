"""The residual branches of networks that `nasjac.kinds.build` builds, at the network's own stream of data."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from nasjac.architecture.spec import Spec
from nasjac.kinds.facts import branch_energies
from nasjac.kinds.modules.network import ResidualNetwork
from nasjac.kinds.table import kind_of
from nasjac.mathematics.logarithms import Array
from nasjac.surgery.compression import branches
from nasjac.surgery.network import Link


def measurable(network: nn.Module) -> nn.Module:
    """Return a copy for Jacobians: float64, BatchNorm with its running statistics, no gradients of weights."""
    return deepcopy(network).double().eval().requires_grad_(False)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Return the network's blocks."""
    return list(cast(ResidualNetwork, network).blocks)


@torch.no_grad()
def stream(network: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Return h_0 ... h_L at inputs [G, ...], in the network's precision."""
    dtype = next(network.parameters()).dtype
    return list(cast(ResidualNetwork, network).stream(inputs.to(dtype) if inputs.is_floating_point() else inputs))


def links_of(spec: Spec, network: nn.Module, inputs: Tensor) -> list[Link]:
    """Return the blocks of a canonical Spec's network, as `measurable` makes it, at inputs [G, ...]."""
    rules, layers, prunable, skips = kind_of(spec).surgery, stream(network, inputs), branches(spec), identities(spec)
    return [
        Link(
            layers[n],
            block,
            partial(rules.added, block),
            partial(rules.bypassed, block),
            spec.blocks[n].op,
            spec.blocks[n].stage,
            spec.blocks[n].keep,
            n in prunable,
            None if spec.blocks[n].skip and spec.changes_shape(n) else skips[n],
        )
        for n, block in enumerate(blocks_of(network))
    ]


def identities(spec: Spec) -> list[float]:
    """Return [L] E g² of the factor g of what each block puts beside its branch; 1 without a branch.

    It is the skip's probability, times (1 − hD)² of a leaky block. A shortcut that changes the shape is not in it.
    """
    held = kind_of(spec).surgery.held(spec) ** 2
    return [block.skip * held if block.keep else 1.0 for block in spec.blocks]


def expected_energies(spec: Spec) -> Array:
    """Return [L] E‖J_F‖_F² / N at initialization of every block of a canonical Spec; 0 where the branch is pruned."""
    energies = np.zeros(len(spec.blocks))
    energies[[n for n, block in enumerate(spec.blocks) if block.keep]] = branch_energies(spec)
    return energies
