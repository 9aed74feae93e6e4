"""How many new blocks are allowed: the rules of `nasjac.mathematics.meanfield.growth` at what was given or measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from nasjac.architecture.fields import check_choice
from nasjac.foundation.errors import InputError
from nasjac.mathematics.meanfield.growth import Rules, measured_sum, rules

#: the sum over the new blocks themselves, and the three counts
RULES = ("measured", *Rules._fields)
#: most blocks that `max` gives: beyond, a number is to be asked for
MOST = 512


@dataclass(frozen=True)
class Budget:
    """`tau`: how often as large as before the largest singular value (or the gain) may become by new blocks."""

    tau: float = 2.0


@dataclass(frozen=True)
class Limits:
    """What a growth is held to. `rule` is one of `RULES`, or None: worst_case where `epsilon_spectral` is given, edge where
    `epsilon_rms` alone is, measured where neither is. What is given stands in for what is measured of the new blocks.
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
        """The rule that holds."""
        by_epsilon = "worst_case" if self.epsilon_spectral is not None else "edge"
        given = self.epsilon_spectral is not None or self.epsilon_rms is not None
        return self.rule or (by_epsilon if given else "measured")


class Attempted(Protocol):
    """A growth that was tried."""

    @property
    def allowed(self) -> Allowed: ...


A = TypeVar("A", bound=Attempted)


@dataclass(frozen=True)
class Allowed:
    """Both smallnesses of new blocks, and what the rules make of them."""

    limits: Limits
    epsilon_spectral: float
    epsilon_rms: float
    spectral_norms: tuple[float, ...]

    @property
    def rules(self) -> Rules:
        """The three counts."""
        return rules(self.epsilon_spectral, self.epsilon_rms, self.limits.tau)

    @property
    def measured_sum(self) -> float:
        """Σ ln(1 + ‖J_F‖₂)."""
        return measured_sum(self.spectral_norms)

    @property
    def count(self) -> int | None:
        """How many blocks like these the chosen rule allows; None: any number."""
        if self.limits.chosen != "measured":
            return self.rules._asdict()[self.limits.chosen]  # type: ignore[no-any-return]
        total = self.measured_sum
        return math.floor(len(self.spectral_norms) * math.log(self.limits.tau) / total) if total > 0 else None

    @property
    def holds(self) -> bool:
        """Whether as many blocks as were measured are allowed."""
        if self.limits.chosen == "measured":
            return self.measured_sum <= math.log(self.limits.tau)
        return self.count is None or len(self.spectral_norms) <= self.count

    @property
    def content(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "epsilon_spectral": self.epsilon_spectral,
            "epsilon_rms": self.epsilon_rms,
            "rules": self.rules._asdict(),
            "measured_sum": self.measured_sum,
        }

    def refusal(self, wanted: object) -> InputError:
        """Why so many are too many: the three numbers."""
        told = ", ".join(f"{name} {'any number' if m is None else m}" for name, m in self.rules._asdict().items())
        measured = f"the measured Σ ln(1 + ‖J_F‖) is {self.measured_sum:.4g} of ln τ = {math.log(self.limits.tau):.4g}"
        return InputError(
            f"`blocks` must be at most {self.count} by the rule {self.limits.chosen} (tau {self.limits.tau:g}), got "
            f"{wanted}: at epsilon_spectral {self.epsilon_spectral:.4g} and epsilon_rms {self.epsilon_rms:.4g} the rules "
            f"allow {told}; {measured}; force=true grows all the same, gain= makes new blocks smaller"
        )


def as_many(found: A, attempt: Callable[[int], A], name: str, say: Callable[[str], None]) -> A:
    """The first attempt with as many blocks as the rule allows, begun from what is known of `found`.

    ValueError: not even one, more than `MOST`, or any number.
    """
    count = found.allowed.count
    while count:
        if count > MOST:
            told = f"more than {MOST}, got max: it allows {count}"
            raise InputError(f"`{name}` must be a number where the rule allows {told}")
        say(f"trying {count} new blocks")
        found = attempt(count)
        if found.allowed.holds:
            return found
        count = min(count - 1, found.allowed.count or 0)
    if count is None:
        raise InputError(f"`{name}` must be a number where any number is allowed (new blocks are the identity), got max")
    raise found.allowed.refusal("max, of which not even one is allowed")


def allowed(limits: Limits, spectral: Sequence[float], energies: Sequence[float]) -> Allowed:
    """From ‖J_F‖₂ and ‖J_F‖_F² / N of each new block, unless other smallnesses are given."""
    largest = max(spectral, default=0.0)
    typical = math.sqrt(math.fsum(energies) / len(energies)) if energies else 0.0
    return Allowed(
        limits,
        largest if limits.epsilon_spectral is None else limits.epsilon_spectral,
        typical if limits.epsilon_rms is None else limits.epsilon_rms,
        tuple(spectral),
    )
