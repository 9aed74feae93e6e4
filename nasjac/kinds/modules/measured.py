"""Facts of a kind without closed forms: parameters and FLOPs counted on its module, branch energies measured once.

Letters: P probes, n units of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

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
#: the number of features of an input to networks that take any number, and of ids in a vocabulary
FEATURES, VOCABULARY = 16, 16


def facts_of_modules(network: Callable[..., ResidualNetwork], specs: Sequence[Spec]) -> list[Facts]:
    """Count and measure the facts of canonical Specs, in order; the nonlinear effective depth is not known.

    Effective depth is Σ χ/(s + χ) of the measured energies, s the probability of a block's skip.
    """
    return [_facts(network, spec) for spec in specs]


def measured_energies(network: Callable[..., ResidualNetwork], spec: Spec) -> NDArray[np.float64]:
    """Measure [L] ‖J_F‖_F² / n of each kept block's branch F(x) = block(x) − skip · x at one initialization and input.

    Hutchinson's probes (1990) are the same for the same Spec. A skip that is kept with a probability is taken as kept. For
    a block that changes the shape the energy is that of the block itself.
    """
    return _energies(spec, *_module(network, spec))


def _energies(spec: Spec, module: ResidualNetwork, x: Tensor) -> NDArray[np.float64]:
    generator = torch.Generator().manual_seed(1)
    energies = []
    for number, block in enumerate(spec.blocks):
        at = Linearized(module.blocks[number], x, copies=PROBES)
        probes = on_sphere(torch.randn(1, PROBES, x.numel(), generator=generator))
        pushed = at.push_each(probes)
        branch = pushed if spec.changes_shape(number) or not block.skip else pushed - probes
        if block.keep:
            energies.append(float(branch.square().sum(-1).mean() / branch.shape[-1]))
        x = at.output
    return np.array(energies, dtype=np.float64)


def _facts(network: Callable[..., ResidualNetwork], spec: Spec) -> Facts:
    from torch.utils.flop_counter import FlopCounterMode  # late: it brings much that a kind with facts of its own spares

    module, x = _module(network, spec)
    energies = _energies(spec, module, x)
    skips = np.array([block.skip for block in spec.blocks if block.keep])
    total = energies + skips
    share = np.divide(energies, total, out=np.zeros_like(energies), where=total > 0)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        for _ in module.through(x):
            pass
    params = sum(parameter.numel() for parameter in module.blocks.parameters()) - sum(block.gate for block in spec.blocks)
    return facts_of(spec, math.fsum(share), None, params, counter.get_total_flops())


def _module(network: Callable[..., ResidualNetwork], spec: Spec) -> tuple[ResidualNetwork, Tensor]:
    """Return the module at one initialization, with every skip that may be kept; and h_0 of a normal input."""
    spec = replace(spec, blocks=tuple(replace(block, skip=float(block.skip > 0)) for block in spec.blocks))
    generator = torch.Generator().manual_seed(0)
    columns = spec.inputs.features or FEATURES
    x = torch.randn(1, columns, generator=generator)
    if spec.inputs.tokens is not None:
        columns, x = VOCABULARY, torch.randint(VOCABULARY, (1, spec.inputs.tokens), generator=generator)
    module = network(spec, columns, 1, generator).eval().requires_grad_(False)
    return module, module.start(x)
