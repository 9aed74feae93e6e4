"""Closed forms of transformers: expected energies of their branches, and the facts that follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasjac.architecture.facts import Facts, facts_of
from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.size import Size
from nasjac.kinds.options.units import norm_params
from nasjac.kinds.transformer.spec import Transformer
from nasjac.mathematics.meanfield.decoder import Decoder, sublayer_energies


def sublayers(spec: Transformer) -> Decoder:
    """Return a transformer in the form of `nasjac.mathematics.meanfield.decoder`, without its pruned blocks."""
    blocks = [block for block in spec.blocks if block.keep]
    placement = PLACEMENTS[spec.placement]
    return Decoder(
        attention=[block.op == "attention" for block in blocks],
        skip=[block.skip for block in blocks],
        scale=[block.scale for block in blocks],
        activation=spec.activation,
        on_input=placement.on_input,
        on_branch=placement.on_branch,
        on_sum=placement.on_sum,
        weight_variance=spec.weight_gain**2,
        query_variance=spec.query_gain**2,
        logit_factor=1.0 if spec.logit_scale == "inverse_sqrt" else 1 / math.sqrt(spec.width // spec.heads),
        tokens=spec.context,
        causal=spec.causal,
        gated=spec.ffn == "gated",
        normed_units=spec.width // spec.heads if spec.qk_norm else None,
    )


def branch_energies(spec: Transformer) -> NDArray[np.float64]:
    """Return [L] the expected branch energy χ of each kept block."""
    return sublayer_energies(sublayers(spec))[0]


def facts(specs: Sequence[Transformer]) -> list[Facts]:
    """Return the facts of canonical Specs, in order."""
    return [_facts(spec) for spec in specs]


def _facts(spec: Transformer) -> Facts:
    _, shares, bends = sublayer_energies(sublayers(spec))
    return facts_of(spec, math.fsum(shares), math.fsum(shares * bends), *size(spec))


def size(spec: Transformer) -> Size:
    """Return parameters and FLOPs of a Spec's blocks, without learned gates."""
    width, tokens, units, shared = spec.width, spec.context, spec.ffn_units, spec.kv_width
    matrices = 3 if spec.ffn == "gated" else 2
    params = flops = 0
    for block in (block for block in spec.blocks if block.keep):
        params += norm_params(spec)
        if block.op == "attention":
            params += 2 * (width + shared) * (width + 1) + spec.qk_norm * 2 * (width // spec.heads)
            flops += tokens * (4 * (width + shared) * width + 4 * tokens * width)
        else:
            params += matrices * units * width + (matrices - 1) * units + width
            flops += tokens * 2 * matrices * units * width
    return Size(params, flops)
