"""What a profile says in one sentence: how the norm grows along the blocks, where it collapses, what to change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from nasjac.architecture.measurement import Layer
from nasjac.models.laws import Law, law

#: nats that a norm may lose or gain before it is called collapsed or exploded: a factor of a thousand
FAR = math.log(1e3)
#: nats on either side of 0 within which random residual networks trained best, and beyond which fewer of them did
PLATEAU, EDGE = 1.0, 3.0


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
