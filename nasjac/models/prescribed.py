"""What brings an architecture, or the blocks of a model, to criticality, as a result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from nasjac.architecture.spec import Spec
from nasjac.foundation.text_tables import as_text as as_table
from nasjac.foundation.text_tables import cell
from nasjac.models.diagnosis import Diagnosis
from nasjac.models.prescription import ERRORS, Band, Prescription
from nasjac.models.prescription.models import Scaling
from nasjac.models.result import Result

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
        yield from (("key", self.spec.key), ("spec", self.spec), *self.band._asdict().items())
        yield from (("stream_variance", self.stream_variance), ("critical", self.critical), ("exact", self.exact))
        yield from _suffixed(self.norms, "before")
        best = self.recommended
        yield "recommended", best and {k: v for k, v in best.entries(self.norms) if k in RECOMMENDED}
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


@dataclass(frozen=True, repr=False)
class ModelPrescription(Result):
    """The factor on the residual branches of a model that brings its blocks to criticality.

    Args:
        model: What the model is called.
        blocks: Which of its blocks.
        band: The critical values of E log 𝒥 from the first to the last of them.
        scaling: The factor, with the profiles before and after it.
    """

    model: str
    blocks: str
    band: Band
    scaling: Scaling

    @property
    def critical(self) -> bool:
        """Whether the blocks are critical as they are."""
        return self.scaling.scale == 1.0

    @property
    def confirmed(self) -> bool | None:
        """Whether fresh probes find the blocks critical, up to 4 standard errors; None where no factor is found."""
        if self.scaling.after is None:
            return None
        end = self.scaling.after.forward[-1]
        assert end.mean_log is not None and end.standard_error is not None
        return abs(end.mean_log - self.band.target) <= self.band.tolerance + ERRORS * end.standard_error

    def entries(self) -> Iterator[tuple[str, object]]:
        """Yield every number by its name, with both profiles."""
        yield from (("model", self.model), ("blocks", self.blocks), *self.band._asdict().items())
        yield from (("knob", "branch_scale"), ("before", 1.0), ("after", self.scaling.scale))
        yield "change", None if self.scaling.scale is None else abs(math.log(self.scaling.scale))
        yield from (("slope", self.scaling.slope), ("nats_per_percent", self.scaling.slope / 100))
        yield from (("critical", self.critical), ("confirmed", self.confirmed), ("reason", self.scaling.reason))
        for when, found in (("before", self.scaling.before), ("after", self.scaling.after)):
            if found is not None:
                yield f"sampled_mean_log_{when}", found.forward[-1].mean_log
                yield f"sampled_mean_log_error_{when}", found.forward[-1].standard_error
        yield from (("profile_before", self.scaling.before), ("profile_after", self.scaling.after))
        if self.files:
            yield "files", [str(path) for path in self.files.values()]

    def as_text(self) -> str:
        """Return what was found in a few sentences, and where the files are."""
        what = f"{self.blocks} of {self.model}: E log 𝒥 from the first to the last block"
        parts = [f"{what} {_end(self.scaling.before)}; critical is {self.band.in_words}"]
        if self.critical:
            parts += ["This is critical: nothing to change."]
        elif self.scaling.after is None:
            parts += [f"No branch_scale: {self.scaling.reason}"]
        else:
            sure = "which fresh probes confirm" if self.confirmed else "which fresh probes do not confirm"
            parts += [
                f"Multiply every residual branch by {self.scaling.scale:.4g}: E log 𝒥 {_end(self.scaling.after)}, {sure}.\n"
                f"By the closed form a percent of branch scale is worth {self.scaling.slope / 100:.3g} nats at the start."
            ]
        return "\n\n".join([*parts, *self._files("Files")])


def _end(found: Diagnosis) -> str:
    return f"{found.forward[-1].mean_log:.4g} ± {found.forward[-1].standard_error:.2g}"


def _suffixed(norms: CheckedNorms | None, when: str) -> Iterator[tuple[str, object]]:
    return ((f"{entry.name}_{when}", norms and getattr(norms, entry.name)) for entry in fields(CheckedNorms))


def _shown(value: Any) -> Any:
    return ("yes" if value else "no") if isinstance(value, bool) else value
