"""What the functions of the front door return: typed, readable, and a door to what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nasjac.architecture.spec import Spec
from nasjac.mathematics.pareto import pareto_front
from nasjac.searching.around_checkpoint import WarmSummary
from nasjac.searching.loop import Outcome
from nasjac.searching.objectives import directions
from nasjac.searching.report import Report
from nasjac.searching.scored import standings
from nasjac.searching.search import Search
from nasjac.searching.stored_studies import ValidationResult, report, validate
from nasjac.searching.validate import Validation
from nasjac.store import Store
from nasjac.store.former import stored_spec
from nasjac.store.leaderboard import Leaderboard

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Recommendation:
    """An architecture that a study recommends, by its key and its Spec, and why that one."""

    key: str
    spec: Spec
    why: str


@dataclass(frozen=True)
class FrontPoint:
    """An architecture on a study's Pareto front, with its objectives by name."""

    key: str
    spec: Spec
    objectives: Mapping[str, float]


@dataclass(frozen=True)
class SearchResult:
    """A search that has run, and the door to its study.

    Attributes:
        study: Its name in the database.
        database: The path of that.
        outcome: How many trials there are, where the time went, and what stopped the search.
        job: What was searched.
        validation: What was trained after the search; None where that was not asked for.
        page: The report; None where none was asked for.
        signal: The number of the signal that stopped the work, None where it is finished.
    """

    study: str
    database: str
    outcome: Outcome
    job: Search = field(repr=False)
    validation: Validation | None
    page: Report | None
    signal: int | None
    trust: bool = False

    @property
    def recommended(self) -> Recommendation | None:
        """The architecture at the knee of the front; None where no trial has all objectives."""
        with self._opened() as store:
            row = store.study(self.study)
            if row.recommended_key is None:
                return None
            return Recommendation(row.recommended_key, store.spec(row.recommended_key), row.recommended_reason or "")

    @property
    def front(self) -> list[FrontPoint]:
        """The architectures on the Pareto front, along it; of one objective the best."""
        names = self.job.objectives
        with self._opened() as store:
            keys, values = standings(store, self.study, names)
            chosen: list[int] = list(pareto_front(values, directions(names))) if keys else []
            stored = store.architectures([keys[number] for number in chosen])
            points = [(keys[number], dict(zip(names, values[number], strict=True))) for number in chosen]
            return [FrontPoint(key, stored_spec(stored[key]), objectives) for key, objectives in points]

    def frame(self) -> pd.DataFrame:
        """The study's leaderboard as a table of pandas, the best value of the first objective first."""
        first, *_ = self.job.objectives
        descending = directions([first]) == ["maximize"]
        sql, values = Leaderboard(study=self.study, sort=first, descending=descending).select()
        with self._opened() as store:
            return store.query(sql, **values)

    def validate(self, **options: Any) -> ValidationResult:
        """Train the best and as many random architectures briefly; `options` are those of `nasjac.validate`."""
        return validate(self.study, **{"database": self.database, "trust": self.trust, **options})

    def report(self, out: str = "reports") -> Report:
        """Write the study's report into the folder `out`/study, and return it."""
        return report(self.study, database=self.database, out=out, trust=self.trust)

    def __repr__(self) -> str:
        best = self.recommended
        lines = [
            f"Search {self.study!r} in {self.database}: {self.outcome.trials} trials, {self.outcome.fresh} of them now"
        ]
        if self.signal is not None:
            lines.append(f"stopped by signal {self.signal}; everything so far is stored: call again to go on")
        lines.append(f"recommended: {best.key}, {best.why}" if best else "recommended: nothing, no trial is complete")
        return "\n".join([*lines, "more: .recommended, .front, .frame(), .validate(), .report()"])

    def _opened(self) -> Store:
        return Store(self.database, read_only=True, trust=self.trust)


@dataclass(frozen=True)
class WarmSearchResult:
    """A search around a checkpoint that has run; its trials are in the database.

    Attributes:
        study: Its name in the database.
        database: The path of that.
        outcome: How many trials there are, where the time went, and what stopped the search.
        summary: What was found; None where a signal stopped the search.
        signal: The number of that signal, None where it is finished.
    """

    study: str
    database: str
    outcome: Outcome
    summary: WarmSummary | None
    signal: int | None

    def __repr__(self) -> str:
        if self.summary is None:
            return (
                f"Search {self.study!r} in {self.database}, stopped after {self.outcome.trials} trials: call again to go on"
            )
        return self.summary.as_text()
