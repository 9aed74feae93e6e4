"""What brings the blocks of a model to criticality, as a result."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from nasjac.models.diagnosis import Diagnosis
from nasjac.models.prescription import ERRORS, Band
from nasjac.models.prescription.models import Scaling
from nasjac.models.result import Result


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
