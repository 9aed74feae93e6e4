"""What brings an architecture to criticality, as a result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from nasjac.architecture.spec import Spec
from nasjac.foundation.text_tables import as_text as as_table
from nasjac.foundation.text_tables import cell
from nasjac.models.prescription.band import Band, Prescription
from nasjac.models.result import Result, entries_of

#: what of the recommended change stands in JSON
RECOMMENDED = ("knob", "before", "after", "change", "key", "confirmed")
#: what the table of changes shows and under which names, in its order
SHOWN = {
    "knob": "knob",
    "before": "before",
    "after": "after",
    "change": "change",
    "nats_per_percent": "nats a percent",
    "log_norm_after": "log 𝒥",
    "expected_mean_log_after": "E log 𝒥",
    "sampled_mean_log_after": "sampled",
    "sampled_mean_log_error_after": "±",
    "agrees_after": "agrees",
    "confirmed": "critical",
    "key": "key",
}


@dataclass(frozen=True)
class CheckedNorms:
    """The norms of an architecture by the closed form, and E log 𝒥 by sampling; natural logarithms.

    Args:
        log_norm: log 𝒥 from h_0 to h_L by the closed form, typical over skip patterns.
        expected_mean_log: E log 𝒥 by the closed form and the log-normal law.
        stated_error: The usual size of what that misses.
        sampled_status: `ok`, or why nothing was sampled.
        sampled_mean_log: E log 𝒥 by sampling.
        sampled_mean_log_error: The standard error of that.
        agrees: Whether both agree; None where the closed form holds for N → ∞ alone, or nothing was sampled.
        forward_log_norm: log 𝒥 from h_0 to each layer, [L + 1].
        backward_log_norm: log 𝒥 from each layer to h_L, [L + 1].
    """

    log_norm: float
    expected_mean_log: float
    stated_error: float
    sampled_status: str
    sampled_mean_log: float | None
    sampled_mean_log_error: float | None
    agrees: bool | None
    forward_log_norm: Sequence[float]
    backward_log_norm: Sequence[float]

    def compared(self) -> str:
        """Return E log 𝒥 as it is expected and as it was sampled, in words."""
        expected = f"{self.expected_mean_log:.4g} expected (usually to {self.stated_error:.2g})"
        if self.sampled_mean_log is None or self.sampled_mean_log_error is None:
            return f"{expected}, not sampled ({self.sampled_status})"
        agrees = "; they do not agree" if self.agrees is False else ""
        return f"{expected}, {self.sampled_mean_log:.4g} ± {self.sampled_mean_log_error:.2g} sampled{agrees}"


@dataclass(frozen=True)
class Change:
    """A prescription with the norms after it.

    Args:
        prescription: The change of one knob, or why the knob cannot make it.
        norms: The norms after it; None where there is no such change.
        confirmed: Whether sampling finds it critical; None where nothing was sampled.
    """

    prescription: Prescription
    norms: CheckedNorms | None
    confirmed: bool | None

    @property
    def key(self) -> str | None:
        """The key of the architecture after the change."""
        return None if self.prescription.spec is None else self.prescription.spec.key

    def entries(self, before: CheckedNorms) -> Iterator[tuple[str, object]]:
        """Yield the names and values of its JSON object, with the norms before and after it."""
        names = ("knob", "before", "after", "change", "slope", "nats_per_percent", "reason")
        yield from ((name, getattr(self.prescription, name)) for name in names)
        yield from (("confirmed", self.confirmed), ("key", self.key), ("spec", self.prescription.spec))
        yield from _suffixed(before, "before")
        yield from _suffixed(self.norms, "after")


@dataclass(frozen=True, repr=False)
class SpecPrescription(Result):
    """The smallest change of each knob that brings an architecture to criticality.

    Args:
        spec: The architecture, in canonical form.
        band: The critical values of log 𝒥.
        stream_variance: The second moment per unit of the stream h_0.
        exact: Whether the closed form holds at every width.
        norms: The architecture's norms as it is.
        changes: One for each knob (each placement), the smallest first; empty where the architecture is critical.
    """

    spec: Spec
    band: Band
    stream_variance: float
    exact: bool
    norms: CheckedNorms
    changes: tuple[Change, ...]

    @property
    def critical(self) -> bool:
        """Whether the architecture is critical as it is."""
        return not self.changes

    @property
    def recommended(self) -> Change | None:
        """The smallest change that sampling confirms, or the smallest of all where it confirms none."""
        feasible = [change for change in self.changes if change.prescription.after is not None]
        return min(feasible, key=lambda change: not change.confirmed, default=None)

    def entries(self) -> Iterator[tuple[str, object]]:
        """Yield every number by its name."""
        yield from (("key", self.spec.key), ("spec", self.spec), *entries_of(self.band))
        yield from (("stream_variance", self.stream_variance), ("critical", self.critical), ("exact", self.exact))
        yield from _suffixed(self.norms, "before")
        best = dict(self.recommended.entries(self.norms)) if self.recommended else {}
        yield "recommended", {name: best[name] for name in RECOMMENDED} if best else None
        yield "prescriptions", [dict(change.entries(self.norms)) for change in self.changes]

    def as_text(self) -> str:
        """Return the architecture in a sentence, what brings it to criticality, and why other knobs cannot."""
        inside = "which is critical: nothing to change" if self.critical else "which is not critical"
        about = f"{self.spec.key}: log 𝒥 = {self.norms.log_norm:.4g}, {inside} ({self.band.in_words} nats)"
        parts = [f"{about}\nE log 𝒥: {self.norms.compared()}"]
        changes = self.to_json()["prescriptions"]
        if best := self.recommended:
            rows = [[_shown(change[name]) for name in SHOWN] for change in changes if change["after"] is not None]
            how = " that sampling confirms" if best.confirmed else ", which sampling does not confirm"
            turn = f"{cell(best.prescription.before)} → {cell(best.prescription.after)}"
            parts += [as_table(list(SHOWN.values()), rows).rstrip()]
            parts += [f"Smallest change{how}: {best.prescription.knob} {turn} ({best.key})"]
        missing = [f"no {change['knob']}: {change['reason']}" for change in changes if change["reason"]]
        parts += ["\n".join(missing)] if missing else []
        return "\n\n".join([*parts, *self._files("Figures")])


def _suffixed(norms: CheckedNorms | None, when: str) -> Iterator[tuple[str, object]]:
    return ((f"{entry.name}_{when}", norms and getattr(norms, entry.name)) for entry in fields(CheckedNorms))


def _shown(value: Any) -> Any:
    return ("yes" if value else "no") if isinstance(value, bool) else value
