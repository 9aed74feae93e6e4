"""Knobs that turn without steps: branch scale, weight gain, the probability of a skip.

A dial is turned outward from 0, the present value, on a grid in both directions; where log 𝒥 first passes the edge of the
band, Newton's method with the closed form's derivative finds the point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nasjac.architecture.block import Block
from nasjac.kinds.facts import columns
from nasjac.kinds.residual_mlp.spec import ResidualMLP
from nasjac.mathematics.meanfield.moments import Array
from nasjac.mathematics.meanfield.sensitivity import Direction, log_norm_slopes
from nasjac.mathematics.roots import newton
from nasjac.models.prescription.band import PRUNED, Band, Prescription, log_norms

#: factors of scale and gain that are searched, and the gains that the closed forms take
FARTHEST = math.log(1e4)
GAINS = (1e-9, 1e9)
#: a dial is swept in so many sections a side; those of a factor grow, for large changes are coarse
SECTIONS, FIRST = 28, 1 / 64


@dataclass(frozen=True)
class Dial:
    """A knob by the size x of its turn; 0 is the present value, `before`.

    `after`, `spec`, `direction`   its value, the architecture, and the rates per unit of x, all at x
    `low`, `high`                  the least and the largest x
    `swept`                        what is searched, in words
    """

    knob: str
    before: float
    after: Callable[[float], float]
    spec: Callable[[float], ResidualMLP]
    direction: Callable[[float], Direction]
    low: float
    high: float
    swept: str

    def sides(self) -> list[Array]:
        """The x that are swept, from 0 outward on either side."""
        grown = np.concatenate([[0.0], np.geomspace(FIRST, FARTHEST, SECTIONS)]) / FARTHEST
        return [end * grown for end in (self.low, self.high) if end]

    def slope(self, x: float, stream_variance: float) -> float:
        """d log 𝒥 / dx."""
        with np.errstate(divide="ignore", invalid="ignore"):  # where 𝒥 is 0: no slope, and bisection
            return float(log_norm_slopes(columns([self.spec(x)]), self.direction(x), stream_variance)[0])


def branch_scale(spec: ResidualMLP) -> Dial:
    """A common factor e^x on all branch scales."""
    before = math.fsum(block.scale for block in spec.blocks) / len(spec.blocks) if spec.blocks else 1.0

    def scaled(factor: float) -> ResidualMLP:
        return _each(spec, lambda block: replace(block, scale=block.scale * factor))

    return _factor("branch_scale", before, scaled, Direction(log_scale=1.0))


def weight_gain(spec: ResidualMLP) -> Dial:
    """A factor e^x on the weight gain."""
    before = float(spec.weight_gain)
    least, most = min(GAINS[0], before), max(GAINS[1], before)

    def gained(factor: float) -> ResidualMLP:
        # the ends of the sweep are logarithms, whose exponentials may round to beyond a bound
        return replace(spec, weight_gain=min(max(before * factor, least), most))

    ends = [math.log(gain / before) for gain in (least, most)]
    return _factor("weight_gain", before, gained, Direction(log_gain=1.0), ends)


def _factor(
    knob: str,
    before: float,
    spec: Callable[[float], ResidualMLP],
    direction: Direction,
    ends: Sequence[float] = (-FARTHEST, FARTHEST),
) -> Dial:
    """A knob that is multiplied by e^x; `spec` is the architecture by the factor, and `ends` bound x besides FARTHEST."""
    return Dial(
        knob=knob,
        before=before,
        after=lambda x: before * math.exp(x),
        spec=lambda x: spec(math.exp(x)),
        direction=lambda x: direction,
        low=max(-FARTHEST, ends[0]),
        high=min(FARTHEST, ends[1]),
        swept=f"{knob.replace('_', ' ')}s multiplied by 1e-4 to 1e4",
    )


def skip_probability(spec: ResidualMLP) -> Dial:
    """An ensemble's mean skip probability plus x: all go towards 1, or towards 0, by one share of what is left."""
    skip = np.array([block.skip for block in spec.blocks])
    density = math.fsum(skip) / len(skip)

    def turned_spec(x: float) -> ResidualMLP:
        share = x / (1 - density) if x > 0 else -x / density
        end = 1.0 if x > 0 else 0.0
        return _each(spec, lambda block: replace(block, skip=min(1.0, max(0.0, block.skip + share * (end - block.skip)))))

    return Dial(
        knob="skip_density",
        before=density,
        after=lambda x: density + x,
        spec=turned_spec,
        direction=lambda x: Direction(skip=(1 - skip) / (1 - density) if x >= 0 else skip / density),
        low=-density,
        high=1 - density,
        swept="skip densities from 0 to 1",
    )


def turned(dial: Dial, band: Band, before: float, stream_variance: float) -> Prescription:
    """The least turn that brings log 𝒥, now `before`, to the nearest edge of the band."""
    edge = band.edge(before)

    def gap(x: float) -> tuple[float, float]:
        return float(log_norms([dial.spec(x)], stream_variance)[0]) - edge, dial.slope(x, stream_variance)

    slope = dial.slope(0.0, stream_variance)
    start = Prescription(dial.knob, dial.before, before, slope=slope if math.isfinite(slope) else None)
    roots, least, most = [], before, before
    for side in dial.sides():
        values = log_norms([dial.spec(x) for x in side.tolist()], stream_variance)
        least, most = min(least, values.min()), max(most, values.max())
        beyond = np.flatnonzero((values - edge) * (before - edge) <= 0)
        if len(beyond):
            low, high = sorted(side[[beyond[0] - 1, beyond[0]]].tolist())
            roots.append(newton(gap, low, high))
    if not roots:
        return replace(start, reason=_why_not(dial, band, edge, least, most))
    x = min(roots, key=abs)
    spec = dial.spec(x)
    after = float(log_norms([spec], stream_variance)[0])
    return replace(start, after=dial.after(x), change=abs(x), spec=spec, log_norm_after=after)


def _why_not(dial: Dial, band: Band, edge: float, least: float, most: float) -> str:
    spec = dial.spec(0.0)
    if not spec.blocks:
        return PRUNED
    reason = f"log 𝒥 stays in [{least:.4g}, {most:.4g}] for {dial.swept}; the band is {band}"
    whole = all(block.skip == 1 for block in spec.blocks) and spec.gates[0] == 1
    if edge < 0 and spec.placement != "post" and whole:
        return f"with every skip a block's factor is 1 + χ > 1, so log 𝒥 is above 0: {reason}"
    return reason


def _each(spec: ResidualMLP, change: Callable[[Block], Block]) -> ResidualMLP:
    changed = {block: change(block) for block in set(spec.blocks)}  # most blocks are equal
    return replace(spec, blocks=tuple(changed[block] for block in spec.blocks))
