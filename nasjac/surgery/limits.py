"""How many new blocks are allowed, by the rules of `nasjac.mathematics.meanfield.growth`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nasjac.architecture.fields import check_choice
from nasjac.foundation.errors import InputError
from nasjac.mathematics.meanfield.growth import Rules, measured_sum, rules

#: the sum over the new blocks themselves, and the three counts
RULES = ("measured", *Rules._fields)


@dataclass(frozen=True)
class Budget:
    """The budget of a growth: new blocks may make the largest singular value (or the gain) `tau` times as large."""

    tau: float = 2.0


@dataclass(frozen=True)
class Limits:
    """What a growth is held to.

    `rule` is one of `RULES`, or None: worst_case where `epsilon_spectral` is given, edge where `epsilon_rms` alone is,
    measured where neither is. A smallness that is given takes the place of the one that is measured of the new blocks.
    `force` lets a growth pass that the rule does not allow.
    """

    tau: float = 2.0
    rule: str | None = None
    epsilon_spectral: float | None = None
    epsilon_rms: float | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.rule is not None:
            check_choice("rule", self.rule, RULES)
        rules(self.epsilon_spectral or 0.0, self.epsilon_rms or 0.0, self.tau)

    @property
    def chosen(self) -> str:
        """The name of the rule that decides."""
        by_epsilon = "worst_case" if self.epsilon_spectral is not None else "edge"
        given = self.epsilon_spectral is not None or self.epsilon_rms is not None
        return self.rule or (by_epsilon if given else "measured")


@dataclass(frozen=True)
class Smallness:
    """How small new blocks are, how many like these the three rules allow, and Σ ln(1 + ‖J_F‖₂) over them."""

    epsilon_spectral: float
    epsilon_rms: float
    rules: Mapping[str, int | None]
    measured_sum: float


@dataclass(frozen=True)
class Allowed:
    """What the rules make of new blocks of these spectral norms ‖J_F‖₂ and energies ‖J_F‖_F² / N."""

    limits: Limits
    spectral: tuple[float, ...]
    energies: tuple[float, ...]

    @property
    def measured(self) -> Smallness:
        """The smallness as it was measured."""
        typical = math.sqrt(math.fsum(self.energies) / len(self.energies)) if self.energies else 0.0
        return self._smallness(max(self.spectral, default=0.0), typical)

    @property
    def smallness(self) -> Smallness:
        """The smallness that is held to: as given, else as measured."""
        given, measured = self.limits, self.measured
        return self._smallness(
            measured.epsilon_spectral if given.epsilon_spectral is None else given.epsilon_spectral,
            measured.epsilon_rms if given.epsilon_rms is None else given.epsilon_rms,
        )

    def _smallness(self, spectral: float, rms: float) -> Smallness:
        return Smallness(spectral, rms, rules(spectral, rms, self.limits.tau)._asdict(), measured_sum(self.spectral))

    @property
    def count(self) -> int | None:
        """How many blocks like these the chosen rule allows; None: any number."""
        if self.limits.chosen != "measured":
            return self.smallness.rules[self.limits.chosen]
        total = measured_sum(self.spectral)
        return math.floor(len(self.spectral) * math.log(self.limits.tau) / total) if total > 0 else None

    @property
    def holds(self) -> bool:
        """Whether as many blocks as were measured are allowed."""
        if self.limits.chosen == "measured":
            return measured_sum(self.spectral) <= math.log(self.limits.tau)
        return self.count is None or len(self.spectral) <= self.count

    def refusal(self, wanted: object) -> InputError:
        """Return the error that so many are too many, with the three numbers."""
        small = self.smallness
        told = ", ".join(f"{name} {'any number' if m is None else m}" for name, m in small.rules.items())
        measured = f"the measured Σ ln(1 + ‖J_F‖) is {small.measured_sum:.4g} of ln τ = {math.log(self.limits.tau):.4g}"
        return InputError(
            f"`blocks` must be at most {self.count} by the rule {self.limits.chosen} (tau {self.limits.tau:g}), got "
            f"{wanted}: at epsilon_spectral {small.epsilon_spectral:.4g} and epsilon_rms {small.epsilon_rms:.4g} the rules "
            f"allow {told}; {measured}; force=true grows all the same, gain= makes new blocks smaller"
        )
