"""racing: which architecture of a study each candidate must not be certainly worse than."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from nasjac.architecture.measurement import TERMS
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.scores import Score
from nasjac.searching.objectives import COST, OBJECTIVES, directions
from nasjac.searching.study import Proposal
from nasjac.store import Store
from nasjac.store.former import stored_spec
from nasjac.store.rows import TrialRow


def check(score: Score, objectives: Sequence[str]) -> None:
    """InputError unless the score can race and its objective is among those of the search."""
    if not score.races:
        raise InputError(f"`search.racing` must be false for a score that does not sample, got true with {score.name}")
    if COST not in objectives or score.objective != COST:
        raise InputError(f"`search.racing` must be false unless {COST} is sampled and an objective, got true")
    if other := next((name for name in objectives if name != COST and name in TERMS), None):
        raise InputError(f"`search.racing` must be false unless {COST} is the only term among the objectives, got {other}")


def rivals(
    store: Store, proposals: Sequence[Proposal], told: Collection[TrialRow], objectives: Sequence[str]
) -> list[Spec | None]:
    """For each proposal the cheapest architecture so far that is at least as good in every other objective, if any."""
    rows = [row for row in told if row.objectives]
    if not rows:
        return [None] * len(proposals)
    others = [name for name in objectives if name != COST]
    signs = [1 if way == "maximize" else -1 for way in directions(others)] if others else []
    costs = np.array([row.objectives[COST] for row in rows])
    seen = np.array([[sign * row.objectives[name] for sign, name in zip(signs, others, strict=True)] for row in rows])
    keys: list[str | None] = []
    for proposal in proposals:
        facts = [OBJECTIVES[name].value({}, proposal.facts) for name in others]  # known without measuring
        assert None not in facts, "every objective of a complete trial has a value"
        own = np.multiply(signs, np.array(facts, dtype=float))
        better = np.flatnonzero((seen.reshape(len(rows), -1) >= own).all(axis=1))
        keys.append(rows[better[costs[better].argmin()]].architecture_key if len(better) else None)
    stored = store.architectures([key for key in keys if key is not None])
    return [None if key is None else stored_spec(stored[key]) for key in keys]
