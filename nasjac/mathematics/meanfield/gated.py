"""Random gate patterns over blocks of one constant energy: the moments of 𝒥 over patterns, in closed form."""

from __future__ import annotations

import math
from typing import NamedTuple

from nasjac.foundation.errors import InputError


class GatedMoments(NamedTuple):
    """Over the patterns of a chain's random gates, of E_W 𝒥; `mean_log` is None (and `reason` says why) if it is −∞."""

    log_mean: float
    log_second_moment: float
    mean_log: float | None
    variance_log: float | None
    reason: str | None = None


def gated_chain(chi: float, depth: int, skip: float = 1.0, branch: float = 1.0, independent: bool = False) -> GatedMoments:
    """`depth` blocks of energy `chi`, identity gates Bernoulli(`skip`), branch gates Bernoulli(`branch`). Exact for relu.

    A dropped branch forces its skip, as in a Spec: the mean factor is p (s + chi) + 1 − p. With `independent` gates it is
    s + p chi, and a block may lose both paths: then 𝒥 = 0 has a probability and E log 𝒥 is −∞.

    >>> round(gated_chain(0.4, 20, skip=0.6).mean_log, 6)
    -3.292659
    """
    check_energy(chi)
    for name, value in (("skip", skip), ("branch", branch)):
        if not 0 <= value <= 1:
            raise InputError(f"`{name}` must be a number in [0, 1], got {value!r}")
    only_identity = skip * (1 - branch) if independent else 1 - branch
    outcomes = [(branch * skip, 1 + chi), (branch * (1 - skip), chi), (only_identity, 1.0)]
    log_mean = depth * math.log(sum(p * x for p, x in outcomes)) if any(p * x for p, x in outcomes) else -math.inf
    second = sum(p * x * x for p, x in outcomes)
    living = sum(p for p, x in outcomes if x > 0)
    if depth and living < 1 - 1e-15:
        reason = f"a block loses identity and branch with probability {1 - living:.3g}, so E log 𝒥 is −∞"
        return GatedMoments(log_mean, depth * math.log(second) if second else -math.inf, None, None, reason)
    mean = sum(p * math.log(x) for p, x in outcomes if p)
    variance = sum(p * (math.log(x) - mean) ** 2 for p, x in outcomes if p)
    return GatedMoments(log_mean, depth * math.log(second), depth * mean, depth * variance)


def check_energy(chi: float) -> None:
    """ValueError unless a branch can have the energy `chi`."""
    if not 0 <= chi < math.inf:
        raise InputError(f"`chi` must be a finite number of at least 0, got {chi!r}")
