"""The factor on a model's residual branches that brings its blocks to criticality, by measured Jacobians."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from scipy.optimize import brentq
from torch import nn

from nasjac.foundation.errors import InputError
from nasjac.models.chain import scaled_blocks
from nasjac.models.diagnose import diagnose
from nasjac.models.diagnosis import Diagnosis
from nasjac.models.setup import arguments, fitted
from nasjac.models.undisturbed import undisturbed

#: the logarithm of the factor is found to this; smallest and largest factor that is tried
NEAR, SMALLEST, LARGEST = 1e-3, 1e-4, 1e4


@dataclass(frozen=True)
class Scaling:
    """A factor on all branches, with the profiles from h_0 to h_L at 1 and at the factor, under fresh probes.

    `scale`   None: no factor does it, and `reason` says why; 1: nothing to change
    `slope`   d log 𝒥 / d log α at α = 1, twice the effective depth Σ p_l of the blocks, p_l the branch's share of energy
    """

    scale: float | None
    slope: float
    before: Diagnosis
    after: Diagnosis | None
    reason: str | None = None


def branch_scale(
    model: nn.Module,
    inputs: Any,
    blocks: str,
    target: float = 0.0,
    tolerance: float = 1.0,
    batchnorm: str = "batch",
    rel_error: float = 0.05,
    max_probes: int = 256,
    seed: int = 0,
    name: str | None = None,
    advance: Callable[[int, str], None] = lambda done, text: None,
) -> Scaling:
    """The factor α nearest to 1 with |E log ‖∂h_L/∂h_0‖_F² / N − target| ≤ tolerance for x + α F(x) blocks.

    Both sides of the derivative are the stream's: h_0 goes into the first block, h_L comes out of the last. The root is
    found with the same probes at every factor; `before` and `after` have fresh ones. The model is left as it was.
    ValueError: what `nasjac.diagnose` refuses, and blocks that are not a chain of x + F(x).
    """
    args, kwargs = arguments(inputs)
    args, kwargs = fitted(model, args, kwargs, [])
    with undisturbed(model, batchnorm):
        chain, names, start = scaled_blocks(model, args, kwargs, blocks)

    def at(scale: float, probes: int | None, own_seed: int) -> Diagnosis:
        chain.scale = scale
        error, most = (rel_error, max_probes) if probes is None else (1e-12, probes)
        found = diagnose(
            chain,
            start,
            layers=names,
            batchnorm=batchnorm,
            rel_error=error,
            max_probes=most,
            seed=own_seed,
            name=type(model).__name__ if name is None else name,
        )
        advance(1, f"branch scale {scale:.4g}")
        return found

    before = at(1.0, None, seed)
    value, slope = _norm(before), 2 * _effective_depth(before)
    low, high = target - tolerance, target + tolerance
    if low <= value <= high:
        return Scaling(1.0, slope, before, before)
    edge, probes = (high if value > high else low), max(before.probes.values())
    scale, reached = _root(lambda scale: _norm(at(scale, probes, seed + 1)) - edge, value - edge, slope)
    if scale is None:
        reason = f"factors down to {SMALLEST:g} and up to {LARGEST:g} bring log 𝒥 no nearer than {edge + reached:.4g}"
        return Scaling(None, slope, before, None, reason)
    return Scaling(scale, slope, before, at(scale, None, seed + 2))


def _norm(found: Diagnosis) -> float:
    """E log 𝒥 from h_0 to h_L, by its forward estimate."""
    value = found.forward[-1].mean_log
    if value is None:
        raise InputError("`blocks` must have a Jacobian that is not zero, got a zero one")
    return value


def _effective_depth(found: Diagnosis) -> float:
    """Σ p_l with p_l = 1 − 𝒥_{l−1}/𝒥_l: the branch's share where it is independent of the identity, else at least 0."""
    logs = [layer.mean_log for layer in found.forward[:-1]]
    steps = [b - a for a, b in pairwise(logs) if a is not None and b is not None]
    return sum(max(0.0, 1 - math.exp(-step)) for step in steps)


def _root(value: Callable[[float], float], first: float, slope: float) -> tuple[float | None, float]:
    """The factor at which `value` is 0, and otherwise the value reached; from log α = 0, where it is `first`.

    The first step is Newton's, then steps double until the sign has changed; Brent's method goes on inside.
    """
    value, near = cache(value), 0.0
    at = -first / slope if slope > 0.1 else math.copysign(1.0, -first)
    step, reached = math.copysign(max(0.1, min(1.0, abs(at))), at), first
    while math.log(SMALLEST) <= near + step <= math.log(LARGEST):
        reached = value(math.exp(near + step))
        if reached * first <= 0:
            root = brentq(lambda log: value(math.exp(log)), near, near + step, xtol=NEAR)
            return math.exp(root), 0.0
        near, step = near + step, 2 * step
    return None, reached
