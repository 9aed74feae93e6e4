"""An architecture while it is sampled: what its draws say so far, and whether that is as precise as was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from nasjac.architecture.ensemble import with_members
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.sampling.samples import Samples
from nasjac.scores.sampled_terms import SampledTerms, measurement_of, sampled_terms

#: paired standard errors beyond which a candidate is certain to be dominated
RACING_ERRORS = 4.0


class Precision(NamedTuple):
    """The largest error over draws, in nats, that the term `objective` may have (None: any), and the most draws."""

    objective: str
    rel_error: float | None
    max_draws: int


class Candidate:
    """One architecture, by the `group` of networks that it stands for, over the first `draws` draws."""

    def __init__(self, wanted: Precision, group: Sequence[Spec], samples: Mapping[str, Samples | None], draws: int) -> None:
        self.wanted, self.group, self.draws = wanted, group, draws
        held = {member.key: samples[member.key] for member in group}
        self.samples = {key: None if item is None else item.first(draws) for key, item in held.items()}
        self.solves = any(group[0].solves(number) for number in range(len(group[0].blocks)))
        self.result = sampled_terms([self.samples[member.key] for member in group], self.solves, wanted.objective)
        self.terms = self.result.terms if self.result.status == "ok" else None

    def _is_precise(self, result: SampledTerms) -> bool | None:
        """Whether the objective is as precise as was asked for; None if nothing was, or there is none."""
        if self.wanted.rel_error is None or result.status != "ok" or result.terms is None:
            return None
        return result.terms.draw_error(self.wanted.objective) <= self.wanted.rel_error

    @property
    def is_done(self) -> bool:
        """Whether another round is of no use, or not allowed."""
        return self._is_precise(self.result) is not False or self.draws >= self.wanted.max_draws

    def is_worse_than(self, rival: Candidate) -> bool:
        """Whether the objective is certain to be larger than the rival's, over the same draws."""
        if self.terms is None or rival.terms is None:
            return False
        excess, error = self.terms.excess(rival.terms, self.wanted.objective)
        return excess > RACING_ERRORS * error

    def measurement(self, spec: Spec, raced: bool) -> Measurement:
        """The measurement of the architecture, with those of its patterns if it is an ensemble."""
        whole = self._measurement(spec.key, self.result, [member.key for member in self.group], raced)
        if not spec.is_ensemble:
            return whole
        inner = {}
        for key, samples in self.samples.items():
            result = sampled_terms([samples], self.solves, self.wanted.objective)
            inner[key] = self._measurement(key, result, [key], raced)
        return with_members(whole, self.group, inner)

    def _measurement(self, key: str, result: SampledTerms, patterns: Sequence[str], raced: bool) -> Measurement:
        measured = measurement_of(key, result, [self.samples[pattern] for pattern in patterns], self.draws)
        return replace(measured, precision_reached=self._is_precise(result), raced=raced)
