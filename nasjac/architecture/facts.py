"""Facts of an architecture, which need no measurement: size, cost, gradient paths, effective depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nasjac.architecture.spec import Spec


@dataclass(frozen=True)
class Facts:
    """Facts of one architecture. Parameters and FLOPs are those of the blocks, without embedding, stem and readout.

    The energies of implicit blocks are those of their steps to first order in F (`Spec.gates`). The energies of an ensemble
    are means over skip patterns, with each block taken at the mean size of its stream.

    `depth`                      kept blocks
    `skip_density`               mean of the skip gates over kept blocks (None without blocks); `skip_count` their sum
    `params`                     trainable parameters, biases and norm gains included
    `flops`                      of one forward pass of one sample, a multiply-add counted as two (nothing but products is);
                                 an implicit block counts as `nasjac.kinds.options.stepped.IMPLICIT_PASSES` of its branch
    `log2_paths`                 log2 of the number of gradient paths (of its expectation for an ensemble)
    `effective_depth`            sum over blocks of the branch's share of Jacobian energy: the mean length of gradient paths
                                 weighed by their energy (Veit et al. 2016 weigh them by their amplitude)
    `nonlinear_effective_depth`  the same, each block weighted by its branch's nonlinearity; None of a kind without a closed
                                 form of it
    """

    depth: int
    skip_density: float | None
    skip_count: float
    branch_scale: float | None
    params: int
    flops: int
    log2_paths: float
    effective_depth: float
    nonlinear_effective_depth: float | None


def facts_of(spec: Spec, effective_depth: float, nonlinear: float | None, params: int, flops: int) -> Facts:
    """Return the facts of a canonical Spec, from its blocks and these figures; learned gates are added to `params`."""
    blocks = [block for block in spec.blocks if block.keep]
    skips = math.fsum(block.skip for block in blocks)
    return Facts(
        depth=len(blocks),
        skip_density=skips / len(blocks) if blocks else None,
        skip_count=skips,
        branch_scale=math.fsum(block.scale for block in blocks) / len(blocks) if blocks else None,
        params=params + sum(block.gate for block in blocks),
        flops=flops,
        log2_paths=math.fsum(math.log2(block.skip + 1) for block in blocks),
        effective_depth=effective_depth,
        nonlinear_effective_depth=nonlinear,
    )
