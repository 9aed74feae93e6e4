"""What a profile says in one sentence: how the norm grows along the blocks, where it collapses, what to change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeGuard

import numpy as np
from scipy import stats

from nasjac.mathematics.logarithms import Array
from nasjac.models.diagnose import Diagnosis

#: fewest blocks from which a law can be told
FEWEST = 4
#: nats that a norm may lose or gain before it is called collapsed or exploded: a factor of a thousand
FAR = math.log(1e3)
#: nats on either side of 0 within which random residual networks trained best, and beyond which fewer of them did
PLATEAU, EDGE = 1.0, 3.0


#: how sure a third parameter must be, from how many blocks on, and what rounding leaves of a residual
SURE, OFFSET_FROM, ROUNDING = 0.99, 6, 1e-6


@dataclass(frozen=True)
class Law:
    """How 𝒥 changes with the block number l: exponential, 𝒥 ∝ e^(rate l), or a power law, 𝒥 ∝ (l + offset)^rate.

    `low`, `high`  95% interval of the rate, from the residuals of the fit and the standard errors of the norms
    `offset`       as in normed networks, whose stream starts with a size of its own; None of an exponential
    """

    kind: Literal["exponential", "power law"]
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
    kind: Literal["exponential", "power law"] = "exponential" if offset is None else "power law"
    return Law(kind, line.slope, line.slope - line.half, line.slope + line.half, offset)


class _Line(NamedTuple):
    """A straight line: its slope, half the slope's 95% interval, and the sum of squared residuals."""

    slope: float
    half: float
    rest: float


def _line(x: Array, y: Array, errors: Array) -> _Line:
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    rest = float(np.sum((y - y.mean() - slope * centred) ** 2))
    variance = (rest / (len(x) - 2) + float(np.mean(errors**2))) / float(centred @ centred)
    return _Line(slope, float(stats.t.ppf(0.975, len(x) - 2)) * math.sqrt(variance), rest)


def laws(found: Diagnosis) -> dict[str, Law | None]:
    """The laws of 𝒥 from the input along the blocks, and of 𝒥_⊥ of what differs between tokens."""
    blocks = [layer for layer in found.layers if layer.direction == "forward"][1:-1]
    return {
        "norm": law([b.mean_log for b in blocks], [b.standard_error for b in blocks]),
        "token_differential": law([b.token_log_mean for b in blocks], [b.token_log_mean_error for b in blocks]),
    }


def verdict(found: Diagnosis) -> str:
    """One sentence: growth, what reaches the input, where it collapses, what to change."""
    fitted = laws(found)
    blocks = [layer for layer in found.layers if layer.direction == "forward"][1:-1]
    total = found.layers[-len(found.points)].mean_log
    parts = [_growth("𝒥", fitted["norm"], len(blocks)), _total(total)]
    if fitted["token_differential"] is not None:
        parts.append(_growth("what differs between tokens, 𝒥_⊥,", fitted["token_differential"], len(blocks)))
    collapse = _first_beyond(found, len(blocks))
    parts += [collapse] if collapse else []
    return "; ".join(part for part in parts if part) + f"; {_advice(fitted, total, len(blocks))}."


def _growth(what: str, found: Law | None, blocks: int) -> str:
    if found is None:
        return f"{blocks} blocks are too few for a law of {what}" if what == "𝒥" else ""
    trend = "grows" if found.low > 0 else "shrinks" if found.high < 0 else "neither grows nor shrinks"
    if found.kind == "exponential":
        factor, low, high = (math.exp(value) for value in (found.rate, found.low, found.high))
        how = f"exponentially, by a factor of {factor:.3g} a block (95%: {low:.3g} to {high:.3g})"
    else:
        depth = f"(l + {found.offset:.2g})" if found.offset else "l"
        how = f"as a power of depth, {depth}^{found.rate:.2f} (95%: {found.low:.2f} to {found.high:.2f})"
    return f"{what} {trend} {how}" if found.low * found.high > 0 else f"{what} {trend} along the blocks"


def _total(total: float | None) -> str:
    return "no gradient reaches the input" if total is None else f"from input to output log 𝒥 = {total:.2f}"


def _first_beyond(found: Diagnosis, blocks: int) -> str:
    """The first block, from the input, at which the norm or what differs between tokens has changed a thousandfold."""
    layers = [layer for layer in found.layers if layer.direction == "forward"][1:-1]
    for what, logs in (("𝒥", [b.mean_log for b in layers]), ("𝒥_⊥", [b.token_log_mean for b in layers])):
        start = next((value for value in logs if value is not None), None)
        for layer, value in zip(layers, logs, strict=True):
            if start is not None and value is not None and abs(value - start) > FAR:
                return f"{what} has {'collapsed' if value < start else 'exploded'} a thousandfold by {layer.name}"
    return ""


def _advice(fitted: dict[str, Law | None], total: float | None, blocks: int) -> str:
    norm, tokens = fitted["norm"], fitted["token_differential"]
    if total is None:
        return "look for dead units or a detach"
    if _steep(tokens, blocks) and tokens.rate < 0:
        return "tokens become alike: norm the branches' inputs (Pre-LN), or scale the attention branches down"
    if _steep(norm, blocks):
        if norm.rate > 0:
            return f"scale the residual branches by about 1/√{blocks} = {math.sqrt(1 / blocks):.2g}, or norm their inputs"
        return "keep the skip paths open (no norm on the sum), or raise the gain of the weights"
    if abs(total) <= PLATEAU:
        slow = f"so slowly that over {blocks} blocks it stays close to critical"
        return slow if _exponential(norm) else "this is close to critical"
    if _exponential(norm):
        change = f"{abs(norm.rate) * blocks:.2g} nats"
        return f"over {blocks} blocks that is {change}, not surely more than the {EDGE:g} within which networks train"
    return "no block is at fault: what is left is a constant that learning rates absorb"


def _exponential(found: Law | None) -> TypeGuard[Law]:
    """Whether a law is exponential, and surely grows or surely shrinks."""
    return found is not None and found.kind == "exponential" and found.low * found.high > 0


def _steep(found: Law | None, blocks: int) -> TypeGuard[Law]:
    """Whether a law is exponential and takes the norm beyond the edge of what trains."""
    return found is not None and found.kind == "exponential" and min(abs(found.low), abs(found.high)) * blocks > EDGE
