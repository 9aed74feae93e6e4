"""What is known of an architecture without measuring it: size, cost, paths, effective depth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.architecture.spec import NORM_EPS, Spec
from nasjac.foundation.arguments import items
from nasjac.kinds.convolutional.energies import ImageStack, ImageUnit, image_energies
from nasjac.mathematics.meanfield import Columns, block_energies
from nasjac.mathematics.meanfield.decoder import Decoder, sublayer_energies

#: passes through F that an implicit block counts as: 4 Newton steps of two each, 14 products with its Jacobian and one
#: more, as counted at h = 1/2 and gain 1; fewer at smaller steps, and several times as many at h = 1
IMPLICIT_PASSES = 23


@dataclass(frozen=True)
class Facts:
    """Facts of one architecture. Parameters and FLOPs are those of the blocks, embedding or stem and readout apart.

    What energies say of implicit blocks is said of their steps to first order in F (`Spec.gates`). Of an ensemble, energies
    are means over skip patterns, each block being taken at the mean size of its stream.

    `depth`                      kept blocks
    `skip_density`               mean of the skip gates over kept blocks (None without blocks); `skip_count` their sum
    `params`                     trainable parameters, biases and norm gains included
    `flops`                      of one forward pass of one sample, a multiply-add counted as two (nothing but products is);
                                 an implicit block counts as `IMPLICIT_PASSES` of its branch
    `log2_paths`                 log2 of the number of gradient paths (of its expectation for an ensemble)
    `effective_depth`            sum over blocks of the branch's share of Jacobian energy: the mean length of gradient paths
                                 weighed by their energy (Veit et al. 2016 weigh them by their amplitude)
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
    """The specs as columns for `nasjac.mathematics.meanfield`, padded with blocks that are not kept; implicit
    ones as `Spec.gates`.
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


def decoder(spec: Spec) -> Decoder:
    """A transformer as `nasjac.mathematics.meanfield.decoder` has it, without its pruned blocks."""
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
        causal=spec.is_causal,
    )


def image_stack(spec: Spec) -> ImageStack:
    """A network of images as `nasjac.kinds.convolutional.energies` has it."""
    units = []
    for block, step in zip(spec.blocks, spec.steps, strict=True):
        strength, moved = spec.gates if block.keep else (1.0, 1.0)
        channels, changes = step.inside.channels, step.change is not None
        scale, skip = block.scale * moved, block.skip if block.keep else 1.0
        units.append(ImageUnit(len(step.branch), changes, skip, scale, channels, spec.growth, strength))
    return ImageStack(spec.kind == "densenet", spec.activation, spec.norm, spec.order == "pre", spec.weight_gain**2, units)


def branch_energies(spec: Spec) -> NDArray[np.float64]:
    """[L] expected branch energy chi of each kept block of one spec."""
    if spec.is_transformer:
        return sublayer_energies(decoder(spec))[0]
    if spec.convolves:
        return image_energies(image_stack(spec))[0]
    energies: NDArray[np.float64] = block_energies(columns([spec])).branch[0]
    return energies


def facts(specs: Sequence[Spec]) -> list[Facts]:
    """Facts of each spec, in order: those of its canonical form, so that two forms of one network have the same."""
    specs = [spec.canonical for spec in items("specs", specs, Spec, "Spec")]
    chains = [(n, spec) for n, spec in enumerate(specs) if spec.kind == "residual_mlp"]
    found = dict(_chain_facts(chains))
    found |= {n: _decoder_facts(spec) for n, spec in enumerate(specs) if spec.is_transformer}
    found |= {n: _image_facts(spec) for n, spec in enumerate(specs) if spec.convolves}
    return [found[n] for n in range(len(specs))]


def _chain_facts(numbered: Sequence[tuple[int, Spec]]) -> Iterator[tuple[int, Facts]]:
    if not numbered:
        return
    numbers, specs = zip(*numbered, strict=True)
    energies = block_energies(columns(specs))
    shares, nonlinear = energies.share, energies.share * energies.nonlinearity
    # fsum is exact, so that the padding by longer specs leaves no trace
    for number, spec, share, bent in zip(numbers, specs, shares, nonlinear, strict=True):
        matrices = 2 if spec.branch == "two_matrix" else 1
        weights = spec.width**2 * (1 if matrices == 1 else 2 * spec.ffn_ratio)
        biases = spec.width * (1 if matrices == 1 else 1 + spec.ffn_ratio)
        depth = sum(block.keep for block in spec.blocks)
        passes = sum(_passes(spec, place) for place, block in enumerate(spec.blocks) if block.keep)
        yield number, _facts(spec, math.fsum(share), math.fsum(bent), depth * (weights + biases), passes * 2 * weights)


def _passes(spec: Spec, number: int) -> int:
    return IMPLICIT_PASSES if spec.solves(number) else 1


def _decoder_facts(spec: Spec) -> Facts:
    _, shares, bends = sublayer_energies(decoder(spec))
    width, tokens, units = spec.width, spec.context, spec.ffn_ratio * spec.width
    params = flops = 0
    for block in (block for block in spec.blocks if block.keep):
        if block.op == "attention":
            params += 4 * (width**2 + width)
            flops += tokens * (8 * width**2 + 4 * tokens * width)
        else:
            params += 2 * units * width + units + width
            flops += tokens * 4 * units * width
    return _facts(spec, math.fsum(shares), math.fsum(shares * bends), params, flops)


def _image_facts(spec: Spec) -> Facts:
    _, shares, bends = image_energies(image_stack(spec))
    params = flops = 0
    for number, step in enumerate(spec.steps):
        for conv, layer in step.placed():
            weights = conv.inputs * conv.outputs * conv.kernel**2
            biases = conv.outputs if spec.norm == "none" else 0
            bare = conv is step.change and spec.kind == "resnet" and spec.order == "pre"
            normed = 0 if bare or spec.norm == "none" else conv.inputs if spec.order == "pre" else conv.outputs
            params += weights + biases + 2 * normed
            flops += 2 * weights * layer.pixels * _passes(spec, number)
    return _facts(spec, math.fsum(shares), math.fsum(shares * bends), params, flops)


def _facts(spec: Spec, effective_depth: float, nonlinear_effective_depth: float, params: int, flops: int) -> Facts:
    """`params` and `flops` of the branches; those of norms are added."""
    blocks = [block for block in spec.blocks if block.keep]
    skips = math.fsum(block.skip for block in blocks)
    norms = sum(PLACEMENTS[spec.placement][:3])
    norm_params = (2 if spec.norm == "layernorm" else 1) * spec.width
    return Facts(
        depth=len(blocks),
        skip_density=skips / len(blocks) if blocks else None,
        skip_count=skips,
        branch_scale=math.fsum(block.scale for block in blocks) / len(blocks) if blocks else None,
        params=params + len(blocks) * norms * norm_params + sum(block.gate for block in blocks),
        flops=flops,
        log2_paths=math.fsum(math.log2(block.skip + 1) for block in blocks),
        effective_depth=effective_depth,
        nonlinear_effective_depth=nonlinear_effective_depth,
    )
