"""What is known of an architecture without measuring it: size, cost, paths, effective depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasjac.meanfield import Columns, block_energies
from nasjac.placement import PLACEMENTS
from nasjac.spec import NORM_EPS, Spec


@dataclass(frozen=True)
class Facts:
    """Facts of one architecture. Parameters and FLOPs are those of the residual blocks, embedding and readout apart.

    `depth`                      kept blocks
    `skip_density`               mean of the skip gates over kept blocks (None without blocks); `skip_count` their sum
    `params`                     trainable parameters, biases and norm gains included
    `flops`                      of one forward pass of one sample, a multiply-add counted as two (matrix products alone)
    `log2_paths`                 log2 of the number of gradient paths (of its expectation for an ensemble)
    `effective_depth`            sum over blocks of the branch's share of Jacobian energy
    `nonlinear_effective_depth`  the same, each block weighted by its branch's nonlinearity
    """

    depth: int
    skip_density: float | None
    skip_count: float
    branch_scale: float | None
    params: int
    flops: int
    log2_paths: float
    effective_depth: float
    nonlinear_effective_depth: float


def columns(specs: Sequence[Spec]) -> Columns:
    """The specs as columns for `nasjac.meanfield`, padded with blocks that are not kept."""
    depth = max((len(spec.blocks) for spec in specs), default=0)
    keep, skip, scale = np.zeros((len(specs), depth)), *np.ones((2, len(specs), depth))
    for row, spec in enumerate(specs):
        for number, block in enumerate(spec.blocks):
            keep[row, number], skip[row, number], scale[row, number] = block.keep, block.skip, block.scale
    placements = np.array([PLACEMENTS[spec.placement] for spec in specs], dtype=np.bool_).reshape(len(specs), -1)
    return Columns(
        activation=[spec.activation for spec in specs],
        two_matrix=np.array([spec.branch == "two_matrix" for spec in specs], dtype=np.bool_),
        weight_gain=np.array([spec.weight_gain for spec in specs], dtype=np.float64),
        on_input=placements[:, 0],
        on_branch=placements[:, 1],
        on_sum=placements[:, 2],
        keep=keep,
        skip=skip,
        scale=scale,
        norm_eps=NORM_EPS,
    )


def branch_energies(spec: Spec) -> NDArray[np.float64]:
    """[L] expected branch energy chi of each block of one spec."""
    energies: NDArray[np.float64] = block_energies(columns([spec])).branch[0]
    return energies


def facts(specs: Sequence[Spec]) -> list[Facts]:
    """Facts of each spec, in order."""
    if not specs:
        return []
    energies = block_energies(columns(specs))
    shares, nonlinear = energies.share, energies.share * energies.nonlinearity
    # fsum is exact, so that the padding by longer specs leaves no trace
    return [_facts(spec, math.fsum(a), math.fsum(b)) for spec, a, b in zip(specs, shares, nonlinear, strict=True)]


def _facts(spec: Spec, effective_depth: float, nonlinear_effective_depth: float) -> Facts:
    blocks = [block for block in spec.blocks if block.keep]
    skips = math.fsum(block.skip for block in blocks)
    matrices = 2 if spec.branch == "two_matrix" else 1
    norms = sum(PLACEMENTS[spec.placement][:3])
    norm_params = (2 if spec.norm == "layernorm" else 1) * spec.width
    return Facts(
        depth=len(blocks),
        skip_density=skips / len(blocks) if blocks else None,
        skip_count=skips,
        branch_scale=math.fsum(block.scale for block in blocks) / len(blocks) if blocks else None,
        params=len(blocks) * (matrices * (spec.width**2 + spec.width) + norms * norm_params),
        flops=len(blocks) * matrices * 2 * spec.width**2,
        log2_paths=math.fsum(math.log2(block.skip + 1) for block in blocks),
        effective_depth=effective_depth,
        nonlinear_effective_depth=nonlinear_effective_depth,
    )
