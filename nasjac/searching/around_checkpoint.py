"""search from a checkpoint: which branches of a trained network go and where blocks come, scored at its weights.

The terms are those of the sampled score, with the weights fixed and a pair of data points in the place of a draw; depth is
by the branches' energies at the data. No closed form enters, for after training branches are not independent.

Cost against depth: either alone is best where nothing or everything goes, and the FLOPs are the budget.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nasjac.foundation.console import Advance
from nasjac.foundation.errors import InputError
from nasjac.foundation.interrupts import Interrupted
from nasjac.foundation.text_tables import as_csv
from nasjac.foundation.text_tables import as_text as as_table
from nasjac.mathematics.pareto import knee, pareto_front
from nasjac.reporting.wording import EFFECTIVE_DEPTH
from nasjac.searching.objectives import OBJECTIVES, directions
from nasjac.searching.study import TRIES, Proposal, Study
from nasjac.searching.warm_search import TERMS, Row, WarmSearch
from nasjac.searching.warm_space import Choices, WarmSpace
from nasjac.store.checkpoints import checkpoint
from nasjac.surgery.trained import check_out, shown, size, worth


class _Loop:
    """The trials so far; each network is measured once."""

    def __init__(self, job: WarmSearch) -> None:
        self.job, self.rows = job, list[Row]()
        self.study = Study(job.space, job.sampler, job.bounds, directions(job.objectives), job.seed)
        self.seen: dict[tuple[tuple[str, Any], ...], Row] = {}

    def run(self, advance: Advance, stop: Interrupted) -> None:
        """Until the budget is spent, the sampler ends it, or a signal."""
        began, budget, batch = time.perf_counter(), self.job.budget, 0
        while len(self.rows) < budget.trials and not self.study.ended:
            for proposal in self.study.ask(batch, self.job.batch)[: budget.trials - len(self.rows)]:
                if stop() or (budget.minutes is not None and time.perf_counter() - began > 60 * budget.minutes):
                    return
                self.rows.append({"number": len(self.rows), **self._settled(proposal)})
                advance(len(self.rows), self._best)
            batch += 1

    def _settled(self, proposal: Proposal) -> Row:
        choices = dict(proposal.trial.params)
        identity = tuple(sorted(choices.items()))
        if not proposal.feasible:
            broken = [name for name, violation in proposal.constraints.items() if violation > 0]
            known = {"key": proposal.spec.key, "flops": proposal.facts.flops, "params": proposal.facts.params}
            told = f"{' and '.join(broken)} not kept in {TRIES + 1} proposals"
            row: Row = {**known, "state": "infeasible", "reason": told}
        elif identity in self.seen:
            row = {**self.seen[identity], "state": "duplicate"}
        else:
            row = self.seen[identity] = self.job.measure(choices)
        self.study.tell(proposal, row.get("objectives"))
        return {**row, **chosen(self.job.space, choices)}

    @property
    def _best(self) -> str:
        costs = [row["trainability_cost"] for row in self.rows if row["state"] == "complete"]
        return f"least trainability_cost {min(costs):.3f}" if costs else ""


def chosen(space: WarmSpace, choices: Choices) -> Row:
    """What the choices are, for people and programs."""
    return {"pruned": space.gone(choices), "inserted": space.added(choices), "choices": dict(choices)}


def search_from(
    folder: str | Path, job: WarmSearch, out: str | Path, advance: Advance, stop: Interrupted
) -> dict[str, Any]:
    """Search around the checkpoint that was in `folder`, and write the knee's network into `out` with all trials beside it.

    The summary, for JSON. ValueError, with nothing written: no network keeps budget and growth rule, or has terms.
    """
    target, old = check_out(out), job.space.old
    before = {**job.measure({}), **chosen(job.space, {}), **worth(old.module, old.data)}
    loop = _Loop(job)
    loop.run(advance, stop)
    complete = [row for row in loop.rows if row["state"] == "complete"]
    if not complete:
        reasons = [row["reason"] for row in loop.rows]
        most = max(set(reasons), key=reasons.count) if reasons else "stopped before the first"
        raise InputError(f"`budget` must leave a network to recommend, got none in {len(reasons)} trials: {most}")
    values, ways = [list(row["objectives"].values()) for row in complete], directions(job.objectives)
    index, reason = knee(values, ways, job.objectives, [OBJECTIVES[name].is_ratio for name in job.objectives])
    front = [_judged(job, complete[n]) for n in pareto_front(values, ways)]
    best = next(row for row in front if row["number"] == complete[index]["number"])
    states = [row["state"] for row in loop.rows]
    summary = {
        "checkpoint": str(folder),
        "out": str(target),
        **old.on_data,
        "kind": old.spec.kind,
        "key": {"before": old.spec.key, "after": best["key"]},
        "objectives": list(job.objectives),
        "seed": job.seed,
        "budget": {**asdict(job.budget), "max_flops": job.bounds.max_flops, "min_effective_depth": None},
        "options": asdict(job.options),
        "trials": len(loop.rows),
        "states": {state: states.count(state) for state in dict.fromkeys(states)},
        "interrupted": stop(),
        "before": before,
        "front": front,
        "recommended": best,
        "reason": reason,
    }
    _write(job, best, summary, loop.rows, target)
    return summary


def _judged(job: WarmSearch, row: Row) -> Row:
    """With accuracy and loss on the validation split."""
    module = job.space.network(row["choices"]).module(*job.space.old.sizes).eval()
    return {**row, **worth(module, job.space.old.data), "parameters": size(module)}


def _write(job: WarmSearch, best: Row, summary: Mapping[str, Any], rows: Sequence[Row], target: Path) -> None:
    found = job.space.network(best["choices"])
    note = {name: summary[name] for name in ("checkpoint", "seed", "options", "reason")}
    old = job.space.old
    info = {**old.changed_info, "accuracy": best["accuracy"], "loss": best["loss"], "key": best["key"]}
    searched = {**note, **{name: best[name] for name in ("pruned", "inserted")}}
    files = {
        "search.json": (json.dumps(summary, indent=1, allow_nan=False) + "\n").encode(),
        "trials.csv": as_csv(COLUMNS, [[_flat(row.get(name)) for name in COLUMNS] for row in rows]).encode(),
    }
    checkpoint.save(target, found.spec, found.state, {**info, "searched": searched}, files, "out")


COLUMNS = (
    "number", "state", "reason", "key", "pruned", "inserted", "flops", "params", "effective_depth", "growth_sum",
    *(name + suffix for name in TERMS for suffix in ("", "_error")), "seconds",
)  # fmt: skip


def _flat(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def as_text(summary: Mapping[str, Any]) -> str:
    """The front, what is recommended and why, and where its checkpoint is."""
    names = ("trainability_cost", "trainability_cost_error", "effective_depth", "flops", "accuracy", "pruned", "inserted")
    rows = [("before", summary["before"]), *((row["number"], row) for row in summary["front"])]
    cells = [[label, *(_flat(row.get(name)) for name in names)] for label, row in rows]
    best, states = summary["recommended"], summary["states"]
    told = [
        ("trials", f"{summary['trials']} ({', '.join(f'{count} {state}' for state, count in states.items())})"),
        ("recommended", f"trial {best['number']}: {summary['reason']}"),
        ("pruned", _flat(best["pruned"]) or "none"),
        ("inserted after", _flat(best["inserted"]) or "none"),
        ("accuracy", f"{summary['before']['accuracy']:.6g} -> {best['accuracy']:.6g}, without further training"),
    ]
    return f"{as_table(('trial', *names), cells)}\n{shown(told)}\n\n{EFFECTIVE_DEPTH}\nCheckpoint: {summary['out']}"
