"""The loop of every search: proposals are asked for, measured, told and stored, a batch at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from nasjac.foundation.console import Advance
from nasjac.foundation.interrupts import Interrupted
from nasjac.searching.job import Job, Verdict
from nasjac.searching.objectives import directions
from nasjac.searching.scored import scored_rows
from nasjac.searching.study import TRIES, Proposal, Study
from nasjac.store import Store
from nasjac.store.rows import TrialRow

#: under which name a trial's system attributes keep the numbers of its verdict
NOTES = "nasjac:notes"


@dataclass(frozen=True)
class Outcome:
    """How a search ended.

    `trials`       stored by now, `fresh` of them by this call
    `seconds`      by part: sampler, score, store
    `group_size`   mean number of networks measured together; None where none was
    `interrupted`  a signal stopped it
    `ended`        the sampler stopped it: it had nothing left to propose
    """

    trials: int
    fresh: int
    seconds: Mapping[str, float]
    interrupted: bool
    group_size: float | None
    ended: bool


def run(store: Store, name: str, job: Job, advance: Advance, stop: Interrupted) -> Outcome:
    """Run or resume the study `name` until its budget is spent, `stop()`, or its sampler ends it; then recommend.

    Each batch is one transaction: proposals, what was measured, and the sampler's notes. An incomplete last batch (the
    budget or a signal ended inside it) is asked for again, so that a search does not depend on where it was interrupted.

    Args:
        store: Where the study is, opened by `Store.open_study`.
        name: Of the study.
        job: What is searched.
        advance: Is told how many trials there are, after each batch.
        stop: Is asked between batches, and between networks that are measured one after another.

    Returns:
        How it ended.

    Raises:
        InputError: The sampler refuses the space, or another process has written to the study.
    """
    study = Study(job.space, job.sampler, job.budget, directions(job.objectives), job.seed, job.outside)
    loop = _Loop(store, name, job, study)
    first, began, minutes = loop.number, time.perf_counter(), job.budget.minutes

    def over() -> bool:
        return stop() or (minutes is not None and time.perf_counter() - began > 60 * minutes)

    while loop.number < job.budget.trials and not study.ended and not over():
        loop.run_batch(over)
        advance(loop.number, loop.summary)
    job.recommend(store, name)
    return Outcome(loop.number, loop.number - first, loop.seconds, stop(), loop.group_size, study.ended)


class _Loop:
    """The state of a running search: what it has seen, and where the time goes."""

    def __init__(self, store: Store, name: str, job: Job, study: Study) -> None:
        self.store, self.name, self.job, self.study = store, name, job, study
        self.score_id = job.score_id_in(name)
        self.seconds = {"sampler": 0.0, "score": 0.0, "store": 0.0}
        self._groups: list[int] = []
        with self._timed("store"):
            rows = stored = store.trials(name)
            if rows and len(rows) < job.budget.trials:
                last = rows[-1].batch
                if sum(row.batch == last for row in rows) < job.options.batch:
                    rows = [row for row in rows if row.batch < last]
            notes = store.notes(name, before=rows[-1].batch + 1 if rows else 0)
        with self._timed("sampler"):
            study.replay(rows, notes)
        self.number, self.batch = len(rows), rows[-1].batch + 1 if rows else 0
        self.told = {self._token_of(row): row for row in rows if row.is_lasting}
        #: of the incomplete batch, which is asked for again and need not be measured again
        self._asked_before = {self._token_of(row): row for row in stored[len(rows) :] if row.is_lasting}

    @property
    def summary(self) -> str:
        """The best value of the first objective so far."""
        name, *_ = self.job.objectives
        values = [row.objectives[name] for row in self.told.values() if name in row.objectives]
        least = directions([name]) == ["minimize"]
        return f"{'least' if least else 'most'} {name} {(min if least else max)(values):.3f}" if values else ""

    @property
    def group_size(self) -> float | None:
        """Mean number of networks measured together."""
        return sum(self._groups) / len(self._groups) if self._groups else None

    def run_batch(self, over: Callable[[], bool]) -> None:
        """Store a batch; one that ends early, because it is `over`, with the trials that are settled by then."""
        with self._timed("sampler"):
            proposals = self.study.ask(self.batch, self.job.options.batch)
            proposals = proposals[: self.job.budget.trials - self.number]
        with self._timed("score"):
            found = self._verdicts(proposals, over)
        tokens = [self._token(p) if p.feasible else None for p in proposals]
        left = (n for n, token in enumerate(tokens) if token not in self.told and token not in found and token is not None)
        proposals = proposals[: next(left, len(proposals))]
        if not proposals:
            return
        with self._timed("sampler"):
            rows = [self._settle(p, self.number + i, found) for i, p in enumerate(proposals)]
            notes = self.study.take_notes()
        with self._timed("store"):
            fresh = [(verdict.score_id, verdict.measured) for verdict in found.values() if verdict.measured]
            measured = [item for score_id, item in fresh if score_id == self.score_id]
            apart = {score_id: item for score_id, item in fresh if score_id != self.score_id}
            content = (
                *scored_rows([p.spec for p in proposals], [p.facts for p in proposals], measured),
                self.job.score_name,
                self.score_id,
            )
            self.store.record_batch(self.name, self.batch, rows, *content, notes, apart=apart)
        self.number, self.batch = self.number + len(rows), self.batch + 1

    def _verdicts(self, proposals: list[Proposal], over: Callable[[], bool]) -> dict[Hashable, Verdict]:
        """What is said of each network of the batch that no trial has settled, as far as it goes before it is `over`."""
        fresh = {self._token(p): p for p in proposals if p.feasible and self._token(p) not in self.told}
        found = {token: _again(row) for token, row in self._asked_before.items() if token in fresh}
        fresh = {token: proposal for token, proposal in fresh.items() if token not in found}
        told = list(self.told.values())
        now = dict(zip(fresh, self.job.measure(self.store, self.name, list(fresh.values()), told, over), strict=False))
        if count := sum(verdict.measured is not None for verdict in now.values()):
            self._groups.append(count)
        return found | now

    def _settle(self, proposal: Proposal, number: int, found: Mapping[Hashable, Verdict]) -> TrialRow:
        """Tell the sampler, and return the row to store."""
        token = self._token(proposal)
        if not proposal.feasible:
            broken = [name for name, violation in proposal.constraints.items() if violation > 0]
            reason = f"{' and '.join(broken)} not kept in {TRIES + 1} proposals"
            verdict = Verdict("infeasible", None, reason, self.score_id)
        elif (shown := self.told.get(token)) is not None:
            values = dict(shown.objectives) or None
            verdict = Verdict("duplicate", values, shown.reason, shown.score_id or self.score_id, shown.kept_key)
        else:
            verdict = found[token]
        row = TrialRow(
            self.name,
            number,
            self.batch,
            verdict.state,
            asked=0,  # the study says when
            architecture_key=proposal.spec.key,
            kept_key=verdict.kept_key,
            objectives=dict(verdict.objectives or {}),
            system_attrs={NOTES: dict(verdict.notes)} if verdict.notes else {},
            reason=verdict.reason,
            status=verdict.status,
            score_id=verdict.score_id,
        )
        row = self.study.tell(proposal, row)
        if row.is_lasting:
            self.told[token] = row
        return row

    def _token(self, proposal: Proposal) -> Hashable:
        return self.job.token(proposal.spec.key, proposal.trial.params)

    def _token_of(self, row: TrialRow) -> Hashable:
        return self.job.token(self.store.today(str(row.architecture_key)), row.choices)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - began


def _again(row: TrialRow) -> Verdict:
    """The verdict that a stored trial keeps."""
    notes = row.system_attrs.get(NOTES, {})
    return Verdict(
        row.state, dict(row.objectives) or None, row.reason, str(row.score_id), row.kept_key, row.status, None, notes
    )
