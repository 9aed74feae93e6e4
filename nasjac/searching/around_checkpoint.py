"""What a search around a checkpoint leaves: the recommended network as a checkpoint, and all trials beside it.

Cost against depth: either alone is best where nothing or everything goes, and the FLOPs are the budget.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nasjac.architecture.measurement import Measurement
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
    `figures`   numbers or None: terms with their errors, growth sum, depth and seconds; of those that are looked at closely
                also accuracy and loss on the validation split, and parameters
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
    objectives: Mapping[str, float] | None
    figures: Mapping[str, Any]

    def cells(self, names: Sequence[str]) -> list[Any]:
        """Its figures of these names in a row of a table; None for those that it does not have."""
        known = {**vars(self), **self.figures}
        found = [known.get(name) for name in names]
        return [" ".join(map(str, value)) if isinstance(value, list) else value for value in found]


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

    def to_json(self, indent: int | None = None) -> str:
        """The text of search.json."""
        job, old = self.job, self.job.space.old
        content = {
            "study": self.study,
            "checkpoint": self.checkpoint,
            "out": str(self.out),
            **vars(old.provenance),
            "kind": old.spec.kind,
            "key": {"before": old.spec.key, "after": self.recommended.key},
            "objectives": list(job.objectives),
            "seed": job.seed,
            "budget": {**asdict(job.budget), "min_effective_depth": None},
            "options": asdict(job.warm),
            "trials": len(self.trials),
            "states": self.states,
            "interrupted": False,
            "before": self.before,
            "front": list(self.front),
            "recommended": self.recommended,
            "reason": self.reason,
        }
        return json.dumps(content, indent=indent, allow_nan=False, default=_plain)

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
        rows = [["before", *self.before.cells(names)], *([trial.number, *trial.cells(names)] for trial in self.front)]
        best, accuracies = self.recommended, [trial.figures["accuracy"] for trial in (self.before, self.recommended)]
        told = [
            ("trials", f"{len(self.trials)} ({', '.join(f'{count} {state}' for state, count in self.states.items())})"),
            ("recommended", f"trial {best.number}: {self.reason}"),
            *zip(
                ("pruned", "inserted after"),
                (blocks or "none" for blocks in best.cells(("pruned", "inserted"))),
                strict=True,
            ),
            ("accuracy", "{:.6g} -> {:.6g}, without further training".format(*accuracies)),
        ]
        return f"{as_table(('trial', *names), rows)}\n{shown(told)}\n\n{EFFECTIVE_DEPTH}\nCheckpoint: {self.out}"


def summarize(store: Store, study: str, job: WarmSearch, folder: str | Path, out: str | Path) -> WarmSummary:
    """Judge what a finished search around the checkpoint in `folder` has found, and write the knee's network into `out`.

    Raises:
        InputError: There is something in `out`, or no network keeps budget and growth rule, or has terms.
    """
    target = check_out(out)
    trials = list(_trials(store, study, job))
    complete = [trial for trial in trials if trial.state == "complete"]
    if not complete:
        reasons = [str(trial.reason) for trial in trials]
        most = max(set(reasons), key=reasons.count) if reasons else "stopped before the first"
        raise InputError(f"`budget` must leave a network to recommend, got none in {len(reasons)} trials: {most}")
    values = [list((trial.objectives or {}).values()) for trial in complete]
    index, reason = knee_of(values, job.objectives)
    front = [_judged(job, complete[n]) for n in pareto_front(values, directions(job.objectives))]
    best = next(trial for trial in front if trial.number == complete[index].number)
    before = _of_checkpoint(job)
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
            objectives=row.objectives or None,
            figures={**told.system_attrs.get(NOTES, {}), **_terms(_measurement(store, told))},
        )


def _measurement(store: Store, row: TrialRow) -> Measurement | None:
    found = store.measurements([str(row.architecture_key)], str(row.score_id), profile=False)
    return next(iter(found.values()), None)


def _terms(found: Measurement | None) -> dict[str, float | None]:
    """Each term with its standard error behind it."""
    terms = {name: found.terms[name] for name in TERMS} if found else {}
    values = {name: (term.value, term.standard_error) for name, term in terms.items()}
    return {
        label: value for name, pair in values.items() for label, value in zip((name, f"{name}_error"), pair, strict=True)
    }


def _of_checkpoint(job: WarmSearch) -> WarmTrial:
    """The checkpoint as it is, measured like a trial, with its accuracy and loss."""
    known, old = job.examine({}), job.space.old
    verdict = job.verdict({}, known)
    figures = {**known.notes, **worth(old.module, old.data)._asdict(), **_terms(known.measurement)}
    sizes = (known.facts.flops, known.facts.params)
    return WarmTrial(None, verdict.state, verdict.reason, known.key, {}, [], [], *sizes, verdict.objectives, figures)


def _judged(job: WarmSearch, trial: WarmTrial) -> WarmTrial:
    """With accuracy and loss on the validation split."""
    module = job.space.network(trial.choices).module(*job.space.old.sizes).eval()
    found = {**worth(module, job.data)._asdict(), "parameters": size(module)}
    return replace(trial, figures={**trial.figures, **found})


def _write(summary: WarmSummary) -> None:
    job, best = summary.job, summary.recommended
    found, old = job.space.network(best.choices), job.space.old
    note = {"checkpoint": summary.checkpoint, "seed": job.seed, "options": asdict(job.warm), "reason": summary.reason}
    searched = {**note, "pruned": best.pruned, "inserted": best.inserted}
    files = {
        "search.json": (summary.to_json(indent=1) + "\n").encode(),
        "trials.csv": as_csv(COLUMNS, [trial.cells(COLUMNS) for trial in summary.trials]).encode(),
    }
    new = old.changed(found.spec, found.module(*old.sizes))
    checkpoint.place(summary.out, {**new.files({"searched": searched}, found.state), **files}, "out")


def _plain(trial: WarmTrial) -> object:
    """A trial as JSON has it; the checkpoint itself has no number."""
    content = {**vars(trial), **trial.figures}
    return {name: value for name, value in content.items() if name != "figures" and (name, value) != ("number", None)}
