"""Closed forms of residual MLPs: what the mean-field theory takes, what it covers, and the facts that follow from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasjac.architecture.facts import Facts, facts_of
from nasjac.architecture.norm_placement import NORM_EPS, PLACEMENTS
from nasjac.architecture.size import Size
from nasjac.kinds.options.stepped import passes
from nasjac.kinds.options.units import norm_params
from nasjac.kinds.residual_mlp.spec import ResidualMLP
from nasjac.mathematics.meanfield import Columns, block_energies
from nasjac.mathematics.meanfield.moments import MOMENTS

#: what the closed forms cover, by field
COVERED: dict[str, tuple[Any, ...]] = {
    "activation": tuple(MOMENTS),
    "ffn_ratio": (1,),
    "block": ("explicit", "leaky"),  # the Jacobian of an implicit block is an inverse
}


def columns(specs: Sequence[ResidualMLP]) -> Columns:
    """Return Specs as the columns of `nasjac.mathematics.meanfield`, padded with blocks that are not kept.

    Implicit blocks are taken to first order in F, with the factors of their `Spec.gates`.
    """
    depth = max((len(spec.blocks) for spec in specs), default=0)
    keep, skip, scale = np.zeros((len(specs), depth)), *np.ones((2, len(specs), depth))
    gates = np.array([spec.gates for spec in specs], dtype=np.float64).reshape(-1, 2)
    for row, spec in enumerate(specs):
        for number, block in enumerate(spec.blocks):
            keep[row, number], skip[row, number], scale[row, number] = block.keep, block.skip, block.scale * gates[row, 1]
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
        strength=gates[:, :1],
        norm_eps=NORM_EPS,
    )


def branch_energies(spec: ResidualMLP) -> NDArray[np.float64]:
    """Return [L] the expected branch energy χ of each kept block."""
    energies: NDArray[np.float64] = block_energies(columns([spec])).branch[0]
    return energies


def facts(specs: Sequence[ResidualMLP]) -> list[Facts]:
    """Return the facts of canonical Specs, in order."""
    energies = block_energies(columns(specs))
    bent = energies.share * energies.nonlinearity
    # fsum is exact, so that the padding by longer specs leaves no trace
    return [
        facts_of(spec, math.fsum(share), math.fsum(bend), *size(spec))
        for spec, share, bend in zip(specs, energies.share, bent, strict=True)
    ]


def size(spec: ResidualMLP) -> Size:
    """Return parameters and FLOPs of a Spec's blocks, without learned gates."""
    two, depth = spec.branch == "two_matrix", sum(block.keep for block in spec.blocks)
    weights = spec.width**2 * (2 * spec.ffn_ratio if two else 1)
    biases = spec.width * (1 + spec.ffn_ratio if two else 1)
    passed = sum(passes(spec, number) for number, block in enumerate(spec.blocks) if block.keep)
    return Size(depth * (weights + biases + norm_params(spec)), passed * 2 * weights)
