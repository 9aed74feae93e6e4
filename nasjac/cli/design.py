"""nasjac design: shapes of one size side by side, before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from nasjac.cli.call import Answer, Call, answer
from nasjac.cli.config import Common
from nasjac.searching.design import design
from nasjac.searching.objectives import Budget


@dataclass(frozen=True)
class Config(Common):
    """The options of nasjac design. Of `budget` the size alone is read, and `dataset` is left out for random inputs."""

    space: Any = None
    dataset: Any = None
    budget: Budget = field(default_factory=Budget)
    inputs: int | None = None
    outputs: int | None = None
    count: int = 10
    batch: int = 8
    error: float = 0.25
    seed: int = 0
    out: str | None = "reports/design"


def run(call: Call) -> Answer:
    """Lay out shapes of the size that the budget says."""
    options = call.values(("inputs", "outputs", "count", "batch", "error", "seed", "out"))
    budget = {str(name): value for name, value in call.values(("budget",))["budget"].items()}
    with call.console.bar("design", call.config.count) as advance:
        steps = count(1)
        tell = lambda _, text: advance(next(steps), text)  # noqa: E731
        found = design(call.chosen("space"), budget=budget, dataset=call.chosen_or_none("dataset"), advance=tell, **options)
    return answer(found.as_text(), found.to_json())
