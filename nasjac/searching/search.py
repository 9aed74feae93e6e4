"""search: architectures sampled, scored before training, and stored, a batch at a time."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch

from nasjac.architecture.measurement import Measurement
from nasjac.architecture.space import Space
from nasjac.datasets import Data
from nasjac.foundation import arguments
from nasjac.foundation.console import Advance
from nasjac.foundation.errors import InputError
from nasjac.foundation.interrupts import Interrupted
from nasjac.kinds.facts import Facts
from nasjac.mathematics.pareto import knee
from nasjac.samplers.options import check_sampler
from nasjac.scores import Score
from nasjac.searching import racing
from nasjac.searching.objectives import OBJECTIVES, Budget, directions
from nasjac.searching.scored import architecture_rows, pattern_rows, standings, with_patterns
from nasjac.searching.study import TRIES, Proposal, SamplerFactory, Study
from nasjac.store import Store
from nasjac.store.rows import TrialRow

#: the objectives of a score that names none
OF_JACOBIANS = ("trainability_cost", "nonlinear_effective_depth")


@dataclass(frozen=True)
class SearchOptions:
    """How a search goes about it.

    `batch`       proposals that are asked for, scored and stored together, at most 16,384, for all are in memory
    `objectives`  what the sampler optimizes (null: what the score is for, merit of the default score)
    `racing`      stop sampling a candidate that is certain to be dominated: by 4 standard errors of the paired difference
                  to the cheapest architecture so far that is as good in every other objective
    """

    batch: int = 64
    objectives: tuple[str, ...] | None = None
    racing: bool = False

    def __post_init__(self) -> None:
        arguments.whole("search.batch", self.batch, 1, 16_384)
        if self.objectives is not None:
            directions(self.objectives)


@dataclass(frozen=True)
class Search:
    """Everything that makes a search; `names` labels its open parts (space, score, sampler, dataset) and their options."""

    space: Space
    score: Score
    sampler: SamplerFactory
    data: Data
    names: Mapping[str, Mapping[str, Any]]
    budget: Budget = field(default_factory=Budget)
    options: SearchOptions = field(default_factory=SearchOptions)
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise InputError(f"`seed` must be a whole number in [0, 2^32), got {self.seed!r}")
        if not callable(self.space):
            raise InputError(f"`space` must be a callable trial -> Spec, got {self.space!r}")
        check_sampler(self.sampler, self.seed)
        if self.options.racing:
            racing.check(self.score, self.objectives)

    @cached_property
    def objectives(self) -> tuple[str, ...]:
        """What the sampler optimizes."""
        own: tuple[str, ...] = getattr(self.score, "objectives", OF_JACOBIANS)
        return self.options.objectives or own

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a study must share to be resumed."""
        options = {"search": {**asdict(self.options), "objectives": self.objectives}, "seed": self.seed}
        names = {**self.names, "space": self._space_names, "score": self._score_names, "dataset": self._dataset}
        return json.loads(json.dumps({**names, **options}))  # type: ignore[no-any-return]

    @cached_property
    def score_id(self) -> str:
        """Digest of all that a measurement depends on beside the architecture; `racing.score_id` where it races."""
        content = {"score": self._score_names, "dataset": self._dataset, "device": self.device.type}
        if digest := getattr(self.score, "digest", None):
            content["reference"] = digest
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def _score_names(self) -> dict[str, Any]:
        """The score's options without those that no value depends on, and the version of its formulas."""
        incidental, formulas = getattr(self.score, "incidental", ()), getattr(self.score, "formulas", None)
        options = {name: value for name, value in self.names["score"].items() if name not in incidental}
        return options if formulas is None else {**options, "formulas": formulas}

    @property
    def _space_names(self) -> dict[str, Any]:
        """The space's options without those that came later and have their defaults: studies of before go on."""
        later = getattr(self.space, "later", ())
        same = [name for name in later if getattr(self.space, name) == getattr(type(self.space), name)]
        return {name: value for name, value in self.names["space"].items() if name not in same}

    @cached_property
    def _dataset(self) -> dict[str, Any]:
        digest = hashlib.sha256(self.data.train_inputs.numpy().tobytes()).hexdigest()[:12]
        return {"name": self.names["dataset"]["name"], "inputs": digest}

    @property
    def default_name(self) -> str:
        """The study's name unless one is given."""
        parts = (str(self.names[part]["name"]).rpartition(":")[2] for part in ("space", "dataset", "sampler"))
        return "-".join((*parts, str(self.seed)))


@dataclass(frozen=True)
class Outcome:
    """How a search ended: trials stored, how many of them now, with seconds by part, and what stopped it before its budget.

    `interrupted` by a signal; `ended` by the sampler, which had nothing left to propose.
    """

    trials: int
    fresh: int
    seconds: Mapping[str, float]
    interrupted: bool
    group_size: float | None
    ended: bool


def search(store: Store, name: str, job: Search, advance: Advance, stop: Interrupted) -> Outcome:
    """Run or resume the study `name` until its budget is spent, `stop()`, or its sampler ends it; then recommend.

    Each batch is one transaction: proposals, what was measured, and the sampler's notes. An incomplete last batch (the
    budget ended inside it) is asked for again, so that a search does not depend on where it was interrupted.
    """
    study = Study(job.space, job.sampler, job.budget, directions(job.objectives), job.seed)
    loop = _Loop(store, name, job, study)
    first = loop.number
    began = time.perf_counter()
    while loop.number < job.budget.trials and not study.ended and not stop():
        if job.budget.minutes is not None and time.perf_counter() - began > 60 * job.budget.minutes:
            break
        loop.run_batch()
        advance(loop.number, loop.summary)
    recommend(store, name, job)
    return Outcome(loop.number, loop.number - first, loop.seconds, stop(), loop.group_size, study.ended)


class _Loop:
    """The state of a running search: what it has seen, and where the time goes."""

    def __init__(self, store: Store, name: str, job: Search, study: Study) -> None:
        self.store, self.name, self.job, self.study = store, name, job, study
        self.score_id = racing.score_id(job.score_id, name) if job.options.racing else job.score_id
        self.seconds = {"sampler": 0.0, "score": 0.0, "store": 0.0}
        self._groups: list[int] = []
        with self._timed("store"):
            rows = store.trials(name)
            if rows and len(rows) < job.budget.trials:
                last = rows[-1].batch
                if sum(row.batch == last for row in rows) < job.options.batch:
                    rows = [row for row in rows if row.batch < last]
            notes = store.notes(name, before=rows[-1].batch + 1 if rows else 0)
        with self._timed("sampler"):
            study.replay(rows, notes)
        self.number, self.batch = len(rows), rows[-1].batch + 1 if rows else 0
        self.told = {store.today(str(row.architecture_key)): row for row in rows if row.is_lasting}

    @property
    def summary(self) -> str:
        """The best value of the first objective so far."""
        name, *_ = self.job.objectives
        values = [row.objectives[name] for row in self.told.values() if name in row.objectives]
        least = directions([name]) == ["minimize"]
        return f"{'least' if least else 'most'} {name} {(min if least else max)(values):.3f}" if values else ""

    @property
    def group_size(self) -> float | None:
        """Mean number of architectures measured by one call of the score."""
        return sum(self._groups) / len(self._groups) if self._groups else None

    def run_batch(self) -> None:
        with self._timed("sampler"):
            proposals = self.study.ask(self.batch, self.job.options.batch)
            proposals = proposals[: self.job.budget.trials - self.number]
        fresh = {p.spec.key: p for p in proposals if p.feasible and p.spec.key not in self.told}
        with self._timed("store"):
            known = self.store.reusable(list(fresh), self.score_id)
        with self._timed("score"):
            unknown = [p for key, p in fresh.items() if key not in known]
            measured = self._measure(unknown) if unknown else []
        with self._timed("sampler"):
            found = known | {measurement.key: measurement for measurement in measured}
            rows = [self._settle(p, self.number + i, found) for i, p in enumerate(proposals)]
            notes = self.study.take_notes()
        with self._timed("store"):
            architectures = architecture_rows([p.spec for p in proposals], [p.facts for p in proposals])
            architectures += pattern_rows(measured)
            found_now = with_patterns(measured)
            self.store.record_batch(
                self.name, self.batch, rows, architectures, found_now, self.job.score.name, self.score_id, notes
            )
        self.number, self.batch = self.number + len(rows), self.batch + 1

    def _measure(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        self._groups.append(len(proposals))
        job, specs = self.job, [proposal.spec for proposal in proposals]
        if not job.options.racing:
            return job.score(specs, job.data.train_inputs, job.device)
        rivals = racing.rivals(self.store, proposals, list(self.told.values()), job.objectives)
        return job.score(specs, job.data.train_inputs, job.device, rivals=rivals)  # type: ignore[call-arg]

    def _settle(self, proposal: Proposal, number: int, found: Mapping[str, Measurement]) -> TrialRow:
        """Tell the sampler, and the row to store."""
        key = proposal.spec.key
        shown = self.told.get(key)
        values, kept, reason, state, status = None, None, None, "infeasible", None
        if not proposal.feasible:
            broken = [name for name, violation in proposal.constraints.items() if violation > 0]
            reason = f"{' and '.join(broken)} not kept in {TRIES + 1} proposals"
        elif shown is not None:
            values, kept, reason, state = dict(shown.objectives) or None, shown.kept_key, shown.reason, "duplicate"
        else:
            values, reason = objective_values(self.job.objectives, found[key], proposal.facts)
            kept, state, status = found[key].kept_key, "complete" if values else "failed", found[key].status
        columns = self.study.tell(proposal, values)
        row = TrialRow(
            self.name,
            number,
            self.batch,
            state,  # type: ignore[arg-type]
            architecture_key=key,
            kept_key=kept,
            reason=reason,
            status=status,
            **columns,
        )
        if row.is_lasting:
            self.told[key] = row
        return row

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - began


def objective_values(
    names: Sequence[str], measurement: Measurement, known: Facts
) -> tuple[dict[str, float] | None, str | None]:
    """The objectives by name, or None and the reason why there are none."""
    if measurement.status != "ok":
        return None, f"{measurement.status}: {measurement.reason}"
    values = {name: OBJECTIVES[name].value(measurement.terms, known) for name in names}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        return None, f"the score gives no {missing[0]}"
    return {name: float(value) for name, value in values.items() if value is not None}, None


def recommend(store: Store, name: str, job: Search) -> None:
    """Store the knee of the study's front, if there is one; objectives whose ratios matter enter by their logarithm.

    The cost is in nats already, so both axes are: a doubled depth is worth the same anywhere.
    """
    names = job.objectives
    keys, values = standings(store, name, names)
    if keys:
        index, reason = knee(values, directions(names), names, [OBJECTIVES[objective].is_ratio for objective in names])
        store.recommend(name, keys[index], reason)
