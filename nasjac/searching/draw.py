"""Random architectures of a search's space: drawn fresh, scored and stored, for validation beside the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import optuna

from nasjac.searching.objectives import directions
from nasjac.searching.scored import scored_rows
from nasjac.searching.search import Search
from nasjac.searching.study import Proposal, Study, derived_seed
from nasjac.store import Store

#: batches of random proposals to look through for validation, and how many of them in a row may bring nothing new
DRAW_BATCHES, IDLE_BATCHES = 200, 20


def draw(store: Store, job: Search, seed: int, count: int, params: int | None) -> list[str]:
    """Keys of `count` different architectures drawn at random from the space under the search's constraints.

    With `params` they also have that many parameters, within the budget's band. They are scored and stored. There are
    fewer if `DRAW_BATCHES` batches of proposals hold no more, or `IDLE_BATCHES` in a row bring nothing new.
    """
    budget = job.budget if params is None else replace(job.budget, params=params, counts="blocks")
    space, wanted = job.space_at(budget), directions(job.objectives)
    study = Study(space, optuna.samplers.RandomSampler, budget, wanted, derived_seed(job.seed, seed), job.outside)
    found: dict[str, Proposal] = {}
    idle = 0
    for batch in range(DRAW_BATCHES):
        if len(found) >= count or idle >= IDLE_BATCHES:
            break
        before = len(found)
        proposals = study.ask(batch, max(count, 8))
        found |= {proposal.spec.key: proposal for proposal in proposals if proposal.feasible}
        idle = 0 if len(found) > before else idle + 1
    return _score_drawn(store, job, list(found.values())[:count])


def _score_drawn(store: Store, job: Search, proposals: Sequence[Proposal]) -> list[str]:
    specs = {proposal.spec.key: proposal.spec for proposal in proposals}
    known = store.reusable(list(specs), job.score_id)
    fresh = [spec for key, spec in specs.items() if key not in known]
    measured = job.score.measure(fresh, job.data.train_inputs, job.device) if fresh else []
    store.record_scored(
        *scored_rows([p.spec for p in proposals], [p.facts for p in proposals], measured), job.score.name, job.score_id
    )
    everything = known | {measurement.key: measurement for measurement in measured}
    return [store.stored_key(kept) for key in specs if (kept := everything[key].kept_key) is not None]
