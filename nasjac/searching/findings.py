"""What a study has found, from the rows of its database to the figures of its report. Not finite is None throughout."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from nasjac.mathematics.pareto import pareto_front
from nasjac.searching.agreement import Agreement, agreement, rivals
from nasjac.searching.objectives import Direction
from nasjac.searching.validated import ROLES, Pick, Protocol
from nasjac.store.rows import StudyRow

#: a row of a table, by column
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Validated:
    """How many architectures were picked, trained, diverged, and left out of the correlations."""

    picked: int
    trained: int
    diverged: int
    trainings_on_unknown_data: int
    without_score: int


@dataclass(frozen=True)
class Findings:
    """What the store knows of a study, and what follows from it.

    `objectives`  {column of the leaderboard: way}; the first one is the predictor, whose agreement with training is asked
    `outcomes`    {state, reason, trials} of its trials
    `rows`        the leaderboard, the best predictor first
    `runs`        its runs, earliest first, `timings` a dictionary {part: seconds}
    `picks`       the architectures picked for validation; `recommended` the recommended one, picked or not
    `protocol`    how they were trained, None if none was
    `unknown`     trainings of architectures without any other that count for nothing: on which data they were is not known
    `fingerprints`  {"measurements", "trainings": {fingerprint: how many of those shown are by it}}
    `resamples`   of each bootstrap interval
    """

    study: StudyRow
    objectives: Mapping[str, Direction]
    outcomes: Sequence[Row]
    rows: Sequence[Row]
    runs: Sequence[Row]
    picks: Sequence[Pick]
    recommended: Pick | None
    protocol: Protocol | None
    unknown: int
    fingerprints: Mapping[str, Mapping[str, int]]
    resamples: int

    @property
    def predictor(self) -> str:
        """The score whose agreement with training is asked: the first objective."""
        return next(iter(self.objectives))

    @cached_property
    def trials(self) -> Counter[str]:
        """How many trials ended in each state."""
        states: Counter[str] = Counter()
        for outcome in self.outcomes:
            states[outcome["state"]] += outcome["trials"]
        return states

    @cached_property
    def front(self) -> list[Row]:
        """The rows of the leaderboard on the Pareto front, along it."""
        return front_rows(self.rows, self.objectives)

    @cached_property
    def trained(self) -> list[Pick]:
        """The picks that have been trained."""
        return [pick for pick in self.picks if pick.training]

    @cached_property
    def rivals(self) -> list[Pick]:
        """Trained random architectures of as many parameters as the recommended one has, the most accurate first."""
        return rivals(self.recommended, self.picks) if self.recommended else []

    @cached_property
    def agreement(self) -> Agreement:
        """How well the predictor agrees with training."""
        return agreement(self.trained, self.objectives, self.resamples)

    @cached_property
    def validated(self) -> Validated:
        """How many architectures the agreement is of."""
        diverged = sum(pick.accuracy is None for pick in self.trained)
        without_score = sum(pick.facts.get(self.predictor) is None for pick in self.trained)
        return Validated(len(self.picks), len(self.trained), diverged, self.unknown, without_score)

    @cached_property
    def roles(self) -> list[Row]:
        """Best and median accuracy of the picks of each role. A diverged one counts as the least: a median may be None."""
        table: list[Row] = []
        for role in ROLES:
            picks = [pick for pick in self.trained if role in pick.roles]
            ranked = [-math.inf if pick.accuracy is None else pick.accuracy for pick in picks]
            if ranked:
                found = {"best accuracy": max(ranked), "median accuracy": statistics.median(ranked)}
                finite = {name: value if math.isfinite(value) else None for name, value in found.items()}
                table.append({"role": role, "trained": len(ranked), "diverged": ranked.count(-math.inf), **finite})
        return table

    @cached_property
    def timings(self) -> list[Row]:
        """Where the time went, summed over the runs of a verb."""
        seconds: Counter[tuple[str, str]] = Counter()
        for run in self.runs:
            for part, spent in run["timings"].items():
                seconds[run["verb"], part] += spent
        return [{"verb": verb, "part": part, "seconds": spent} for (verb, part), spent in seconds.items()]

    def to_json(self) -> str:
        """Every figure of the report, the text of summary.json."""
        best, equals = self.recommended, self.rivals
        content = {
            "study": self.study.name,
            "identity": dict(self.study.identity),
            "objectives": dict(self.objectives),
            "predictor": self.predictor,
            "trials": {"all": self.trials.total(), **self.trials},
            "outcomes": list(self.outcomes),
            "front": [row["key"] for row in self.front],
            "recommended": best and {**_figures(best), "reason": self.study.recommended_reason},
            "strongest_random_equal_params": {**_figures(equals[0]), "of": len(equals)} if equals else None,
            "protocol": self.protocol and asdict(self.protocol),
            "validated": asdict(self.validated),
            "roles": self.roles,
            "picks": [_figures(pick) for pick in self.trained],
            **asdict(self.agreement),
            "fingerprints": {what: dict(counts) for what, counts in self.fingerprints.items()},
            "timings": self.timings,
        }
        return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)


def front_rows(rows: Sequence[Row], objectives: Mapping[str, str]) -> list[Row]:
    """The rows on the Pareto front, along it; rows without a value of some objective cannot be on it."""
    whole = [row for row in rows if all(row[name] is not None for name in objectives)]
    values = [[row[name] for name in objectives] for row in whole]
    return [whole[i] for i in pareto_front(values, tuple(objectives.values()))] if whole else []


def _figures(pick: Pick) -> Row:
    training = asdict(pick.training) if pick.training else {"accuracy": None}
    training.pop("by_seed", None)
    return {"key": pick.key, "roles": list(pick.roles), **pick.facts, **training}
