"""What a search around a checkpoint leaves: the recommended network as a checkpoint, and all trials beside it.

Cost against depth: either alone is best where nothing or everything goes, and the FLOPs are the budget.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nasjac.architecture.measurement import Estimate
from nasjac.foundation.errors import InputError
from nasjac.foundation.text_tables import as_csv
from nasjac.foundation.text_tables import as_text as as_table
from nasjac.mathematics.pareto import pareto_front
from nasjac.reporting.wording import EFFECTIVE_DEPTH
from nasjac.searching.loop import NOTES
from nasjac.searching.objectives import directions, knee_of
from nasjac.searching.warm_search import TERMS, WarmSearch
from nasjac.searching.warm_space import Choices
from nasjac.store import Store
from nasjac.store.checkpoints import checkpoint
from nasjac.store.rows import TrialRow
from nasjac.surgery.results import shown
from nasjac.surgery.trained import check_out, size, worth

COLUMNS = (
    "number", "state", "reason", "key", "pruned", "inserted", "flops", "params", "effective_depth", "growth_sum",
    *(name + suffix for name in TERMS for suffix in ("", "_error")), "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class WarmTrial:
    """One trial around a checkpoint; a duplicate has the figures of the trial that it repeats.

    `number`    None: the checkpoint itself
    `pruned`    blocks of the checkpoint whose branches go
    `inserted`  behind how many of its blocks a new one comes, an entry each
    `worth`     accuracy and loss on the validation split, and parameters, of those that are looked at closely
    """

    number: int | None
    state: str
    reason: str | None
    key: str
    choices: Choices
    pruned: Sequence[int]
    inserted: Sequence[int]
    flops: int | None
    params: int | None
    objectives: Mapping[str, float]
    terms: Mapping[str, Estimate]
    notes: Mapping[str, float | None]
    worth: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Its figures by the names of `COLUMNS`, choices, objectives and worth."""
        content = {name: value for name, value in vars(self).items() if name not in ("terms", "notes", "worth")}
        content |= {"choices": dict(self.choices), "objectives": dict(self.objectives) or None, **self.notes, **self.worth}
        for name, term in self.terms.items():
            content |= {name: term.value, f"{name}_error": term.standard_error}
        return content if self.number is not None else {k: v for k, v in content.items() if k != "number"}


@dataclass(frozen=True)
class WarmSummary:
    """What a search around a checkpoint has found; `out` is the folder of the recommended network."""

    study: str
    checkpoint: str
    out: Path
    job: WarmSearch
    before: WarmTrial
    trials: Sequence[WarmTrial]
    front: Sequence[WarmTrial]
    recommended: WarmTrial
    reason: str

    @property
    def states(self) -> dict[str, int]:
        """How many trials ended in which state, in order of appearance."""
        states = [trial.state for trial in self.trials]
        return {state: states.count(state) for state in dict.fromkeys(states)}

    def to_json(self) -> dict[str, Any]:
        """The content of search.json."""
        job, old = self.job, self.job.space.old
        return {
            "study": self.study,
            "checkpoint": self.checkpoint,
            "out": str(self.out),
            **old.on_data,
            "kind": old.spec.kind,
            "key": {"before": old.spec.key, "after": self.recommended.key},
            "objectives": list(job.objectives),
            "seed": job.seed,
            "budget": {**asdict(job.budget), "min_effective_depth": None},
            "options": asdict(job.warm),
            "trials": len(self.trials),
            "states": self.states,
            "interrupted": False,
            "before": self.before.to_json(),
            "front": [trial.to_json() for trial in self.front],
            "recommended": self.recommended.to_json(),
            "reason": self.reason,
        }

    def as_text(self) -> str:
        """The front, what is recommended and why, and where its checkpoint is."""
        names = (
            "trainability_cost",
            "trainability_cost_error",
            "effective_depth",
            "flops",
            "accuracy",
            "pruned",
            "inserted",
        )
        rows = [("before", self.before), *((trial.number, trial) for trial in self.front)]
        cells = [[label, *(_flat(trial.to_json().get(name)) for name in names)] for label, trial in rows]
        best, before = self.recommended, self.before
        told = [
            ("trials", f"{len(self.trials)} ({', '.join(f'{count} {state}' for state, count in self.states.items())})"),
            ("recommended", f"trial {best.number}: {self.reason}"),
            ("pruned", _flat(best.pruned) or "none"),
            ("inserted after", _flat(best.inserted) or "none"),
            ("accuracy", f"{before.worth['accuracy']:.6g} -> {best.worth['accuracy']:.6g}, without further training"),
        ]
        return f"{as_table(('trial', *names), cells)}\n{shown(told)}\n\n{EFFECTIVE_DEPTH}\nCheckpoint: {self.out}"


def summarize(store: Store, study: str, job: WarmSearch, folder: str | Path, out: str | Path) -> WarmSummary:
    """Judge what a finished search around the checkpoint in `folder` has found, and write the knee's network into `out`.

    Raises:
        InputError: There is something in `out`, or no network keeps budget and growth rule, or has terms.
    """
    target, old = check_out(out), job.space.old
    trials = list(_trials(store, study, job))
    complete = [trial for trial in trials if trial.state == "complete"]
    if not complete:
        reasons = [str(trial.reason) for trial in trials]
        most = max(set(reasons), key=reasons.count) if reasons else "stopped before the first"
        raise InputError(f"`budget` must leave a network to recommend, got none in {len(reasons)} trials: {most}")
    values = [list(trial.objectives.values()) for trial in complete]
    index, reason = knee_of(values, job.objectives)
    front = [_judged(job, complete[n]) for n in pareto_front(values, directions(job.objectives))]
    best = next(trial for trial in front if trial.number == complete[index].number)
    before = replace(_of_checkpoint(job), worth=worth(old.module, old.data)._asdict())
    summary = WarmSummary(study, str(folder), target, job, before, trials, front, best, reason)
    _write(summary)
    return summary


def _trials(store: Store, study: str, job: WarmSearch) -> Iterator[WarmTrial]:
    rows = store.trials(study)
    first = {job.token("", row.choices): row for row in reversed(rows) if row.is_lasting}
    known = store.architectures([str(row.architecture_key) for row in rows])
    for row in rows:
        told = first.get(job.token("", row.choices), row)
        fact = known[str(row.architecture_key)]
        yield WarmTrial(
            number=row.number,
            state=row.state,
            reason=row.reason,
            key=store.today(fact.key),
            choices=row.choices,
            pruned=job.space.gone(row.choices),
            inserted=job.space.added(row.choices),
            flops=fact.flops,
            params=fact.params,
            objectives=row.objectives,
            terms=_terms(store, told),
            notes=told.system_attrs.get(NOTES, {}),
        )


def _terms(store: Store, row: TrialRow) -> dict[str, Estimate]:
    found = store.measurements([str(row.architecture_key)], str(row.score_id), profile=False)
    return {name: item.terms[name] for item in found.values() for name in TERMS}


def _of_checkpoint(job: WarmSearch) -> WarmTrial:
    """The checkpoint as it is, measured like a trial."""
    known = job.examine({})
    verdict = job.verdict({}, known)
    terms = {name: known.measurement.terms[name] for name in TERMS} if known.measurement else {}
    about = (None, verdict.state, verdict.reason, known.key)
    sizes = (known.facts.flops, known.facts.params)
    return WarmTrial(*about, {}, [], [], *sizes, verdict.objectives or {}, terms, known.notes)


def _judged(job: WarmSearch, trial: WarmTrial) -> WarmTrial:
    """With accuracy and loss on the validation split."""
    module = job.space.network(trial.choices).module(*job.space.old.sizes).eval()
    return replace(trial, worth={**worth(module, job.space.old.data)._asdict(), "parameters": size(module)})


def _write(summary: WarmSummary) -> None:
    job, best = summary.job, summary.recommended
    found, content = job.space.network(best.choices), summary.to_json()
    note = {name: content[name] for name in ("checkpoint", "seed", "options", "reason")}
    info = {**job.space.old.changed_info, **{name: best.worth[name] for name in ("accuracy", "loss")}, "key": best.key}
    rows = [trial.to_json() for trial in summary.trials]
    files = {
        "search.json": (json.dumps(content, indent=1, allow_nan=False) + "\n").encode(),
        "trials.csv": as_csv(COLUMNS, [[_flat(row.get(name)) for name in COLUMNS] for row in rows]).encode(),
    }
    searched = {**note, "pruned": best.pruned, "inserted": best.inserted}
    checkpoint.save(summary.out, found.spec, found.state, {**info, "searched": searched}, files, "out")


def _flat(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value
