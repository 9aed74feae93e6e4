"""What a study has found: every figure of its report in one plain dictionary. Not finite is None throughout."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nasjac.mathematics.pareto import pareto_front
from nasjac.reporting.wording import BASELINES, COST
from nasjac.searching.agreement import best_quarter, ceiling, compare, rivals
from nasjac.searching.validated import Pick, Protocol
from nasjac.store.rows import StudyRow

ROLES = ("front", "random", "matched")


@dataclass(frozen=True)
class Evidence:
    """What the store knows of a study.

    `objectives`  {name: "minimize" or "maximize"}; the first one is the predictor
    `outcomes`    {state, reason, trials} of its trials
    `rows`        the leaderboard, the best predictor first
    `runs`        its runs, earliest first, `timings` a dictionary {part: seconds}
    `picks`       the architectures picked for validation; `recommended` the recommended one, picked or not
    `protocol`    how they were trained, None if none was
    `fingerprints`  {"measurements", "trainings": {fingerprint: how many of those shown are by it}}
    `unknown`     trainings of architectures without any other that count for nothing: on which data they were is not known
    """

    study: StudyRow
    objectives: Mapping[str, str]
    outcomes: Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]]
    picks: Sequence[Pick]
    recommended: Pick | None
    protocol: Protocol | None
    unknown: int
    fingerprints: Mapping[str, Mapping[str, int]]

    @property
    def predictor(self) -> str:
        """The score whose agreement with training is asked: the first objective."""
        return next(iter(self.objectives))


def findings(evidence: Evidence, resamples: int) -> dict[str, Any]:
    """Every figure of the report, ready for JSON."""
    states: Counter[str] = Counter()
    for outcome in evidence.outcomes:
        states[outcome["state"]] += outcome["trials"]
    trained = [pick for pick in evidence.picks if pick.training]
    recommended = evidence.recommended
    equals = rivals(recommended, evidence.picks) if recommended else []
    return {
        "study": evidence.study.name,
        "identity": dict(evidence.study.identity),
        "objectives": dict(evidence.objectives),
        "predictor": evidence.predictor,
        "trials": {"all": sum(states.values()), **states},
        "outcomes": [dict(outcome) for outcome in evidence.outcomes],
        "front": [row["key"] for row in front_rows(evidence.rows, evidence.objectives)],
        "recommended": recommended and {**_figures(recommended), "reason": evidence.study.recommended_reason},
        "strongest_random_equal_params": {**_figures(equals[0]), "of": len(equals)} if equals else None,
        "protocol": evidence.protocol and asdict(evidence.protocol),
        "validated": {
            "picked": len(evidence.picks),
            "trained": len(trained),
            "diverged": sum(pick.accuracy is None for pick in trained),
            "trainings_on_unknown_data": evidence.unknown,
            "without_score": sum(pick.facts.get(evidence.predictor) is None for pick in trained),
        },
        "roles": [_role(role, trained) for role in ROLES if any(role in pick.roles for pick in trained)],
        "picks": [_figures(pick) for pick in trained],
        **_agreement(trained, evidence.objectives, resamples),
        "fingerprints": {what: dict(counts) for what, counts in evidence.fingerprints.items()},
        "timings": _timings(evidence.runs),
    }


def front_rows(rows: Sequence[Mapping[str, Any]], objectives: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """The rows on the Pareto front, along it; rows without a value of some objective cannot be on it."""
    whole = [row for row in rows if all(row[name] is not None for name in objectives)]
    values = [[row[name] for name in objectives] for row in whole]
    return [whole[i] for i in pareto_front(values, tuple(objectives.values()))] if whole else []


def _figures(pick: Pick) -> dict[str, Any]:
    training = asdict(pick.training) if pick.training else {"accuracy": None}
    training.pop("by_seed", None)
    return {"key": pick.key, "roles": list(pick.roles), **pick.facts, **training}


def _timings(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Where the time went, summed over the runs of a verb."""
    seconds: Counter[tuple[str, str]] = Counter()
    for run in runs:
        for part, spent in run["timings"].items():
            seconds[run["verb"], part] += spent
    return [{"verb": verb, "part": part, "seconds": spent} for (verb, part), spent in seconds.items()]


def _role(role: str, trained: Sequence[Pick]) -> dict[str, Any]:
    """Best and median accuracy of the picks of one role. A diverged one counts as the least: a median may be None."""
    ranked = [-math.inf if pick.accuracy is None else pick.accuracy for pick in trained if role in pick.roles]
    found = {"best accuracy": max(ranked), "median accuracy": statistics.median(ranked)}
    finite = {name: value if math.isfinite(value) else None for name, value in found.items()}
    return {"role": role, "trained": len(ranked), "diverged": ranked.count(-math.inf), **finite}


def _agreement(trained: Sequence[Pick], objectives: Mapping[str, str], resamples: int) -> dict[str, Any]:
    """Correlations of the predictor and every other one with accuracy, on all picks and on the random ones alone."""
    signs = {name: -1.0 if direction == "minimize" else 1.0 for name, direction in objectives.items()}
    predictor, sign = next(iter(signs.items()))
    others = {COST: -1.0} | dict.fromkeys(BASELINES, 1.0)
    predictors = {predictor: sign} | {name: way for name, way in (others | signs | others).items() if name != predictor}
    subsets = {"all": list(trained), "random": [pick for pick in trained if "random" in pick.roles]}
    tables = {name: compare(picks, predictors, predictor, resamples) for name, picks in subsets.items()}

    def figures(name: str, statistic: str) -> dict[str, Any]:
        return {subset: asdict(table[name][statistic]) for subset, table in tables.items()}

    best = best_quarter(trained, predictor, sign)
    return {
        "kendall": figures(predictor, "kendall"),
        "spearman": figures(predictor, "spearman"),
        "baselines": {
            name: {statistic: figures(name, statistic) for statistic in ("kendall", "spearman")}
            for name in predictors
            if name != predictor
        },
        "noise_ceiling": asdict(ceiling([pick.training for pick in trained if pick.training])),
        "top_k": best and asdict(best),
    }
