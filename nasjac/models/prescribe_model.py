"""prescribe, of a model: the factor on its residual branches that makes its blocks critical, by measured Jacobians."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
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
from nasjac.models.prescription.band import CRITICAL, ERRORS, Band
from nasjac.models.result import Result, entries_of
from nasjac.models.setup import arguments, fitted
from nasjac.models.undisturbed import undisturbed

#: the logarithm of the factor is found to this; smallest and largest factor that is tried
NEAR, SMALLEST, LARGEST = 1e-3, 1e-4, 1e4


@dataclass(frozen=True, repr=False)
class ModelPrescription(Result):
    """The factor on the residual branches of a model that brings its blocks to criticality.

    Args:
        model: What the model is called.
        blocks: Which of its blocks.
        band: The critical values of E log 𝒥 from the first to the last of them.
        scale: The factor; 1 where there is nothing to change, None where no factor does it.
        slope: d log 𝒥 / d log α at α = 1, twice the effective depth Σ p_l of the blocks, p_l the branch's share of energy.
        before: The profile from h_0 to h_L as the model is.
        after: The same at the factor, under fresh probes.
        reason: Why no factor does it.
    """

    model: str
    blocks: str
    band: Band
    scale: float | None
    slope: float
    before: Diagnosis
    after: Diagnosis | None = None
    reason: str | None = None

    @property
    def critical(self) -> bool:
        """Whether the blocks are critical as they are."""
        return self.scale == 1.0

    @property
    def confirmed(self) -> bool | None:
        """Whether fresh probes find the blocks critical, up to 4 standard errors; None where no factor is found."""
        if self.after is None:
            return None
        end = self.after.forward[-1]
        assert end.mean_log is not None and end.standard_error is not None
        return abs(end.mean_log - self.band.target) <= self.band.tolerance + ERRORS * end.standard_error

    def entries(self) -> Iterator[tuple[str, object]]:
        """Yield every number by its name, with both profiles."""
        yield from (("model", self.model), ("blocks", self.blocks), *entries_of(self.band))
        yield from (("knob", "branch_scale"), ("before", 1.0), ("after", self.scale))
        yield "change", None if self.scale is None else abs(math.log(self.scale))
        yield from (("slope", self.slope), ("nats_per_percent", self.slope / 100))
        yield from (("critical", self.critical), ("confirmed", self.confirmed), ("reason", self.reason))
        for when, found in (("before", self.before), ("after", self.after)):
            if found is not None:
                yield f"sampled_mean_log_{when}", found.forward[-1].mean_log
                yield f"sampled_mean_log_error_{when}", found.forward[-1].standard_error
        yield from (("profile_before", self.before), ("profile_after", self.after))
        if self.files:
            yield "files", [str(path) for path in self.files.values()]

    def as_text(self) -> str:
        """Return what was found in a few sentences, and where the files are."""
        what = f"{self.blocks} of {self.model}: E log 𝒥 from the first to the last block"
        parts = [f"{what} {_end(self.before)}; critical is {self.band.in_words}"]
        if self.critical:
            parts += ["This is critical: nothing to change."]
        elif self.after is None:
            parts += [f"No branch_scale: {self.reason}"]
        else:
            sure = "which fresh probes confirm" if self.confirmed else "which fresh probes do not confirm"
            parts += [
                f"Multiply every residual branch by {self.scale:.4g}: E log 𝒥 {_end(self.after)}, {sure}.\n"
                f"By the closed form a percent of branch scale is worth {self.slope / 100:.3g} nats at the start."
            ]
        return "\n\n".join([*parts, *self._files("Files")])


def _end(found: Diagnosis) -> str:
    return f"{found.forward[-1].mean_log:.4g} ± {found.forward[-1].standard_error:.2g}"


def branch_scale(
    model: nn.Module,
    inputs: Any,
    blocks: str,
    band: Band = CRITICAL,
    seed: int = 0,
    name: str | None = None,
    advance: Callable[[int, str], None] = lambda done, text: None,
) -> ModelPrescription:
    """The factor α nearest to 1 that brings E log ‖∂h_L/∂h_0‖_F² / N into the band, for x + α F(x) blocks.

    Both sides of the derivative are the stream's: h_0 goes into the first block, h_L comes out of the last. The root is
    found with the same probes at every factor; `before` and `after` have fresh ones. The model is left as it was.

    Raises:
        InputError: What `nasjac.diagnose` refuses, and blocks that are not a chain of x + F(x).
    """
    name = type(model).__name__ if name is None else name
    args, kwargs = fitted(model, *arguments(inputs), [])
    with undisturbed(model, "batch"):
        chain, names, start = scaled_blocks(model, args, kwargs, blocks)

    def at(scale: float, own_seed: int, **precision: float) -> Diagnosis:
        chain.scale = scale
        found = diagnose(chain, start, layers=names, seed=own_seed, name=name, **precision)  # type: ignore[arg-type]
        advance(1, f"branch scale {scale:.4g}")
        return found

    before = at(1.0, seed)
    value, slope = _norm(before), 2 * _effective_depth(before)
    if abs(value - band.target) <= band.tolerance:
        return ModelPrescription(name, blocks, band, 1.0, slope, before, before)
    edge, probes = band.edge(value), max(before.probes.values())
    scale, reached = _root(
        lambda scale: _norm(at(scale, seed + 1, rel_error=1e-12, max_probes=probes)) - edge, value - edge, slope
    )
    if scale is None:
        reason = f"factors down to {SMALLEST:g} and up to {LARGEST:g} bring log 𝒥 no nearer than {edge + reached:.4g}"
        return ModelPrescription(name, blocks, band, None, slope, before, reason=reason)
    return ModelPrescription(name, blocks, band, scale, slope, before, at(scale, seed + 2))


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
