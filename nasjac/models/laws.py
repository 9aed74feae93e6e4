"""How a norm changes with the number of blocks: an exponential or a power law, by least squares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from nasjac.mathematics.logarithms import Array

#: fewest blocks from which a law can be told
FEWEST = 4
#: how sure a third parameter must be, from how many blocks on, and what rounding leaves of a residual
SURE, OFFSET_FROM, ROUNDING = 0.99, 6, 1e-6


@dataclass(frozen=True)
class Law:
    """How 𝒥 changes with the block number l.

    Args:
        form: An exponential, 𝒥 ∝ e^(rate l), or a power law, 𝒥 ∝ (l + offset)^rate.
        rate: The rate of either.
        low: The lower end of its 95% interval, from the residuals of the fit and the standard errors of the norms.
        high: The upper end.
        offset: As in networks with norms, whose stream starts with a size of its own; None for an exponential.
    """

    form: Literal["exponential", "power law"]
    rate: float
    low: float
    high: float
    offset: float | None = None


def law(logs: Sequence[float | None], errors: Sequence[float | None]) -> Law | None:
    """The law that log 𝒥 after 1, 2, ... blocks follows, by least squares; None for fewer than four blocks.

    The better of the exponential and the pure power law, unless a power law with an offset is better beyond chance (F
    test). Blocks without a logarithm are left out.
    """
    known = [(n, y, e or 0.0) for n, (y, e) in enumerate(zip(logs, errors, strict=True), start=1) if y is not None]
    if len(known) < FEWEST:
        return None
    number, value, error = np.array(known).T
    best = min((_line(number, value, error), None), (_line(np.log(number), value, error), 0.0), key=lambda fit: fit[0].rest)
    if len(known) >= OFFSET_FROM:
        offsets = np.geomspace(0.1, 10 * len(known), 100).tolist()
        shifted = min(((_line(np.log(number + o), value, error), o) for o in offsets), key=lambda fit: fit[0].rest)
        noise = (shifted[0].rest + len(known) * ROUNDING**2) / (len(known) - 3)
        if best[0].rest - shifted[0].rest > stats.f.ppf(SURE, 1, len(known) - 3) * noise:
            best = shifted
    line, offset = best
    return Law("exponential" if offset is None else "power law", line.slope, line.low, line.high, offset)


class _Line(NamedTuple):
    """A straight line: its slope with its 95% interval, and the sum of squared residuals."""

    slope: float
    low: float
    high: float
    rest: float


def _line(x: Array, y: Array, errors: Array) -> _Line:
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    rest = float(np.sum((y - y.mean() - slope * centred) ** 2))
    variance = (rest / (len(x) - 2) + float(np.mean(errors**2))) / float(centred @ centred)
    half = float(stats.t.ppf(0.975, len(x) - 2)) * math.sqrt(variance)
    return _Line(slope, slope - half, slope + half, rest)
