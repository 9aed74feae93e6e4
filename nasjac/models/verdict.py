"""What a profile says in one sentence: how the norm grows along the blocks, where it collapses, what to change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeGuard

import numpy as np
from scipy import stats

from nasjac.architecture.measurement import Layer
from nasjac.mathematics.logarithms import Array

#: fewest blocks from which a law can be told
FEWEST = 4
#: nats that a norm may lose or gain before it is called collapsed or exploded: a factor of a thousand
FAR = math.log(1e3)
#: nats on either side of 0 within which random residual networks trained best, and beyond which fewer of them did
PLATEAU, EDGE = 1.0, 3.0
#: how sure a third parameter must be, from how many blocks on, and what rounding leaves of a residual
SURE, OFFSET_FROM, ROUNDING = 0.99, 6, 1e-6


@dataclass(frozen=True)
class DiagnosedLayer(Layer):
    """A layer of a model in one direction, with more than its norm.

    Args:
        log_mean_error: The standard error of `log_mean`.
        sd_log: The standard deviation of log 𝒥 over inputs and initializations, probe noise removed.
        effective_rank: (tr A)² / tr A², A = JJᵀ.
        token_log_mean: log E 𝒥_⊥ of what differs between tokens; None without tokens.
        token_log_mean_error: The standard error of that.
    """

    log_mean_error: float | None = None
    sd_log: float | None = None
    effective_rank: float | None = None
    token_log_mean: float | None = None
    token_log_mean_error: float | None = None


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


def laws(layers: Sequence[DiagnosedLayer]) -> dict[str, Law | None]:
    """Fit the laws of 𝒥 from the input along the blocks (`norm`), and of 𝒥_⊥ between tokens (`token_differential`)."""
    blocks = _blocks(layers)
    return {
        "norm": law([b.mean_log for b in blocks], [b.standard_error for b in blocks]),
        "token_differential": law([b.token_log_mean for b in blocks], [b.token_log_mean_error for b in blocks]),
    }


def verdict(layers: Sequence[DiagnosedLayer]) -> str:
    """Say in one sentence how the norm grows, what reaches the input, where it collapses, and what to change.

    Args:
        layers: All layers forward, from input to output, and all of them backward.
    """
    fitted, blocks = laws(layers), _blocks(layers)
    total = next(layer.mean_log for layer in layers if layer.direction == "backward")
    parts = [_growth("𝒥", fitted["norm"], len(blocks)), _total(total)]
    if fitted["token_differential"] is not None:
        parts.append(_growth("what differs between tokens, 𝒥_⊥,", fitted["token_differential"], len(blocks)))
    parts += [_first_beyond(blocks), _advice(fitted, total, len(blocks))]
    return "; ".join(part for part in parts if part) + "."


def _blocks(layers: Sequence[DiagnosedLayer]) -> list[DiagnosedLayer]:
    """The layers forward between input and output."""
    return [layer for layer in layers if layer.direction == "forward"][1:-1]


def _growth(what: str, found: Law | None, blocks: int) -> str:
    if found is None:
        return f"{blocks} blocks are too few for a law of {what}"
    if found.low <= 0 <= found.high:
        return f"{what} neither grows nor shrinks along the blocks"
    if found.form == "exponential":
        factor, low, high = (math.exp(value) for value in (found.rate, found.low, found.high))
        how = f"exponentially, by a factor of {factor:.3g} a block (95%: {low:.3g} to {high:.3g})"
    else:
        depth = f"(l + {found.offset:.2g})" if found.offset else "l"
        how = f"as a power of depth, {depth}^{found.rate:.2f} (95%: {found.low:.2f} to {found.high:.2f})"
    return f"{what} {'grows' if found.low > 0 else 'shrinks'} {how}"


def _total(total: float | None) -> str:
    return "no gradient reaches the input" if total is None else f"from input to output log 𝒥 = {total:.2f}"


def _first_beyond(blocks: Sequence[DiagnosedLayer]) -> str:
    """The first block, from the input, at which the norm or what differs between tokens has changed a thousandfold."""
    for what, logs in (("𝒥", [b.mean_log for b in blocks]), ("𝒥_⊥", [b.token_log_mean for b in blocks])):
        start = next((value for value in logs if value is not None), None)
        for layer, value in zip(blocks, logs, strict=True):
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
    return found is not None and found.form == "exponential" and found.low * found.high > 0


def _steep(found: Law | None, blocks: int) -> TypeGuard[Law]:
    """Whether a law is exponential and takes the norm beyond the edge of what trains."""
    return found is not None and found.form == "exponential" and min(abs(found.low), abs(found.high)) * blocks > EDGE
