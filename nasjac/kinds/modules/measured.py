"""Facts of a kind without closed forms: parameters and FLOPs counted on its module, branch energies measured once.

Letters: P probes, n units of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasjac.architecture.facts import Facts, facts_of
from nasjac.architecture.spec import Spec
from nasjac.kinds.modules.network import ResidualNetwork
from nasjac.mathematics.probes import on_sphere
from nasjac.sampling.linearized import Linearized

#: probes of an energy, whose relative standard error is at most √(2/P)
PROBES = 32
#: features of an input of which there may be any number, and ids of a vocabulary
FEATURES, VOCABULARY = 16, 16


def facts_of_modules(network: Callable[..., ResidualNetwork], specs: Sequence[Spec]) -> list[Facts]:
    """Facts of canonical Specs, in order; the nonlinear effective depth is not known.

    Effective depth is Σ χ/(1 + χ) of the measured energies: each block is taken as the identity and its branch.
    """
    return [_facts(network, spec) for spec in specs]


def measured_energies(network: Callable[..., ResidualNetwork], spec: Spec) -> NDArray[np.float64]:
    """[L] ‖J_F‖_F² / n of each kept block's branch F(x) = block(x) − x at one initialization and input, by Hutchinson's
    probes (1990); where a block changes the shape, of the block itself. The same numbers for the same Spec.
    """
    module, x = _module(network, spec)
    generator = torch.Generator().manual_seed(1)
    energies = []
    for number, block in enumerate(spec.blocks):
        at = Linearized(module.blocks[number], x)
        probes = on_sphere(torch.randn(1, PROBES, x.numel(), generator=generator))
        pushed = at.push_each(probes)
        branch = pushed if spec.changes_shape(number) else pushed - probes
        if block.keep:
            energies.append(float(branch.square().sum(-1).mean() / branch.shape[-1]))
        x = at.output
    return np.array(energies, dtype=np.float64)


def _facts(network: Callable[..., ResidualNetwork], spec: Spec) -> Facts:
    energies = measured_energies(network, spec)
    module, x = _module(network, spec)
    from torch.utils.flop_counter import FlopCounterMode  # late: it brings much that a kind with facts of its own spares

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        for _ in module.through(x):
            pass
    params = sum(parameter.numel() for parameter in module.blocks.parameters()) - sum(block.gate for block in spec.blocks)
    return facts_of(spec, math.fsum(energies / (1 + energies)), None, params, counter.get_total_flops())


def _module(network: Callable[..., ResidualNetwork], spec: Spec) -> tuple[ResidualNetwork, Tensor]:
    """The module at one initialization, in evaluation, and h_0 of one standard normal input."""
    generator = torch.Generator().manual_seed(0)
    columns = spec.inputs.features or FEATURES
    x = torch.randn(1, columns, generator=generator)
    if spec.inputs.tokens is not None:
        columns, x = VOCABULARY, torch.randint(VOCABULARY, (1, spec.inputs.tokens), generator=generator)
    module = network(spec, columns, 1, generator).eval().requires_grad_(False)
    return module, module.start(x)
