"""Knobs that click: which blocks of a fixed pattern keep their skip, and where the norm sits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from nasjac.architecture.norm_placement import PLACEMENTS
from nasjac.kinds.residual_mlp.spec import ResidualMLP
from nasjac.mathematics.meanfield.critical import DEEPEST
from nasjac.mathematics.meanfield.moments import Array
from nasjac.models.prescription.band import PRUNED, Band, Prescription, log_norms

#: the first n multiples of it, by fractional part, lie evenly along the depth for every n: so do switches of equal effect
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class _Sweep:
    """Skips switched one way, `on` or off.

    `blocks`  those that bring log 𝒥 towards the band, the strongest first, each by itself
    `alone`   [n] log 𝒥 with each of them switched alone
    `first`   [n] log 𝒥 with the first 1, 2, ... switched together
    """

    on: bool
    blocks: list[int]
    alone: Array
    first: Array


def skip_pattern(spec: ResidualMLP, band: Band, before: float, stream_variance: float) -> Prescription:
    """The fewest skips of a fixed pattern, switched all on or all off, that end inside the band.

    The blocks are ordered by what each does alone, equal ones so that they lie evenly along the depth; the closed form of
    the first n together says how many it takes, and where the n-th overshoots, every weaker one is tried in its place. A
    single switch is thus found where there is one, and the fewest of equal blocks; among different blocks a smaller set, or
    one that ends inside, may be missed.
    """
    depth = len(spec.blocks)
    density = sum(block.skip for block in spec.blocks) / depth if depth else 1.0
    start = Prescription("skip_density", density, before)
    if not depth:
        return replace(start, reason=PRUNED)
    if depth > DEEPEST:
        return replace(start, reason=f"patterns of more than {DEEPEST} blocks are not searched, got {depth} blocks")
    sweeps = [_sweep(spec, on, before, band.edge(before), stream_variance) for on in (True, False)]
    slopes = [depth * float(s.alone[0] - before) * (1 if s.on else -1) for s in sweeps if s.blocks]
    if not slopes:
        return replace(start, reason="every skip that is switched on or off takes log 𝒥 further from the band")
    start = replace(start, slope=max(slopes, key=abs))
    found = [(chosen, s.on) for s in sweeps if (chosen := _fewest(spec, s, band, before, stream_variance))]
    if not found:
        reached = np.concatenate([values for s in sweeps for values in (s.alone, s.first)])
        nearest = reached[np.abs(reached - band.target).argmin()]
        reason = f"switching skips, the strongest first, brings log 𝒥 no nearer than {nearest:.4g}; the band is {band}"
        return replace(start, reason=reason)
    chosen, on = min(found, key=lambda pair: len(pair[0]))
    after = density + (1 if on else -1) * len(chosen) / depth
    switched = _switched(spec, chosen, on)
    log_norm = float(log_norms([switched], stream_variance)[0])
    return replace(start, after=after, change=len(chosen) / depth, spec=switched, log_norm_after=log_norm)


def _sweep(spec: ResidualMLP, on: bool, before: float, edge: float, stream_variance: float) -> _Sweep:
    able = [number for number, block in enumerate(spec.blocks) if block.skip == (not on)]
    if not able:
        return _Sweep(on, [], np.empty(0), np.empty(0))
    alone = log_norms([_switched(spec, [number], on) for number in able], stream_variance)
    towards = (alone - before) * np.sign(edge - before)
    spread = (np.array(able) + 0.5) * GOLDEN % 1
    order = [position for position in np.lexsort((spread, -towards.round(9))).tolist() if towards[position] > 0]
    blocks = [able[position] for position in order]
    first = [_switched(spec, blocks[: count + 1], on) for count in range(len(blocks))]
    return _Sweep(on, blocks, alone[order], log_norms(first, stream_variance) if first else np.empty(0))


def _fewest(spec: ResidualMLP, sweep: _Sweep, band: Band, before: float, stream_variance: float) -> list[int] | None:
    """The blocks to switch, None where no number of them will do."""
    for count, value in enumerate(sweep.first.tolist()):
        if band.contains(value):
            return sweep.blocks[: count + 1]
        if (value - band.target) * (before - band.target) < 0:  # beyond the band: a weaker one in place of the last
            others = [[*sweep.blocks[:count], other] for other in sweep.blocks[count + 1 :]]
            ends = log_norms([_switched(spec, chosen, sweep.on) for chosen in others], stream_variance) if others else ()
            return next((chosen for chosen, end in zip(others, ends, strict=True) if band.contains(end)), None)
    return None


def _switched(spec: ResidualMLP, numbers: Collection[int], on: bool) -> ResidualMLP:
    chosen, skip = set(numbers), float(on)
    blocks = (replace(block, skip=skip) if number in chosen else block for number, block in enumerate(spec.blocks))
    return replace(spec, blocks=tuple(blocks))


def placements(spec: ResidualMLP, band: Band, before: float, stream_variance: float) -> list[Prescription]:
    """Every other placement inside the band, or why there is none."""
    start = Prescription("placement", spec.placement, before)
    if not spec.blocks:
        return [replace(start, reason=PRUNED)]
    others = {name: replace(spec, placement=name) for name in PLACEMENTS if name != spec.placement}
    values = dict(zip(others, log_norms(list(others.values()), stream_variance).tolist(), strict=True))
    inside = [name for name in others if band.contains(values[name])]
    inside.sort(key=lambda name: abs(values[name] - band.target))
    if not inside:
        reached = ", ".join(f"{value:.4g} ({name})" for name, value in values.items())
        return [replace(start, reason=f"log 𝒥 is {reached}; the band is {band}")]
    return [replace(start, after=n, change=1.0, spec=others[n], log_norm_after=values[n]) for n in inside]
